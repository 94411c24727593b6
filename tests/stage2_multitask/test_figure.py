"""Pictures: which slice is shown, and that they are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stage2_multitask.cohort import Cohort
from stage2_multitask.figure import draw_plots, draw_worst, view_of
from stage2_multitask.measure import MeasuredCase
from stage2_multitask.summary import summarize
from tests.stage2_multitask.crafted_cases import four_cases, subtype_case

SHAPE = (6, 10, 12)


def metrics_of(cases: list[MeasuredCase]) -> dict[str, Any]:
    return summarize(cases, bootstrap=0, seed=0, beta=2.0)


@pytest.mark.parametrize(("lesion_at", "candidate_at", "shown"), [(1, 4, 1), (None, 4, 4), (None, None, 3)])
def test_the_slice_of_most_lesion(lesion_at: int | None, candidate_at: int | None, shown: int) -> None:
    ct = np.arange(6, dtype=np.int16)[:, None, None] * np.ones(SHAPE, np.int16)
    lesion, detection = np.zeros(SHAPE, bool), np.zeros(SHAPE, np.float32)
    if lesion_at is not None:
        lesion[lesion_at, 2:6, 2:6] = True
        lesion[5, 2, 2] = True
    if candidate_at is not None:
        detection[candidate_at, 3:5, 3:5] = 0.5
    view = view_of(four_cases()[0], ct, lesion, lesion, detection, (3.0, 2.0, 1.0))
    assert (view.ct == shown).all()
    assert view.aspect == 2.0


def test_a_picture_of_the_worst(tmp_path: Path) -> None:
    empty = np.zeros(SHAPE, bool)
    lesion = empty.copy()
    lesion[2, 2:6, 2:6] = True
    views = [
        view_of(case, np.zeros(SHAPE, np.int16), mask, empty, mask * np.float32(0.5), (3.0, 1.0, 1.0))
        for case, mask in zip(four_cases(), (lesion, empty, lesion, empty), strict=True)
    ]
    draw_worst(views, "trained on: boxes", tmp_path / "worst.png")
    assert (tmp_path / "worst.png").read_bytes()[:4] == b"\x89PNG"


def test_plots_of_two_classes(tmp_path: Path) -> None:
    cases = four_cases()
    names = draw_plots(tmp_path, Cohort.of(cases), metrics_of(cases))
    assert names == [
        "roc",
        "precision_recall",
        "froc",
        "confusion_head",
        "confusion_map",
        "confusion_fused",
        "reliability",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{end}" for name in names for end in ("png", "svg")}
    curves = (tmp_path / "roc.svg").read_text()
    for words in ("head alone: 0.750", "map alone: 0.750", "fused: 1.000"):
        assert words in curves


def test_plots_of_subtypes(tmp_path: Path) -> None:
    cases = [subtype_case("a", 0, (0.6, 0.3, 0.1), True), subtype_case("b", 1, (0.5, 0.4, 0.1), True)]
    names = draw_plots(tmp_path, Cohort.of(cases), metrics_of(cases))
    assert names == ["roc", "precision_recall", "froc", "confusion_head", "confusion_fused"]
    curves = (tmp_path / "roc.svg").read_text()
    assert "subtype0: 1.000" in curves
    assert "subtype2: undefined" in curves
