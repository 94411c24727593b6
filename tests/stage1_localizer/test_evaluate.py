"""Evaluation of trained folds and of exported models; margins that come from it."""

from __future__ import annotations

import contextlib
import csv
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ctcore.datasets.description import Layout
from ctcore.errors import CaseError, DatasetError, RequestError
from ctcore.inference.backends.choose import Execution
from ctcore.json_files import read_json
from ctcore.nnunet.exported import load_model
from ctcore.nnunet.training.trained import trained_folds
from stage1_localizer.evaluate import (
    Collector,
    cross_validate,
    evaluate_model,
    metrics_of,
    validation_margins,
    write_evaluation,
)
from stage1_localizer.labelled import cases_of_dataset
from stage1_localizer.model import LocalizerModel
from stage1_localizer.recipe import LocalizerRecipe
from stage1_localizer.trainer import export
from tests.stage1_localizer.threshold_localizer import ThresholdLocalizer
from tests.stage1_localizer.trained_workspace import make_trained


@pytest.fixture(autouse=True)
def _on_this_machine(execution: Execution, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctcore.inference.backends.choose.resolve", lambda *_: execution)


def by_data(recipe: LocalizerRecipe, **changes: Any) -> LocalizerRecipe:
    return recipe.model_copy(update={"margin_mm": "validation", **changes})


@pytest.fixture
def thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fold is a threshold: the pancreas of these patients (100 HU) is found to the voxel."""

    @contextlib.contextmanager
    def stand_in(*_: Any) -> Iterator[ThresholdLocalizer]:
        yield ThresholdLocalizer()

    monkeypatch.setattr("stage1_localizer.evaluate._fold_localizer", stand_in)


def test_a_model_on_a_dataset(constant_model: Callable[..., Path], training_folder: Path, tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    cases = cases_of_dataset(training_folder, Layout.NNUNET)
    found = evaluate_model(constant_model(True), cases, progress=lambda *report: reports.append(report))
    assert reports == [(1, 4), (2, 4), (3, 4), (4, 4)]
    metrics = write_evaluation(found, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cases.csv",
        "metrics.json",
        "worst_cases.png",
    ]
    assert read_json(tmp_path / "out" / "metrics.json") == metrics
    assert metrics["schema_version"] == 1
    assert metrics["margin_mm"] == [8.0, 8.0, 8.0]
    assert metrics["margins_found"] is None
    assert metrics["lesion_in_roi"]["mean"] == 1.0
    assert metrics["roi_of_scan"]["mean"] == 1.0
    assert metrics["dice"]["mean"] == pytest.approx(2 * 1280 / (1280 + 24 * 32 * 32))
    rows = list(csv.DictReader((tmp_path / "out" / "cases.csv").open()))
    assert [row["case_id"] for row in rows] == ["a", "b", "c", "d"]
    assert [row["lesion_in_roi"] for row in rows] == ["1.0", "", "1.0", ""]


def test_a_model_that_finds_nothing(constant_model: Callable[..., Path], training_folder: Path) -> None:
    cases = cases_of_dataset(training_folder, Layout.NNUNET)
    metrics = metrics_of(evaluate_model(constant_model(False), cases))
    assert metrics["fallback_rate"] == 1.0
    assert metrics["fallback_cases"] == ["a", "b", "c", "d"]
    assert metrics["dice"]["mean"] == 0.0


def test_a_case_that_fails_does_not_stop_the_others(training_folder: Path) -> None:
    first, second, *_ = cases_of_dataset(training_folder, Layout.NNUNET)
    collector = Collector()
    collector.add(ThresholdLocalizer(), replace(first, image=first.image.with_name("gone.nii.gz")))
    collector.add(ThresholdLocalizer(), second)
    assert [case.case_id for case in collector.cases] == ["b"]
    assert list(collector.failed) == ["a"]
    assert "gone.nii.gz" in collector.failed["a"]


def test_the_worst_are_kept(training_folder: Path) -> None:
    cases = cases_of_dataset(training_folder, Layout.NNUNET)
    collector = Collector(shown=2)
    collector.add(ThresholdLocalizer(), cases[0])
    collector.add(ThresholdLocalizer(minimum_ml=1e4), cases[1])  # nothing is found
    collector.add(ThresholdLocalizer(), cases[2])
    assert [view.case.case_id for view in collector.worst.items] == ["b", "a"]


@pytest.mark.usefixtures("thresholds")
def test_cross_validation(training_folder: Path, tmp_path: Path, recipe: LocalizerRecipe) -> None:
    workspace = make_trained(training_folder, tmp_path, recipe, {"0": True, "1": True, "all": True})
    reports: list[tuple[int, int]] = []
    found = cross_validate(workspace.root, recipe, progress=lambda *report: reports.append(report))
    assert reports[-1] == (4, 4)
    splits = read_json(workspace.preprocessed / "splits_final.json")
    assert {case.case_id: case.fold for case in found.cases} == {
        case_id: str(fold) for fold, split in enumerate(splits) for case_id in split["val"]
    }
    metrics = metrics_of(found)
    assert metrics["dice"]["worst"] == 1.0
    assert metrics["roi_to_tightest"]["mean"] == 1.0
    assert sorted(metrics["by_fold"]) == ["0", "1"]
    assert metrics["by_fold"]["1"]["cases"] == 2
    one = cross_validate(workspace.root, recipe, folds=["1"])
    assert {case.fold for case in one.cases} == {"1"}


@pytest.mark.usefixtures("thresholds")
def test_margins_by_data(training_folder: Path, tmp_path: Path, recipe: LocalizerRecipe) -> None:
    workspace = make_trained(training_folder, tmp_path, recipe, {"0": True, "1": True})
    changes = ["margin_mm=validation", "margin_reserve_mm=3.0"]
    found = cross_validate(workspace.root, by_data(recipe, margin_reserve_mm=3.0), changes=changes)
    assert found.found is not None
    assert found.margin_mm == (3.0, 3.0, 3.0)  # nothing reaches beyond a perfect mask
    assert (found.found.cases, found.found.decided_by, found.found.folds) == (2, "lesion", ("0", "1"))
    assert metrics_of(found)["margins_found"]["reserve_mm"] == 3.0


def test_folds_are_run_as_exported(training_folder: Path, tmp_path: Path, recipe: LocalizerRecipe) -> None:
    workspace = make_trained(training_folder, tmp_path, recipe, {"0": True, "1": False})
    metrics = metrics_of(cross_validate(workspace.root, recipe))
    assert metrics["fallback_cases"] == read_json(workspace.preprocessed / "splits_final.json")[1]["val"]
    found = validation_margins(workspace, by_data(recipe), trained_folds(workspace, recipe.name))
    assert (found.cases, len(found.not_found)) == (1, 1)


def test_export_finds_the_margins_and_says_how(training_folder: Path, tmp_path: Path, recipe: LocalizerRecipe) -> None:
    settings = by_data(recipe)
    workspace = make_trained(training_folder, tmp_path / "work", settings, {"0": True, "1": True, "all": True})
    model = export(workspace.root, settings, tmp_path / "model", trained_on="boxes")
    assert load_model(tmp_path / "model", LocalizerModel) == model
    assert model.folds == ("0", "1", "all")
    assert model.margin_mm == (10.0, 10.0, 10.0)
    assert model.margins_found is not None
    assert model.margins_found.folds == ("0", "1")
    assert model.recipe["margin_mm"] == "validation"
    asked = settings.model_copy(update={"margin_mm": (1.0, 2.0, 3.0)})
    given = export(workspace.root, asked, tmp_path / "given", trained_on="boxes", changes=["margin_mm=[1, 2, 3]"])
    assert (given.margin_mm, given.margins_found) == ((1, 2, 3), None)


def test_no_margins_without_validation_cases(training_folder: Path, tmp_path: Path, recipe: LocalizerRecipe) -> None:
    workspace = make_trained(training_folder, tmp_path / "work", by_data(recipe), {"all": True})
    with pytest.raises(RequestError, match="fold 'all' leaves no cases to choose margins by"):
        export(workspace.root, by_data(recipe), tmp_path / "model", trained_on="boxes")
    with pytest.raises(RequestError, match="fold 'all' trains on every case"):
        cross_validate(workspace.root, recipe)


def test_folds_that_are_not_there(training_folder: Path, tmp_path: Path, recipe: LocalizerRecipe) -> None:
    workspace = make_trained(training_folder, tmp_path, recipe, {"0": True})
    with pytest.raises(RequestError, match="fold 1 is not trained to its end; trained: 0"):
        cross_validate(workspace.root, recipe, folds=["1"])
    with pytest.raises(DatasetError, match="no trained fold"):
        cross_validate(workspace.root, recipe.model_copy(update={"name": "other"}))


@pytest.mark.usefixtures("thresholds")
def test_margins_do_not_ignore_a_case(training_folder: Path, tmp_path: Path, recipe: LocalizerRecipe) -> None:
    shutil.copytree(training_folder, tmp_path / "data")
    workspace = make_trained(tmp_path / "data", tmp_path / "work", recipe, {"0": True, "1": True})
    (tmp_path / "data" / "imagesTr" / "b_0000.nii.gz").unlink()
    folders = trained_folds(workspace, recipe.name)
    with pytest.raises(CaseError, match="1 validation cases cannot be used, the first 'b'"):
        validation_margins(workspace, by_data(recipe), folders)
