"""Many cases: by hand, against scikit-learn, and against `pipeline evaluate` on the same maps."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from ctcore import files
from ctcore.datasets.case_labels import write_case_labels
from ctcore.durable import write_text
from ctcore.errors import RequestError
from ctcore.evaluation.evaluate import evaluate
from ctcore.json_files import write_json
from ctcore.volume import Volume
from stage2_multitask.cohort import FUSED, HEAD, MAP, Cohort, cohort_figures
from stage2_multitask.measure import MeasuredCase, measure_prediction
from tests.stage2_multitask.crafted_cases import GEOMETRY, LABELS, SCORING, answer, four_cases, subtype_case, truth

sklearn_metrics = importlib.import_module("sklearn.metrics")  # untyped


def test_two_classes_by_hand() -> None:
    figures = cohort_figures(four_cases())
    assert figures == {
        "auroc": 1.0,  # 0.8 and 0.51 against 0.4 and 0.3
        "auroc_class": 0.75,  # 0.7 and 0.54 against 0.2 and 0.6
        "auroc_map": 0.75,  # 0.9 and 0.48 against 0.6 and 0
        "ap": pytest.approx(0.5),  # one of two lesions, found first
        "ap_class": 1.0,
        "accuracy": 1.0,
        "balanced_accuracy": 1.0,
        "macro_f1": 1.0,
        "accuracy_class": 0.75,  # d is called PDAC
        "balanced_accuracy_class": 0.75,
        "macro_f1_class": pytest.approx((2 / 3 + 4 / 5) / 2),
        "dice_lesion": pytest.approx((16 / 18 + 0 + 0) / 3),  # a, b, c; d has no lesion and none is segmented
        "iou_lesion": pytest.approx(0.8 / 3),
        "dice_lesion_where_present": pytest.approx(16 / 18 / 2),
        "iou_lesion_where_present": pytest.approx(0.8 / 2),
        "dice_pancreas": 1.0,
        "iou_pancreas": 1.0,
    }


def test_one_kind_of_case_only() -> None:
    positive = [case for case in four_cases() if case.record.positive]
    figures = cohort_figures(positive)
    assert (figures["auroc"], figures["auroc_class"], figures["auroc_map"]) == (None, None, None)
    assert figures["ap"] == pytest.approx(0.5)
    assert (figures["balanced_accuracy"], figures["ap_class"]) == (1.0, 1.0)
    negative = [case for case in four_cases() if not case.record.positive]
    assert cohort_figures(negative)["ap"] is None
    assert cohort_figures(negative[1:])["dice_lesion"] is None
    assert cohort_figures(negative)["macro_f1_class"] == pytest.approx((2 / 3 + 0) / 2)


THREE = [
    ("a", 0, (0.6, 0.3, 0.1), True),
    ("b", 1, (0.5, 0.4, 0.1), True),
    ("c", 1, (0.2, 0.7, 0.1), False),
    ("d", 2, (0.1, 0.1, 0.8), True),
    ("e", 0, (0.3, 0.2, 0.5), True),
]


def three() -> list[MeasuredCase]:
    return [subtype_case(*row) for row in THREE]


def test_three_subtypes_by_hand() -> None:
    figures = cohort_figures(three())
    # subtype0: 0.6, 0.3 against 0.5, 0.2, 0.1: 5 of 6 pairs; subtype1: 0.4, 0.7 against 0.3, 0.1, 0.2: all;
    # subtype2: 0.8 against 0.1, 0.1, 0.1, 0.5: all
    macro = (5 / 6 + 1 + 1) / 3
    assert figures["auroc_class"] == pytest.approx(macro)
    # the map's maximum is the same in all cases: each class gets 0.5 p + 0.5 * 0.8 p, in the same order
    assert figures["auroc"] == pytest.approx(macro)
    assert figures["auroc_map"] is None  # every case has a lesion: the map says nothing of the subtype
    assert figures["ap"] == pytest.approx(4 / 5 * 4 / 5)  # five candidates of equal confidence, four hits, five lesions
    assert figures["accuracy"] == figures["accuracy_class"] == pytest.approx(3 / 5)
    cohort = Cohort.of(three())
    assert not cohort.tells_presence
    assert cohort.class_scores(MAP) is None
    assert cohort.class_table(MAP) is None


def test_a_subtype_without_cases_is_left_out() -> None:
    assert cohort_figures(three()[:3])["auroc_class"] == pytest.approx((1 + 1) / 2)
    assert cohort_figures(three()[1:3])["auroc_class"] is None
    assert cohort_figures(three()[1:3])["ap_class"] == 1.0


def test_three_classes_against_scikit_learn() -> None:
    cohort = Cohort.of(three())
    scores = cohort.class_scores(HEAD)
    assert scores is not None
    expected = sklearn_metrics.roc_auc_score(cohort.true, scores, multi_class="ovr", average="macro")
    assert cohort_figures(three())["auroc_class"] == pytest.approx(expected)
    one_hot = np.eye(3)[cohort.true]
    expected = sklearn_metrics.average_precision_score(one_hot, cohort.class_scores(FUSED), average="macro")
    assert cohort_figures(three())["ap_class"] == pytest.approx(expected)


def test_the_called_class_is_the_fused_label() -> None:
    for cases in (four_cases(), three()):
        cohort = Cohort.of(cases)
        table = cohort.class_table(FUSED)
        assert table is not None
        assert [table.names[k] for k in table.predicted] == [case.record.predicted_class for case in cases]


def test_cases_that_cannot_be_pooled() -> None:
    with pytest.raises(RequestError, match="no case was measured"):
        cohort_figures([])
    with pytest.raises(RequestError, match=r"'a' and 'x' were measured with different classes \(non-PDAC, PDAC; sub"):
        cohort_figures([*four_cases(), subtype_case("x", 0, (1, 0, 0), True)])


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_pipeline_evaluate(tmp_path: Path, seed: int) -> None:
    """The same maps, scores, labels and segmentations as files give the same figures, to the bit."""
    rng = np.random.default_rng(seed)
    cases, rows, classes = [], ["case_id,status,score,p_non-PDAC,p_PDAC"], {}
    for number in range(12):
        case_id, positive = f"case{number:02}", bool(number % 2)
        start = int(rng.integers(0, 10))
        lesion = (start, start + int(rng.integers(4, 9))) if positive else (0, 0)
        found = int(rng.integers(0, 12))
        p = float(rng.uniform(0.05, 0.95))
        given = answer(
            found, found + int(rng.integers(3, 9)), float(rng.uniform(0.2, 1.0)), {"non-PDAC": 1 - p, "PDAC": p}
        )
        right = truth(case_id, "PDAC" if positive else "non-PDAC", *lesion)
        case, detection = measure_prediction(given, right, LABELS, ["lesion"], SCORING)
        cases.append(case)
        classes[case_id] = right.class_name
        rows.append(f"{case_id},done,{case.record.score!r},{1 - p!r},{p!r}")
        files.write(Volume(detection, GEOMETRY), tmp_path / "run" / "detection_maps" / f"{case_id}.nii.gz")
        files.write(Volume(given.segmentation, GEOMETRY), tmp_path / "run" / "segmentations" / f"{case_id}.nii.gz")
        files.write(Volume(np.asarray(right.labels, np.uint8), GEOMETRY), tmp_path / "labels" / f"{case_id}.nii.gz")
        record = {"label": case.record.predicted_class, "segmentation_labels": LABELS}
        write_json(tmp_path / "run" / "cases" / f"{case_id}.json", record)
    write_json(tmp_path / "labels" / "dataset.json", {"labels": LABELS})
    write_json(tmp_path / "run" / "run.json", {})
    write_text(tmp_path / "run" / "results.csv", "\n".join(rows) + "\n")
    write_case_labels(tmp_path / "classes.csv", classes)
    metrics = evaluate(
        tmp_path / "run",
        tmp_path / "labels",
        tmp_path / "out",
        case_labels=tmp_path / "classes.csv",
        bootstrap=0,
        page=False,
    )
    figures = cohort_figures(cases)
    assert 0 < (metrics.ap.value or 0) < 1
    assert (figures["auroc"], figures["ap"]) == (metrics.auroc.value, metrics.ap.value)
    assert figures["auroc_class"] == metrics.parts["patients"]["auroc_of_class_probability"]["value"]
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert figures[name] == metrics.parts["classification"][name]["value"]
    for name in ("dice", "iou", "dice_where_present"):
        expected = metrics.parts["segmentation"]["lesion"][name]["value"]
        assert figures[name.replace("dice", "dice_lesion").replace("iou", "iou_lesion")] == expected
