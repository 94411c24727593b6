from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from ctcore.bspline import AIR_HU, bspline_to_spacing, index_of_centre, nearest_from_first
from ctcore.itk import to_sitk
from ctcore.volume import Geometry, Volume

OBLIQUE = (0.0, -1.0, 0.0, 0.6, 0.0, -0.8, 0.8, 0.0, 0.6)


def test_as_itk_resamples() -> None:
    array = np.random.default_rng(0).normal(0, 100, (9, 14, 15)).astype(np.int16)
    volume = Volume(array, Geometry(array.shape, (0.9, 0.8, 2.0), (3.0, 4.0, 5.0), OBLIQUE))
    low = bspline_to_spacing(volume, (4.0, 2.0, 2.0))
    assert low.geometry.shape == (4, 6, 7)  # 18, 11.2 and 13.5 mm
    assert low.geometry.spacing == (2.0, 2.0, 4.0)
    np.testing.assert_allclose(low.geometry.origin, volume.geometry.origin)
    np.testing.assert_allclose(low.geometry.direction, OBLIQUE, atol=1e-12)
    assert low.array.dtype == np.float32
    image = sitk.Cast(to_sitk(volume), sitk.sitkFloat32)
    reference = to_sitk(low)
    expected = sitk.GetArrayFromImage(sitk.Resample(image, reference, sitk.Transform(), sitk.sitkBSpline, AIR_HU))
    np.testing.assert_allclose(low.array, expected, atol=1e-3)
    assert low.array[0, 0, 0] == pytest.approx(array[0, 0, 0], abs=1e-2)  # the first voxels' centres coincide


def test_outside_is_air() -> None:
    volume = Volume(np.full((4, 8, 8), 50, np.int16), Geometry((4, 8, 8), (1.0, 1.0, 3.0)))
    low = bspline_to_spacing(volume, (1.0, 1.0, 1.0))  # centres at 0 to 11 mm of an image that ends at 10.5
    assert low.array.shape[0] == 12
    assert (low.array[:11] > 49).all()
    assert (low.array[11] == AIR_HU).all()


def test_voxels_at_centres() -> None:
    grid, of = Geometry((4, 8, 8), (4.5, 4.5, 9.0), (1, 2, 3)), Geometry((40, 80, 80), (0.8, 0.7, 1.5), (1, 2, 3))
    assert index_of_centre((2, 3, 4), grid, of) == (12, 19, 23)  # 18 / 1.5, 13.5 / 0.7, 18 / 0.8 = 22.5: ITK rounds up
    assert index_of_centre((10, 0, 0), grid, of)[0] == 60  # outside too


def test_a_mask_back_on_the_image() -> None:
    of = Geometry((7, 4, 4), (1.0, 1.0, 1.0))
    mask = np.zeros((2, 4, 4), np.uint8)
    mask[1] = 1
    grid = Geometry((2, 4, 4), (1.0, 1.0, 4.0))  # centres at 0 and 4 mm
    np.testing.assert_array_equal(nearest_from_first(mask, grid, of)[:, 0, 0], [0, 0, 1, 1, 1, 1, 1])
