"""Evaluation of trained folds and of exported models, from files to files."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ctcore.errors import CaseError, DatasetError, RequestError
from ctcore.files import read_ct
from ctcore.inference.backends.choose import Execution
from ctcore.json_files import read_json
from ctcore.nnunet.workspace import Workspace
from stage2_multitask.evaluate import Evaluation, cross_validate, evaluate_model
from stage2_multitask.labelled import crops_of
from stage2_multitask.measure import Scoring
from stage2_multitask.predictor import MultiTaskPredictor
from stage2_multitask.recipe import MultiTaskRecipe
from stage2_multitask.report import metrics_of, write_evaluation
from tests.stage2_multitask.crafted_cases import four_cases, subtype_case
from tests.stage2_multitask.trained_workspace import make_trained


@pytest.fixture(autouse=True)
def _on_this_machine(execution: Execution, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctcore.inference.backends.choose.resolve", lambda *_: execution)


@pytest.fixture
def by_hand(recipe: MultiTaskRecipe) -> MultiTaskRecipe:
    """The tiny recipe under a name whose folds no test trains."""
    return recipe.model_copy(update={"name": "by-hand"})


def figures(evaluation: Evaluation) -> dict[str, Any]:
    return metrics_of(evaluation, bootstrap=0)


def test_an_ensemble_and_its_folds(
    planned: Workspace, random_model: Callable[..., Path], execution: Execution, tmp_path: Path
) -> None:
    model = random_model(folds=("0", "1"))
    reports: list[tuple[int, int]] = []
    found = evaluate_model(model, crops_of(planned.root), Scoring(), progress=lambda *r: reports.append(r))
    assert reports[-1] == (12, 12)
    assert [case.fold for case in found.cases] == ["ensemble"] * 4
    assert {fold: [case.fold for case in cases] for fold, cases in found.by_fold.items()} == {
        "0": ["0"] * 4,
        "1": ["1"] * 4,
    }
    crop = read_ct(planned.image_file("a"))
    for folds, cases in ((None, found.cases), (["1"], found.by_fold["1"])):
        expected = MultiTaskPredictor(model, execution, folds=folds).predict(crop)
        assert cases[0].probabilities == expected.class_probabilities

    metrics = write_evaluation(found, tmp_path / "out", bootstrap=50)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cases.csv",
        "index.html",
        "lesions.csv",
        "metrics.json",
        "plots",
        "worst_cases.png",
    ]
    assert read_json(tmp_path / "out" / "metrics.json") == metrics
    assert metrics["schema_version"] == 1
    assert set(metrics["auroc"]) == set(metrics["ap"]) == {"value", "ci95"}
    assert metrics["model"]["kind"] == "ensemble"
    assert metrics["settings"]["lesion_classes"] == ["PDAC"]
    assert sorted(metrics["by_fold"]) == ["0", "1"]
    assert metrics["across_folds"]["fused/accuracy"]["folds"] == 2
    assert metrics["warnings"][0] == "trained on: nothing"
    page = (tmp_path / "out" / "index.html").read_text()
    for words in ("trained on: nothing", "worst_cases.png", "Classification head alone", "lesions.csv"):
        assert words in page
    rows = list(csv.DictReader((tmp_path / "out" / "cases.csv").open()))
    assert [row["case_id"] for row in rows] == ["a", "b", "c", "d"]


def test_one_fold_is_no_ensemble(planned: Workspace, random_model: Callable[..., Path]) -> None:
    found = evaluate_model(random_model(), crops_of(planned.root), Scoring())
    assert (found.model["kind"], found.by_fold) == ("single fold", {})
    assert {case.fold for case in found.cases} == {"0"}
    assert figures(found)["across_folds"] is None


def test_cross_validation(
    planned: Workspace,
    by_hand: MultiTaskRecipe,
    random_model: Callable[..., Path],
    execution: Execution,
    tmp_path: Path,
) -> None:
    model = random_model(folds=("0", "1"))
    workspace = make_trained(planned, tmp_path / "w", by_hand, model, ["0", "1"])
    reports: list[tuple[int, int]] = []
    found = cross_validate(workspace.root, by_hand, Scoring(), progress=lambda *r: reports.append(r))
    assert reports[-1] == (4, 4)
    splits = read_json(workspace.preprocessed / "splits_final.json")
    assert {case.case_id: case.fold for case in found.cases} == {
        case_id: str(fold) for fold, split in enumerate(splits) for case_id in split["val"]
    }
    metrics = figures(found)
    assert metrics["counts"]["cases"] == 4
    assert {fold: one["counts"]["cases"] for fold, one in metrics["by_fold"].items()} == {"0": 2, "1": 2}
    assert (metrics["model"]["kind"], metrics["model"]["recipe"]) == ("cross-validation", "by-hand")
    one = cross_validate(workspace.root, by_hand, Scoring(), folds=["1"])
    assert [case.case_id for case in one.cases] == splits[1]["val"]
    assert one.by_fold == {}
    pooled = {case.case_id: dict(case.probabilities) for case in found.cases}
    assert {case.case_id: dict(case.probabilities) for case in one.cases}.items() <= pooled.items()


def test_folds_that_cannot_be_measured(
    planned: Workspace, by_hand: MultiTaskRecipe, random_model: Callable[..., Path], tmp_path: Path
) -> None:
    workspace = make_trained(planned, tmp_path / "w", by_hand, random_model(folds=("0",)), ["0"])
    with pytest.raises(RequestError, match="fold 1 is not trained to its end; trained: 0"):
        cross_validate(workspace.root, by_hand, Scoring(), folds=["1"])
    with pytest.raises(RequestError, match="fold 'all' trains on every case"):
        cross_validate(workspace.root, by_hand, Scoring(), folds=["all"])
    with pytest.raises(DatasetError, match="no trained fold"):
        cross_validate(workspace.root, by_hand.model_copy(update={"name": "other"}), Scoring())
    with pytest.raises(RequestError, match="lesion class 'cyst' is none of the classes non-PDAC, PDAC"):
        cross_validate(workspace.root, by_hand, Scoring(lesion_classes=("cyst",)))


def test_cases_that_fail_are_named(planned: Workspace, random_model: Callable[..., Path], tmp_path: Path) -> None:
    first, second, third, fourth = crops_of(planned.root)
    found = evaluate_model(
        random_model(),
        [
            replace(first, image=tmp_path / "gone.nii.gz"),
            replace(second, class_name=None),
            replace(third, class_name="benign"),
            fourth,
        ],
        Scoring(),
    )
    assert [case.case_id for case in found.cases] == ["d"]
    assert "gone.nii.gz" in found.failed["a"]
    assert found.failed["b"] == "case 'b' has no class; add its row to 'case_labels.csv'"
    assert found.failed["c"] == "case 'c' has class 'benign'; the network knows non-PDAC, PDAC"
    metrics = write_evaluation(found, tmp_path / "out", bootstrap=0)
    assert metrics["counts"]["failed"] == 3
    assert list(metrics["failed_cases"]) == ["a", "b", "c"]
    assert any("3 failed cases" in warning for warning in metrics["warnings"])
    rows = list(csv.DictReader((tmp_path / "out" / "cases.csv").open()))
    assert [row["status"] for row in rows] == ["failed", "failed", "failed", "done"]


def test_no_case_at_all(planned: Workspace, random_model: Callable[..., Path], tmp_path: Path) -> None:
    shutil.copytree(planned.raw, tmp_path / "raw")
    (case, *_) = crops_of(tmp_path / "raw")
    found = evaluate_model(random_model(), [replace(case, class_name=None)], Scoring())
    with pytest.raises(CaseError, match="none of 1 cases could be measured, the first 'a': case 'a' has no class"):
        write_evaluation(found, tmp_path / "out", bootstrap=0)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cases.csv"]


def test_subtypes_are_not_warned_of_missing_negatives() -> None:
    cases = tuple(subtype_case(f"c{k}", k, (0.4, 0.3, 0.3), True) for k in range(3))
    scoring = Scoring(("subtype0", "subtype1", "subtype2"))
    metrics = figures(Evaluation(cases, {}, {}, (), scoring, {}, ("trained on: boxes",)))
    assert metrics["warnings"] == ["trained on: boxes"]
    assert metrics["auroc"]["value"] is not None
    only_pdac = Evaluation(tuple(four_cases()[:2]), {}, {}, (), Scoring(("PDAC",)), {}, ())
    assert figures(only_pdac)["warnings"] == ["no negative case: the AUROC is undefined"]
