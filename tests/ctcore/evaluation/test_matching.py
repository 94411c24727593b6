"""Matching of candidates and lesions, by hand."""

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.errors import DatasetError
from ctcore.evaluation.matching import CaseMatch, Outcome, match_case

SHAPE = (3, 8, 40)


def row(*runs: tuple[int, int, float]) -> npt.NDArray[np.float32]:
    """An array that holds a value from x = start to stop in one line of voxels."""
    array = np.zeros(SHAPE, dtype=np.float32)
    for start, stop, value in runs:
        array[1, 4, start:stop] = value
    return array


def match(
    candidates: npt.NDArray[np.float32], lesions: npt.NDArray[np.float32], min_overlap: float = 0.15
) -> CaseMatch:
    return match_case(candidates, lesions > 0, min_overlap)


def outcomes(result: CaseMatch) -> list[tuple[str, float]]:
    return [(str(candidate.outcome), round(candidate.confidence, 6)) for candidate in result.candidates]


def test_a_hit_a_false_positive_and_a_miss() -> None:
    result = match(row((0, 10, 0.9), (30, 34, 0.4)), row((2, 12, 1), (20, 25, 1)))
    assert outcomes(result) == [("hit", 0.9), ("false_positive", 0.4)]
    assert result.candidates[0].overlap == pytest.approx(8 / 12)
    assert (result.n_lesions, result.n_missed) == (2, 1)
    assert result.detection_max == pytest.approx(0.9)
    assert [(lesion, round(confidence, 6)) for lesion, confidence in result.findings] == [
        (True, 0.9),
        (False, 0.4),
        (True, 0.0),
    ]


@pytest.mark.parametrize(("overlapping", "hit"), [(3, True), (2, False)])
def test_the_overlap_must_reach_the_minimum(overlapping: int, hit: bool) -> None:
    # lesion of 10 voxels, candidate of 10 + `overlapping`: IoU is overlapping / 20, 3 / 20 being exactly the minimum
    result = match(row((10 - overlapping, 20, 0.5)), row((0, 10, 1)))
    assert (result.candidates[0].outcome is Outcome.HIT) is hit
    assert result.n_missed == (0 if hit else 1)


def test_a_second_candidate_on_a_hit_lesion_is_ignored() -> None:
    result = match(row((0, 6, 0.3), (7, 10, 0.8)), row((0, 10, 1)))
    assert outcomes(result) == [("hit", 0.3), ("ignored", 0.8)]  # the larger overlap is the hit
    assert len(result.findings) == 1


def test_the_number_of_hits_goes_before_the_overlap() -> None:
    # The long candidate overlaps both lesions (IoU 10/21 and 8/23), the short one only the first (4/10).
    candidates = np.zeros(SHAPE, dtype=np.float32)
    candidates[1, 4, 2:21] = 0.5
    candidates[1, 6, 0:4] = 0.7
    lesions = np.zeros(SHAPE, dtype=np.float32)
    lesions[1, 4, 2:12] = 1
    lesions[1, 5:7, 0:4] = 1  # joined to the first lesion
    lesions[1, 4, 13:23] = 1
    result = match(candidates, lesions)
    assert [candidate.outcome for candidate in result.candidates] == [Outcome.HIT, Outcome.HIT]
    assert result.candidates[0].lesion != result.candidates[1].lesion


def test_components_touch_by_their_corners() -> None:
    candidates = np.zeros((3, 3, 3), dtype=np.float32)
    candidates[0, 0, 0] = candidates[1, 1, 1] = 0.5
    assert len(match_case(candidates, np.zeros((3, 3, 3), dtype=bool), 0.15).candidates) == 1


def test_touching_candidates_are_one_with_the_highest_confidence() -> None:
    result = match(row((0, 5, 0.3), (5, 8, 0.6), (20, 22, 0.3)), row())
    assert outcomes(result) == [("false_positive", 0.6), ("false_positive", 0.3)]


def test_empty_map_and_empty_label() -> None:
    assert match(row(), row()) == CaseMatch((), 0, 0.0)
    missed = match(row(), row((0, 3, 1)))
    assert (missed.n_missed, missed.findings) == (1, [(True, 0.0)])
    assert outcomes(match(row((0, 3, 1)), row())) == [("false_positive", 1.0)]


def test_a_softmax_is_refused() -> None:
    softmax = row(*((x, x + 1, x / 20) for x in range(1, 10)))
    with pytest.raises(DatasetError, match="9 distinct values on 1 components: it looks like a softmax"):
        match(softmax, row())


@pytest.mark.parametrize(
    ("bad", "message"), [(np.nan, "holds NaN"), (-0.5, "from -0.5 to 0.9"), (1.5, "from 0 to 1.5"), (np.inf, "to inf")]
)
def test_what_is_no_confidence_is_refused(bad: float, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        match(row((0, 3, 0.9), (10, 12, bad)), row())
