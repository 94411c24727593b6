"""One phantom, from the seed to labelled voxels."""

from __future__ import annotations

import numpy as np
import pytest

from ctcore.labels import PanoramaLabel
from ctcore.phantom.phantom import make_phantom


def test_a_large_mass_is_whole() -> None:
    phantom = make_phantom(5, positive=True, lesion_ml=(400.0, 400.0))
    lesion = phantom.labels.array == PanoramaLabel.LESION
    assert lesion.sum() * phantom.labels.geometry.voxel_volume_ml == pytest.approx(400.0, rel=0.15)
    assert phantom.record["draws"]["lesion.volume_ml"] == pytest.approx(400.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_ct_around_the_pancreas_has_the_voxels_of_the_whole_one_and_ends_there(seed: int) -> None:
    whole, near = (make_phantom(seed, positive=True, around_mm=around) for around in (None, 12.0))
    at = near.image.geometry.index_to_physical(np.argwhere(np.ones(near.image.array.shape, bool)))
    index = whole.image.geometry.physical_to_index(at)
    np.testing.assert_allclose(index, np.rint(index), atol=1e-3)
    there = tuple(np.rint(index).astype(int).T)
    np.testing.assert_array_equal(whole.labels.array[there], near.labels.array.ravel())
    assert np.count_nonzero(near.labels.array) == np.count_nonzero(whole.labels.array)
    assert near.image.array.size < 0.4 * whole.image.array.size
    # The same body, other noise and texture, as loud at the edge as inside.
    difference = (whole.image.array[there] - near.image.array.ravel()).reshape(near.image.array.shape)
    assert abs(np.median(difference)) < 4
    assert difference[:, :4].std() < 2 * difference.std() + 20
