"""Matching of candidates and lesions, by hand."""

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.errors import RequestError
from ctcore.evaluation.components import find_components
from ctcore.evaluation.matching import RULES, CaseMatch, MatchingRule, Outcome
from ctcore.evaluation.matching import match as match_components
from ctcore.volume import Geometry

SHAPE = (3, 8, 40)


def row(*runs: tuple[int, int, float]) -> npt.NDArray[np.float32]:
    """An array that holds a value from x = start to stop in one line of voxels."""
    array = np.zeros(SHAPE, dtype=np.float32)
    for start, stop, value in runs:
        array[1, 4, start:stop] = value
    return array


def match(
    candidates: npt.NDArray[np.float32], lesions: npt.NDArray[np.float32], rule: MatchingRule = RULES["panorama"]
) -> CaseMatch:
    components = find_components(candidates, lesions > 0, Geometry(candidates.shape, (1.0, 1.0, 1.0)))
    return match_components(components, rule)


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


def test_empty_map_and_empty_label() -> None:
    assert match(row(), row()) == CaseMatch((), 0, 0.0)
    missed = match(row(), row((0, 3, 1)))
    assert (missed.n_missed, missed.findings) == (1, [(True, 0.0)])
    assert outcomes(match(row((0, 3, 1)), row())) == [("false_positive", 1.0)]


def test_a_further_candidate_may_be_a_false_positive() -> None:
    rule = MatchingRule(further="false_positive")
    result = match(row((0, 6, 0.3), (7, 10, 0.8)), row((0, 10, 1)), rule)
    assert outcomes(result) == [("hit", 0.3), ("false_positive", 0.8)]
    assert [is_lesion for is_lesion, _ in sorted(result.findings)] == [False, True]
    assert [confidence for _, confidence in sorted(result.findings)] == pytest.approx([0.8, 0.3])


@pytest.mark.parametrize(("minimum", "hit"), [(0.5, True), (0.51, False)])
def test_dice_instead_of_iou(minimum: float, hit: bool) -> None:
    # 5 common voxels of 10 and 10: Dice 10 / 20, IoU 5 / 15
    result = match(row((5, 15, 0.5)), row((0, 10, 1)), MatchingRule(minimum, overlap="dice"))
    assert (result.count(Outcome.HIT) == 1) is hit
    assert result.candidates[0].overlap == (0.5 if hit else 0.0)


def test_the_two_challenges_differ_in_the_smallest_overlap() -> None:
    # 2 common voxels of 10 and 10: IoU 2 / 18 = 0.11
    made = row((8, 18, 0.5)), row((0, 10, 1))
    assert match(*made, RULES["picai"]).count(Outcome.HIT) == 1
    assert match(*made, RULES["panorama"]).count(Outcome.HIT) == 0


def test_every_lesion_has_the_confidence_of_its_hit() -> None:
    result = match(row((12, 15, 0.4), (30, 34, 0.7)), row((0, 3, 1), (12, 15, 1), (20, 25, 1)))
    assert result.lesion_confidences == [0.0, pytest.approx(0.4), 0.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_overlap": 0.0}, "minimum overlap 0.0 is not above 0"),
        ({"min_overlap": 1.1}, "minimum overlap 1.1 is not above 0 and at most 1"),
        ({"min_overlap": float("nan")}, "minimum overlap nan"),
        ({"overlap": "jaccard"}, "overlap 'jaccard' is unknown; choose iou or dice"),
        ({"further": "hit"}, "cannot be 'hit'; choose ignored or false_positive"),
    ],
)
def test_an_impossible_rule_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        MatchingRule(**arguments)  # type: ignore[arg-type]
