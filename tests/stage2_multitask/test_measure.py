"""One case: by hand, and as the pipeline would have it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ctcore.detection.candidates import FLAG_NOT_GATED, CandidateSettings
from ctcore.detection.fusion import FusionSettings
from ctcore.errors import DatasetError, GeometryError, LabelError, ProbabilityError, RequestError
from ctcore.evaluation.matching import MatchingRule, Outcome
from stage2_multitask.measure import Scoring, measure_prediction
from tests.stage2_multitask.crafted_cases import GEOMETRY, LABELS, SCORING, SHAPE, answer, measured, truth

TWO = {"non-PDAC": 0.3, "PDAC": 0.7}


def test_a_hit_by_hand() -> None:
    case, detection = measured("a")
    record = case.record
    assert (record.case_id, record.class_name, record.positive, record.predicted_class) == ("a", "PDAC", True, "PDAC")
    assert record.score == pytest.approx((0.7 + 0.9) / 2)
    assert case.scores == pytest.approx({"non-PDAC": 0.2, "PDAC": 0.8})
    assert record.probability == pytest.approx(0.7)
    assert record.match.detection_max == pytest.approx(0.9)
    assert [(c.outcome, c.overlap) for c in record.match.candidates] == [(Outcome.HIT, 0.8)]
    assert record.agreement["lesion"].dice == pytest.approx(16 / 18)
    assert record.agreement["lesion"].iou == pytest.approx(8 / 10)
    assert record.agreement["pancreas"].dice == 1
    assert case.badness == pytest.approx(0.2)
    np.testing.assert_array_equal(detection > 0, answer(0, 10, 0.9, TWO).lesion_probability > 0)


def test_a_missed_lesion_is_worse_than_any_score() -> None:
    assert measured("b")[0].badness == pytest.approx(1 + 1 - (0.54 + 0.48) / 2)
    assert [c.outcome for c in measured("b")[0].record.match.candidates] == [Outcome.FALSE_POSITIVE]
    assert measured("d")[0].record.match.candidates == ()
    assert measured("d")[0].record.score == pytest.approx(0.3)


def test_the_settings_are_those_of_a_bundle() -> None:
    product = replace(SCORING, fusion=FusionSettings(rule="product"))
    assert measured("a", scoring=product)[0].record.score == pytest.approx((0.7 * 0.9) ** 0.5)
    strict = replace(SCORING, rule=MatchingRule(0.81))
    assert measured("a", scoring=strict)[0].record.match.n_missed == 1
    default = measured("a", scoring=Scoring())[0]  # ten voxels or fewer are no candidate
    assert default.record.match.candidates == ()
    bold = replace(SCORING, candidates=CandidateSettings(min_voxels=0, min_confidence=0.95))
    assert measured("a", scoring=bold)[0].record.match.detection_max == 0


def test_every_lesion_class_with_a_label_of_its_own_has_its_own_map() -> None:
    classes = {"normal": 0.2, "cyst": 0.3, "PDAC": 0.5}
    cyst, pdac = answer(0, 8, 0.8, classes), answer(12, 16, 0.4, classes)
    maps = {"cyst": cyst.lesion_probability, "PDAC": pdac.lesion_probability}
    both = replace(cyst, lesion_probability=maps["cyst"] + maps["PDAC"], class_lesion_probabilities=maps)
    case, detection = measure_prediction(both, truth("x", "cyst", 0, 8), LABELS, ["lesion"], SCORING)
    assert case.lesion_classes == ("cyst", "PDAC")
    assert case.scores == pytest.approx({"normal": 0.2, "cyst": (0.3 + 0.8) / 2, "PDAC": (0.5 + 0.4) / 2})
    assert case.record.predicted_class == "cyst"  # one map for all would have called it PDAC
    assert [c.outcome for c in case.record.match.candidates] == [Outcome.HIT, Outcome.FALSE_POSITIVE]
    np.testing.assert_array_equal(detection, maps["cyst"] + maps["PDAC"])
    with pytest.raises(RequestError, match="are not those of the lesion classes"):
        measure_prediction(
            both, truth("x", "cyst", 0, 8), LABELS, ["lesion"], replace(SCORING, lesion_classes=("PDAC",))
        )


def test_several_lesion_labels_agree_as_one_too() -> None:
    found = answer(0, 10, 0.9, TWO)
    found.segmentation[:, :, 5:10][found.segmentation[:, :, 5:10] == LABELS["lesion"]] = 7
    labels = {name: value for name, value in LABELS.items() if name != "lesion"}
    kinds = labels | {"solid lesion": LABELS["lesion"], "cystic lesion": 7}
    case, _ = measure_prediction(found, truth("x", "PDAC", 0, 8), kinds, ["solid lesion", "cystic lesion"], SCORING)
    assert case.lesion_label == "lesion"
    assert case.record.agreement["lesion"].dice == pytest.approx(16 / 18)
    assert case.record.agreement["solid lesion"].dice == pytest.approx(2 * 5 / (5 + 8))


def test_candidates_may_be_weighed_by_the_head() -> None:
    weighing = replace(SCORING, fusion=FusionSettings(weigh_candidates=True))
    case, detection = measured("a", scoring=weighing)
    assert [c.confidence for c in case.record.components.candidates] == pytest.approx([0.7 * 0.9])
    assert detection.max() == pytest.approx(0.7 * 0.9)
    assert case.record.score == pytest.approx((0.7 + 0.9) / 2)  # made before
    assert case.detection_max == pytest.approx(0.9)


def test_lesion_classes() -> None:
    classes = {"normal": 0.2, "cyst": 0.3, "PDAC": 0.5}
    arguments = (answer(0, 8, 0.8, classes), truth("x", "cyst", 0, 8), LABELS, ["lesion"])
    assert measure_prediction(*arguments, SCORING)[0].record.positive is False  # PDAC alone is known to be one
    both = measure_prediction(*arguments, replace(SCORING, lesion_classes=("cyst", "PDAC")))[0]
    assert (both.record.positive, both.lesion_classes) == (True, ("cyst", "PDAC"))
    assert both.record.probability == pytest.approx(0.8)
    with pytest.raises(RequestError, match="lesion class 'benign' is none of the classes normal, cyst, PDAC"):
        measure_prediction(*arguments, replace(SCORING, lesion_classes=("benign",)))


def test_the_gate_is_around_the_segmented_pancreas() -> None:
    gated = replace(SCORING, candidates=CandidateSettings(min_voxels=0, pancreas_gate_mm=1.0))
    near = answer(0, 10, 0.9, TWO)
    case, _ = measure_prediction(near, truth("x", "PDAC", 0, 8), LABELS, ["lesion"], gated)
    assert (case.record.match.n_missed, case.flags) == (0, ())  # the segmented lesion is pancreas
    far = answer(0, 10, 0.4, TWO)  # not segmented, 2 mm and more from the pancreas
    case, _ = measure_prediction(far, truth("x", "PDAC", 0, 8), LABELS, ["lesion"], gated)
    assert case.record.match.candidates == ()
    far.segmentation[:] = 0
    case, _ = measure_prediction(far, truth("x", "PDAC", 0, 8), LABELS, ["lesion"], gated)
    assert case.flags == (FLAG_NOT_GATED,)


def test_the_patient_is_the_case_where_none_is_known() -> None:
    assert measured("a")[0].patient_id == "a"
    case, _ = measure_prediction(answer(0, 0, 0, TWO), truth("x", "PDAC", 0, 8, "p"), LABELS, ["lesion"], SCORING)
    assert case.patient_id == "p"


def test_what_does_not_fit() -> None:
    right = truth("x", "PDAC", 0, 8)
    with pytest.raises(LabelError, match="case 'x' has class 'PDAC'; the network knows a, b"):
        measure_prediction(answer(0, 1, 0.5, {"a": 0.5, "b": 0.5}), right, LABELS, ["lesion"], SCORING)
    with pytest.raises(GeometryError, match=r"case 'x': its label map has shape \(1, 8, 20\), its grid \(3, 8, 20\)"):
        measure_prediction(answer(0, 1, 0.5, TWO), replace(right, labels=right.labels[:1]), LABELS, ["lesion"], SCORING)
    nan = answer(0, 1, np.nan, TWO)
    with pytest.raises(ProbabilityError, match="nan"):
        measure_prediction(nan, right, LABELS, ["lesion"], SCORING)


def test_touching_candidates_are_no_detection_map() -> None:
    touching = answer(0, 5, 0.9, TWO)
    touching.lesion_probability[1, 4, 5:10] = 0.3
    settings = CandidateSettings(min_voxels=0, remove_adjacent_candidates=False)
    with pytest.raises(DatasetError, match="looks like a softmax"):
        measure_prediction(touching, truth("x", "PDAC", 0, 8), LABELS, ["lesion"], Scoring(candidates=settings))
    one = settings.model_copy(update={"one_per_component": True})
    case, _ = measure_prediction(touching, truth("x", "PDAC", 0, 8), LABELS, ["lesion"], Scoring(candidates=one))
    assert len(case.record.match.candidates) == 1


def test_the_grid() -> None:
    assert GEOMETRY.shape == SHAPE
    region = measured("a")[0].record.components.lesions[0]
    assert region.volume_ml == pytest.approx(8 * 0.8 * 0.8 * 2.0 / 1000)
