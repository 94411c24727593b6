"""The longest axial diameter by hand."""

import numpy as np
import pytest

from ctcore.diameter import longest_axial_diameter_mm
from ctcore.volume import Geometry


def test_the_diameter_of_a_disc_is_its_diameter() -> None:
    y, x = np.ogrid[-20:21, -20:21]
    disc = (x**2 + y**2 <= 15**2)[None].repeat(3, axis=0)
    diameter = longest_axial_diameter_mm(disc, Geometry(disc.shape, (0.7, 0.7, 5.0)))
    assert diameter == pytest.approx(31 * 0.7, abs=0.7)  # 31 voxels across


def test_the_diameter_does_not_span_two_sections() -> None:
    mask = np.zeros((2, 5, 30), dtype=bool)
    mask[0, 2, 0:4] = True
    mask[0, 2, 20:24] = True  # joined in the other plane
    mask[1, 2, 3] = True
    assert longest_axial_diameter_mm(mask, Geometry(mask.shape, (1, 1, 1))) == pytest.approx(4)


def test_axial_planes_follow_the_patient_not_the_array() -> None:
    mask = np.zeros((20, 3, 4), dtype=bool)
    mask[2:18, 1, 1] = True  # long in array z
    sagittal = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # array y runs along the patient's head-foot axis
    geometry = Geometry(mask.shape, (1.0, 1.0, 0.5), direction=sagittal)
    assert longest_axial_diameter_mm(mask, geometry) == pytest.approx(16 * 0.5, abs=0.2)
    assert longest_axial_diameter_mm(mask, Geometry(mask.shape, (1.0, 1.0, 0.5))) == pytest.approx(1)
