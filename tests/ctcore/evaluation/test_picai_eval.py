"""Equal to picai_eval, the reference implementation, on crafted random cases."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.crafted import SHAPE, crafted_case
from benchmarks.peer import decisions, evaluate_quietly
from ctcore.errors import DatasetError
from ctcore.evaluation.components import find_components
from ctcore.evaluation.matching import CaseMatch, MatchingRule, match
from ctcore.evaluation.statistics.curves import auroc, average_precision
from ctcore.volume import Geometry

STUDIES = 20
CASES = 16


def match_case(detection_map: npt.NDArray[np.float32], lesion: npt.NDArray[np.bool_], rule: MatchingRule) -> CaseMatch:
    return match(find_components(detection_map, lesion, Geometry(SHAPE, (1.0, 1.0, 1.0))), rule)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "rule",
    [
        MatchingRule(0.10),
        MatchingRule(0.15),
        MatchingRule(0.5),
        MatchingRule(0.3, overlap="dice"),
        MatchingRule(0.15, further="false_positive"),
    ],
    ids=lambda rule: f"{rule.overlap} {rule.min_overlap} {rule.further}",
)
def test_every_decision_and_both_areas_are_equal(rule: MatchingRule) -> None:
    options = {
        "min_overlap": rule.min_overlap,
        "overlap_func": "IoU" if rule.overlap == "iou" else "DSC",
        "allow_unmatched_candidates_with_minimal_overlap": rule.further == "ignored",
        "num_parallel_calls": 1,
    }
    compared = refused = further = 0
    for study in range(STUDIES):
        rng = np.random.default_rng(study)
        cases, ours = [], []
        for _ in range(CASES):
            case = crafted_case(rng, negative=study == 0 or bool(rng.random() < 0.3))
            try:
                ours.append(match_case(case.detection_map, case.lesion > 0, rule))
            except DatasetError:
                with pytest.raises(ValueError, match="softmax"):
                    evaluate_quietly([case.detection_map], [case.lesion], **options)
                refused += 1
            else:
                cases.append(case)

        theirs = evaluate_quietly([c.detection_map for c in cases], [c.lesion for c in cases], **options)
        for index, found in enumerate(ours):
            expected = sorted((int(t), float(c), float(o)) for t, c, o in theirs.lesion_results[index])
            assert [item[:2] for item in decisions(found)] == [item[:2] for item in expected]
            # picai_eval smooths the overlap by 1e-8
            assert [item[2] for item in decisions(found)] == pytest.approx([item[2] for item in expected], abs=1e-8)
            assert found.detection_max == theirs.case_pred[index]
            assert (found.n_lesions > 0) == bool(theirs.case_target[index])
            further += len(found.candidates) + found.n_missed - len(decisions(found))
        compared += len(ours)

        area = auroc([found.detection_max for found in ours], [found.n_lesions > 0 for found in ours])
        precision = average_precision([finding for found in ours for finding in found.findings])
        if study == 0:
            assert area is None
            assert math.isnan(theirs.auroc)
            assert precision is None
        else:
            assert area == pytest.approx(theirs.auroc, abs=1e-12)
            assert precision == pytest.approx(theirs.AP, abs=1e-12)
    assert compared >= 200
    assert refused >= 5
    if rule.further == "ignored" and rule.min_overlap < 0.5:
        assert further >= 20
