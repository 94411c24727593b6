"""A dataset with pseudo-labels: complete, marked, split so that none is validated on, ready for `prepare`."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ctcore.datasets.layouts import read_dataset
from ctcore.detection.candidates import CandidateSettings
from ctcore.errors import BundleError, DatasetError, RequestError
from ctcore.files import read, write
from ctcore.inference.backends.choose import Execution
from ctcore.json_files import read_json, write_json
from stage2_multitask.cli import app
from stage2_multitask.dataset import workspace_at
from stage2_multitask.pseudo_dataset import bundle_candidates, write_pseudo_labels
from stage2_multitask.recipe import MultiTaskRecipe
from tests.stage2_multitask.weak_patients import LABELS, SURE, UNSURE, ThresholdNetwork, label_array, write_patients


@pytest.fixture(autouse=True)
def _threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stage2_multitask.pseudo_dataset.MultiTaskPredictor", ThresholdNetwork)


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    return write_patients(tmp_path / "patients")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as handle:
        return list(csv.DictReader(handle))


def test_a_dataset_is_completed(patients: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    result = call("pseudo-label", "--model", tmp_path, "--input", patients, "--output", output, "--folds", 2)
    assert result.exit_code == 1, result.output
    assert "left out three: 2 of 3 lesions found" in result.stderr
    assert "left out bare: it has no label map" in result.stderr
    assert "left out healthy: it has no label map" in result.stderr
    assert f"4 label maps kept, 2 drawn: {output}" in result.stdout

    kept = ["a1", "a2", "n1", "n2", "one", "two"]
    assert sorted(path.name.removesuffix(".nii.gz") for path in (output / "labelsTr").iterdir()) == kept
    assert sorted(path.name.removesuffix("_0000.nii.gz") for path in (output / "imagesTr").iterdir()) == kept
    for case_id in kept:
        image = output / "imagesTr" / f"{case_id}_0000.nii.gz"
        assert image.resolve() == (patients / "imagesTr" / image.name).resolve()
        assert (output / "labelsTr" / f"{case_id}.nii.gz").is_symlink() == (case_id not in ("one", "two"))
    expected = label_array()
    expected[SURE] = 1
    np.testing.assert_array_equal(read(output / "labelsTr" / "one.nii.gz").array, expected)
    expected[UNSURE] = 1
    np.testing.assert_array_equal(read(output / "labelsTr" / "two.nii.gz").array, expected)

    table = {row["case_id"]: row for row in rows_of(output / "case_labels.csv")}
    assert {case_id: row["label_source"] for case_id, row in table.items()} == {
        case_id: "pseudo" if case_id in ("one", "two") else "manual" for case_id in kept
    }
    assert (table["two"]["lesion_count"], table["two"]["patient_id"]) == ("2", "p2")
    lesions = rows_of(output / "pseudo_labels.csv")
    assert [(row["case_id"], row["lesion"], float(row["confidence"]), row["voxels"]) for row in lesions] == [
        ("one", "1", 0.875, "27"), ("two", "1", 0.875, "27"), ("two", "2", 0.5, "27"),
    ]  # fmt: skip
    splits = read_json(output / "splits_final.json")
    assert sorted(case_id for split in splits for case_id in split["val"]) == ["a1", "a2", "n1", "n2"]
    assert all({"one", "two"} <= set(split["train"]) for split in splits)
    dataset = read_dataset(output)
    assert {case.case_id: case.label_source for case in dataset.cases}["two"] == "pseudo"
    assert dataset.labels == LABELS


def test_prepare_carries_the_mark(patients: Path, tmp_path: Path, recipe_file: Path) -> None:
    call("pseudo-label", "--model", tmp_path, "--input", patients, "--output", tmp_path / "out", "--folds", 2)
    changes = ["--set", "labels={background = 0, lesion = 1, pancreas = 4}"]
    prepared = call(
        "prepare", "--input", tmp_path / "out", "--output", tmp_path / "w", "--recipe", recipe_file, *changes
    )
    assert prepared.exit_code == 0, prepared.output
    workspace = workspace_at(tmp_path / "w")
    sources = {row["case_id"]: row["label_source"] for row in rows_of(workspace.cases_file)}
    weak = {case_id for case_id, source in sources.items() if source == "pseudo"}
    assert weak == {"one", "two"}
    for split in read_json(workspace.preprocessed / "splits_final.json"):
        assert weak <= set(split["train"])
        assert weak.isdisjoint(split["val"])


def test_crops_need_no_label_map(patients: Path, tmp_path: Path) -> None:
    found = write_pseudo_labels(tmp_path, patients, tmp_path / "out", folds=2, roi_crops=True)
    assert sorted(found.left_out) == ["three"]
    assert sorted(found.pseudo) == ["bare", "healthy", "one", "two"]
    assert not (read(tmp_path / "out" / "labelsTr" / "healthy.nii.gz").array == 1).any()
    rows = rows_of(tmp_path / "out" / "pseudo_labels.csv")
    assert [row["confidence"] for row in rows if row["case_id"] == "bare"] == ["1.0"]


def test_folds_of_the_dataset_are_kept(patients: Path, tmp_path: Path) -> None:
    write_json(patients / "splits_final.json", [{"train": ["a1", "n1", "one"], "val": ["a2", "n2", "two"]}])
    write_pseudo_labels(tmp_path, patients, tmp_path / "out")
    assert read_json(tmp_path / "out" / "splits_final.json") == [
        {"train": ["a1", "n1", "one", "two"], "val": ["a2", "n2"]}
    ]


def test_a_bundle_says_how_candidates_are_cut_out(patients: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    write_json(bundle / "bundle.json", {"candidates": {"min_confidence": 0.75}})
    found = bundle_candidates(bundle)
    assert found is not None
    assert found.min_confidence == 0.75
    arguments = ("pseudo-label", "--model", bundle, "--input", patients, "--folds", 2)
    assert "left out two: 1 of 2 lesions" in call(*arguments, "--output", tmp_path / "out").stderr
    again = call(*arguments, "--output", tmp_path / "again", "--min-confidence", 0.5, "--growth-factor", 5)
    assert "left out two" not in again.stderr
    write_json(bundle / "bundle.json", {"candidates": {"mode": "guess"}})
    with pytest.raises(BundleError, match="candidates: mode = 'guess'"):
        bundle_candidates(bundle)


def test_what_is_refused(patients: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match="is not empty; give another --output"):
        write_pseudo_labels(tmp_path, patients, patients)
    with pytest.raises(DatasetError, match="3 folds cannot be made"):
        write_pseudo_labels(tmp_path, patients, tmp_path / "out", folds=3)
    write_json(patients / "dataset.json", {"labels": {"background": 0, "fat": 1, "pancreas": 4}})
    with pytest.raises(DatasetError, match=r"no label of .* is a lesion: background, fat, pancreas"):
        write_pseudo_labels(tmp_path, patients, tmp_path / "out", folds=2)
    write_json(patients / "dataset.json", {"labels": LABELS})
    (patients / "case_labels.csv").write_text("case_id,class_name\na1,PDAC\na2,PDAC\nn1,non-PDAC\nn2,non-PDAC\n")
    with pytest.raises(DatasetError, match="there is nothing to draw"):
        write_pseudo_labels(tmp_path, patients, tmp_path / "out", folds=2)
    (patients / "case_labels.csv").unlink()
    with pytest.raises(DatasetError, match="which gives the classes; add it"):
        write_pseudo_labels(tmp_path, patients, tmp_path / "out", folds=2)
    network = ThresholdNetwork()
    network.model.recipe = json.loads("{}")
    monkeypatch.setattr("stage2_multitask.pseudo_dataset.MultiTaskPredictor", lambda *_: network)
    write_patients(patients)
    with pytest.raises(BundleError, match="does not say with which margin it was trained"):
        write_pseudo_labels(tmp_path, patients, tmp_path / "out", folds=2)
    assert not (tmp_path / "out").exists()


def test_a_network_of_random_weights(
    training_folder: Path,
    tmp_path: Path,
    recipe: MultiTaskRecipe,
    random_model: Callable[..., Path],
    execution: Execution,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("ctcore.inference.backends.choose.resolve", lambda *_: execution)
    folder = shutil.copytree(training_folder, tmp_path / "patients")
    label = read(folder / "labelsTr" / "a.nii.gz")
    write(label.with_array(np.where(label.array == 1, np.uint8(4), label.array)), folder / "labelsTr" / "a.nii.gz")
    for case_id in ("a2", "c2"):  # a second drawn case of the class
        for name, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
            shutil.copy(folder / name / f"c{ending}", folder / name / f"{case_id}{ending}")
    with (folder / "case_labels.csv").open("a") as table:
        table.write("a2,PDAC\nc2,PDAC\n")
    model = random_model(recipe=recipe.model_dump(mode="json"))
    settings = CandidateSettings(mode="dynamic-fast")
    found = write_pseudo_labels(model, folder, tmp_path / "out", folds=2, settings=settings)
    assert (found.pseudo, found.left_out) == (["a"], {})
    made = read(tmp_path / "out" / "labelsTr" / "a.nii.gz").array
    (row,) = rows_of(tmp_path / "out" / "pseudo_labels.csv")
    assert np.count_nonzero(made == 1) == int(row["voxels"])
    assert 0 < float(row["confidence"]) <= 1
    anatomy = np.where(label.array == 1, 4, label.array)
    np.testing.assert_array_equal(made[made != 1], anatomy[made != 1])
