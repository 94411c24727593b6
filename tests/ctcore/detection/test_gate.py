"""The pancreas gate against all pairs of voxels."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from ctcore.detection.gate import gated

SHAPE = (4, 5, 6)


def probability() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).random(SHAPE, dtype=np.float32)


@settings(max_examples=60, deadline=None)
@given(
    pancreas=st_numpy.arrays(np.uint8, st.just(SHAPE), elements=st.integers(0, 1), fill=st.just(0)),
    distance=st.sampled_from([0.0, 0.7, 1.4, 2.1, 2.5, 6.0, 100.0]),
    spacing=st.tuples(*[st.sampled_from([0.7, 1.0, 2.5])] * 3),
)
def test_equals_all_pairs(
    pancreas: npt.NDArray[np.uint8], distance: float, spacing: tuple[float, float, float]
) -> None:
    kept = gated(probability(), pancreas, distance, spacing)
    if not pancreas.any():
        assert kept is None
        return
    pairs = np.argwhere(np.ones(SHAPE))[:, None] - np.argwhere(pancreas)[None]
    nearest = np.sqrt(((pairs * spacing) ** 2).sum(axis=-1)).min(axis=1).reshape(SHAPE)
    assert kept is not None
    np.testing.assert_array_equal(kept, np.where(nearest <= distance + 1e-5, probability(), 0))


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_a_voxel_at_the_distance_is_within(steps: int) -> None:
    pancreas = np.zeros((1, 1, 12))
    pancreas[0, 0, 0] = 1
    kept = gated(np.ones((1, 1, 12), dtype=np.float32), pancreas, 0.1 * steps, (5.0, 5.0, 0.1))
    assert kept is not None
    assert kept.sum() == steps + 1
