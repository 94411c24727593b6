"""One candidate per component, against a slow implementation."""

from collections import deque
from itertools import product

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from ctcore.detection.candidates import CandidateMap
from ctcore.detection.detection_map import detection_map
from ctcore.detection.merging import one_per_component

Labels = npt.NDArray[np.int16]


def component_of(labels: Labels, voxel: tuple[int, ...]) -> set[tuple[int, ...]]:
    """The voxels above 0 that are reached over 26 neighbours."""
    reached, queue = {voxel}, deque([voxel])
    while queue:
        here = queue.popleft()
        for step in product((-1, 0, 1), repeat=3):
            there = tuple(a + b for a, b in zip(here, step, strict=True))
            inside = all(0 <= a < n for a, n in zip(there, labels.shape, strict=True))
            if inside and there not in reached and labels[there] > 0:
                reached.add(there)
                queue.append(there)
    return reached


@settings(max_examples=80, deadline=None)
@given(
    labels=st_numpy.arrays(np.int16, (3, 4, 6), elements=st.integers(0, 3), fill=st.just(0)),
    confidences=st.lists(st.sampled_from([0.1, 0.3, 0.9]), min_size=3, max_size=3),
)
def test_every_component_has_its_highest_confidence(labels: Labels, confidences: list[float]) -> None:
    present = np.unique(labels[labels > 0])
    labels = np.searchsorted(np.concatenate([[0], present]), labels).astype(np.int16)
    ordered = tuple(sorted(confidences[: present.size], reverse=True))
    before = labels.copy()
    merged, after = one_per_component(labels, ordered)

    np.testing.assert_array_equal(labels, before)
    np.testing.assert_array_equal(merged > 0, labels > 0)
    assert list(after) == sorted(after, reverse=True)
    assert set(np.unique(merged[merged > 0])) == set(range(1, len(after) + 1))
    painted = detection_map(CandidateMap(labels, ordered))
    for voxel in map(tuple, np.argwhere(labels)):
        component = component_of(labels, voxel)
        highest = max(painted[other] for other in component)
        assert detection_map(CandidateMap(merged, after))[voxel] == highest
        assert {merged[other] for other in component} == {merged[voxel]}


def test_the_place_among_equals_is_that_of_the_first_candidate() -> None:
    labels = np.array([[[3, 1, 0, 2, 0, 4]]], dtype=np.int16)
    merged, confidences = one_per_component(labels, (0.5, 0.5, 0.5, 0.2))
    assert merged.ravel().tolist() == [1, 1, 0, 2, 0, 3]
    assert confidences == (0.5, 0.5, 0.2)
