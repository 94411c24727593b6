"""The detection map by hand."""

import numpy as np

from ctcore.detection.candidates import CandidateMap
from ctcore.detection.detection_map import detection_map


def test_voxels_hold_their_confidence() -> None:
    labels = np.zeros((4, 6, 10), dtype=np.int16)
    labels[1:3, 1:4, 2:8] = 1  # 2 x 3 x 6 voxels
    labels[3, 5, 9] = 2
    painted = detection_map(CandidateMap(labels, (0.75, 0.1)))
    assert painted.dtype == np.float32
    assert painted[1, 1, 2] == np.float32(0.75)
    assert painted[3, 5, 9] == np.float32(0.1)
    assert np.count_nonzero(painted) == 37
    assert painted.max() == np.float32(0.75)


def test_without_candidates_the_map_is_zero() -> None:
    assert not detection_map(CandidateMap(np.zeros((2, 3, 4), dtype=np.int16), ())).any()
