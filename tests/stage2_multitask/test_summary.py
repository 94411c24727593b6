"""Figures of many cases with intervals; their tables."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from ctcore.errors import RequestError
from stage2_multitask.measure import MeasuredCase
from stage2_multitask.summary import OF_CLASSES, OF_PRESENCE, across_folds, cases_csv, summarize, tables_of
from tests.stage2_multitask.crafted_cases import four_cases, subtype_case


def summary_of(cases: list[MeasuredCase], **options: Any) -> dict[str, Any]:
    return summarize(cases, **{"bootstrap": 0, "seed": 0, "beta": 2.0, **options})


def value(summary: dict[str, Any], name: str) -> Any:
    place: Any = summary
    for part in name.split("/"):
        place = place[part]
    return place["value"]


def test_two_classes_by_hand() -> None:
    summary = summary_of(four_cases())
    assert summary["auroc_of"] == OF_PRESENCE
    assert summary["counts"] == {
        "cases": 4,
        "positive": 2,
        "negative": 2,
        "lesions": 2,
        "hits": 1,
        "missed": 1,
        "candidates": 3,
        "false_positives": 2,
        "ignored": 0,
        "patients": 4,
    }
    assert summary["cases_by_class"] == {"non-PDAC": 2, "PDAC": 2}
    expected = {
        "auroc": 1.0,
        "ap": 0.5,
        "head/auroc": 0.75,
        "map/auroc": 0.75,
        "fused/auroc": 1.0,
        "fusion_gain/auroc_over_head": 0.25,
        "fusion_gain/auroc_over_map": 0.25,
        "head/brier": (0.3**2 + 0.46**2 + 0.2**2 + 0.6**2) / 4,
        "head/brier_of_classes": 2 * (0.3**2 + 0.46**2 + 0.2**2 + 0.6**2) / 4,
        "map/brier": (0.1**2 + 0.52**2 + 0.6**2 + 0) / 4,
        "fused/brier": (0.2**2 + 0.49**2 + 0.4**2 + 0.3**2) / 4,
        # bins of 0.1: 0.2 alone, 0.54, 0.6, 0.7 alone
        "head/ece": (0.2 + 0.46 + 0.6 + 0.3) / 4,
        # of the called class: 0.7 right, 0.54 right, 0.8 right, 0.6 wrong
        "head/ece_of_top_class": (0.3 + 0.46 + 0.2 + 0.6) / 4,
        "head/accuracy": 0.75,
        "head/sensitivity/PDAC": 1.0,
        "head/specificity/PDAC": 0.5,
        "head/sensitivity/non-PDAC": 0.5,
        "head/precision/PDAC": 2 / 3,
        "head/precision/non-PDAC": 1.0,
        "head/macro_precision": (2 / 3 + 1) / 2,
        "head/f1/PDAC": 4 / 5,
        "head/f_beta/PDAC": 10 / 11,
        "head/f_beta/non-PDAC": 5 / 9,
        "head/macro_f_beta": (10 / 11 + 5 / 9) / 2,
        "map/accuracy": 0.5,  # the map alone calls a and c a lesion
        "head/one_vs_rest/auroc/PDAC": 0.75,
        # PDAC by falling probability: a, d, b, c
        "head/one_vs_rest/average_precision/PDAC": (1 + 2 / 3) / 2,
        "lesions/sensitivity": 0.5,
        "lesions/false_positives_per_case": 0.5,
        "segmentation/lesion/dice": 16 / 18 / 3,
        "segmentation/lesion/dice_where_present": 16 / 18 / 2,
        "segmentation_mean/dice": (16 / 18 / 3 + 1) / 2,
        "segmentation_mean/iou": (0.8 / 3 + 1) / 2,
    }
    assert {name: value(summary, name) for name in expected} == pytest.approx(expected)
    assert summary["head"]["confusion"] == {"classes": ["non-PDAC", "PDAC"], "counts": [[1, 1], [0, 2]]}
    assert summary["map"]["confusion"]["counts"] == [[1, 1], [1, 1]]
    json.dumps(summary, allow_nan=False)


def test_beta() -> None:
    by_beta = [value(summary_of(four_cases(), beta=beta), "head/f_beta/PDAC") for beta in (0.5, 1.0)]
    assert by_beta == pytest.approx([1.25 * 2 / (1.25 * 2 + 1), 4 / 5])
    with pytest.raises(RequestError, match=r"beta 0 of F-beta is not a finite number above 0"):
        summary_of(four_cases(), beta=0)


def test_three_subtypes() -> None:
    cases = [
        subtype_case(name, true, p, hit=True)
        for name, true, p in (("a", 0, (0.6, 0.3, 0.1)), ("b", 1, (0.5, 0.4, 0.1)), ("c", 2, (0.1, 0.1, 0.8)))
    ]
    summary = summary_of(cases)
    assert summary["auroc_of"] == OF_CLASSES
    assert value(summary, "auroc") == pytest.approx(1.0)
    assert value(summary, "map/auroc") is None
    assert value(summary, "fusion_gain/auroc_over_map") is None
    assert value(summary, "fusion_gain/auroc_over_head") == 0
    assert "brier" not in summary["head"]  # of a lesion: every case has one
    assert "confusion" not in summary["map"]
    # fused scores are taken as shares of their sum, which here are the head's probabilities
    brier = ((0.4**2 + 0.3**2 + 0.1**2) + (0.5**2 + 0.6**2 + 0.1**2) + (0.1**2 + 0.1**2 + 0.2**2)) / 3
    for source in ("head", "fused"):
        assert value(summary, f"{source}/brier_of_classes") == pytest.approx(brier)
        assert summary[source]["confusion"]["counts"] == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
        assert value(summary, f"{source}/sensitivity/subtype1") == 0
        assert value(summary, f"{source}/precision/subtype1") is None  # no case is given it
        assert value(summary, f"{source}/macro_precision") == pytest.approx((1 / 2 + 1) / 2)
        assert value(summary, f"{source}/macro_f1") == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_intervals_draw_patients() -> None:
    cases = [replace(case, patient_id=f"{case.case_id}{n}") for n in range(5) for case in four_cases()]
    single = summary_of(cases, bootstrap=200)["head"]["auroc"]
    assert single["ci95"][0] < 0.75 < single["ci95"][1]
    assert summary_of(cases, bootstrap=200)["head"]["auroc"] == single
    joined = summary_of([replace(case, patient_id=case.case_id) for case in cases], bootstrap=200)
    assert joined["counts"]["patients"] == 4
    assert joined["head"]["auroc"]["ci95"] != single["ci95"]
    assert joined["head"]["auroc"]["value"] == single["value"]


def test_across_folds() -> None:
    cases = four_cases()
    by_fold = {"0": summary_of(cases), "1": summary_of(cases[:1])}
    found = across_folds(by_fold)
    assert found["auroc"] == {"mean": 1.0, "sd": None, "folds": 1}  # fold 1 has no negative case
    assert found["ap"]["mean"] == pytest.approx((0.5 + 1) / 2)
    assert found["ap"]["sd"] == pytest.approx(0.5 / 2**0.5)
    assert across_folds({})["ap"] == {"mean": None, "sd": None, "folds": 0}


def test_cases_csv() -> None:
    cases = four_cases()
    text = cases_csv([*cases[2:], replace(cases[0], flags=("x", "y")), cases[1]], {"bad": "no, class"})
    rows = {row["case_id"]: row for row in csv.DictReader(io.StringIO(text))}
    assert list(rows) == ["a", "b", "bad", "c", "d"]
    assert (rows["a"]["status"], rows["a"]["fold"], rows["a"]["patient_id"], rows["a"]["flags"]) == (
        "done",
        "0",
        "a",
        "x y",
    )
    assert (rows["a"]["class_name"], rows["a"]["predicted_class"], rows["a"]["n_hits"]) == ("PDAC", "PDAC", "1")
    assert float(rows["a"]["p_PDAC"]) == pytest.approx(0.7)
    assert float(rows["a"]["score_PDAC"]) == float(rows["a"]["score"]) == pytest.approx(0.8)
    assert float(rows["a"]["dice_lesion"]) == pytest.approx(16 / 18)
    assert (rows["b"]["dice_lesion"], rows["d"]["dice_lesion"]) == ("0.0", "")
    assert {name: cell for name, cell in rows["bad"].items() if cell} == {
        "case_id": "bad",
        "status": "failed",
        "error": "no, class",
    }
    assert cases_csv([], {"bad": "empty"}).count("\n") == 2


def test_the_tables_on_the_console() -> None:
    summary = summary_of(four_cases())
    metrics = summary | {"by_fold": {"0": summary}}
    text = io.StringIO()
    for table in tables_of(metrics):
        Console(file=text, width=160).print(table)
    for words in ("head alone", "map alone", "fused", "1.000", "lesion-level AP", "Dice of pancreas", "macro-F1"):
        assert words in text.getvalue()
