"""The commands that both stages share hand their options on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from ctcore.datasets.description import Layout
from ctcore.errors import DatasetError, RequestError
from ctcore.json_files import read_json
from ctcore.labels import CLASS_NAMES
from ctcore.nnunet.commands import add_training_commands
from ctcore.nnunet.workspace import Workspace
from ctcore.ray_cluster import RayRequest
from tests.ctcore.datasets.layouts_on_disk import write_nnunet
from tests.ctcore.nnunet.training.test_training_page import fold_folder, train


class RecordingStage:
    """Remembers what it was asked for."""

    title = "stage 9"
    folder = "stage9"
    makes = "nothing at all"

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def load(self, recipe: str, changes: Sequence[str] = ()) -> str:
        return f"<{' '.join([recipe, *changes])}>"

    def needs(self, recipe: Any) -> dict[str, Any]:
        return {"class_names": None, "label_names": None}

    def prepare(self, sources: list[Path], root: Path, recipe: Any, **options: Any) -> None:
        options.pop("progress")(1, 1)
        self.calls.append(([str(path) for path in sources], str(root), recipe, options))

    def workspace_at(self, root: Path) -> Any:
        return Workspace(root, "Dataset009_Nothing")

    def train(self, root: Path, recipe: Any, fold: str, **options: Any) -> Path:
        options.pop("progress")(1, 2, {"dice": 0.25})
        options.pop("tell")("half of the weights")
        self.calls.append((str(root), recipe, fold, options))
        return root / fold

    def export(self, root: Path, recipe: Any, output: Path, **options: Any) -> None:
        self.calls.append((str(root), recipe, str(output), options))


class NamedStage(RecordingStage):
    """Has recipes with a name."""

    def load(self, recipe: str, changes: Sequence[str] = ()) -> Any:
        return SimpleNamespace(name=" ".join([recipe, *changes]))


@pytest.fixture
def stage() -> RecordingStage:
    return RecordingStage()


def call(stage: RecordingStage, line: str, exit_code: int = 0) -> Result:
    app = typer.Typer()
    add_training_commands(app, stage)
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == exit_code, result.output
    return result


@pytest.fixture
def two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the datasets `a` and `b`."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate("ab"):
        write_nnunet(
            tmp_path / name, {f"{name}{case}": CLASS_NAMES[case % 2] for case in range(2)}, first_seed=10 * number
        )
    return tmp_path


def test_prepare(stage: RecordingStage, two_folders: Path) -> None:
    result = call(stage, "prepare --input a --input b --output w --recipe big --folds 2 --workers 2")
    options: dict[str, Any] = {"layout": Layout.NNUNET, "splits": None, "leave_out": frozenset()}
    options |= {"folds": 2, "workers": 2}
    assert stage.calls == [(["a", "b"], "w", "<big>", options)]
    assert "4 cases examined: 0 need a person, 0 more have notes" in result.stdout
    assert "Dataset: w" in result.stdout
    assert read_json(two_folders / "w" / "doctor.json")["cases"] == {}


def test_check_only(stage: RecordingStage, two_folders: Path) -> None:
    result = call(stage, "prepare --input a --input b --output w --folds 2 --check-only")
    assert stage.calls == []
    assert "Findings: w/doctor.json" in result.stdout
    assert [path.name for path in (two_folders / "w").iterdir()] == ["doctor.json"]


@pytest.mark.parametrize("option", ["", " --check-only"])
def test_faults_end_preparation(stage: RecordingStage, two_folders: Path, option: str) -> None:
    (two_folders / "b" / "labelsTr" / "b1.nii.gz").write_bytes(b"")
    result = call(stage, "prepare --input a --input b --output w --folds 2" + option, exit_code=1)
    assert stage.calls == []
    assert "unreadable-label" in result.stdout
    assert result.stderr == (
        "error: the dataset has faults; correct them, or pass --skip-faulty to leave these cases out\n"
    )
    assert list(read_json(two_folders / "w" / "doctor.json")["cases"]) == ["b1"]


def test_faulty_cases_can_be_skipped(stage: RecordingStage, two_folders: Path) -> None:
    (two_folders / "b" / "labelsTr" / "b1.nii.gz").write_bytes(b"")
    call(stage, "prepare --input a --input b --output w --folds 2 --skip-faulty")
    assert stage.calls[0][3]["leave_out"] == {"b1"}


def test_faults_of_the_whole_cannot_be_skipped(stage: RecordingStage, two_folders: Path) -> None:
    result = call(stage, "prepare --input a --output w --folds 2 --skip-faulty", exit_code=1)
    assert stage.calls == []
    assert result.stderr == "error: the dataset has faults; correct them\n"


def test_plan(stage: RecordingStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = Workspace(Path("w"), "Dataset009_Nothing")
    workspace.write_dataset_json({"background": 0}, 1)
    monkeypatch.setattr(
        "ctcore.nnunet.planning.plan.plan",
        lambda workspace, recipe, *, workers: stage.calls.append((workspace.plans_file, recipe, workers)),
    )
    assert f"Plan: {workspace.plans_file}" in call(stage, "plan --workspace w --workers 0").stdout
    assert stage.calls == [(workspace.plans_file, "<demo>", 1)]


@pytest.mark.parametrize(("flag", "resume"), [("", True), (" --resume", True), (" --restart", False)])
def test_train(stage: RecordingStage, flag: str, resume: bool) -> None:
    result = call(stage, "train --workspace w --fold all --device cuda --workers 0" + flag)
    options = {"device": "cuda", "resume": resume, "workers": 0, "precision": "auto", "deterministic": False}
    assert stage.calls == [("w", "<demo>", "all", options | {"init_from": None, "mlflow": None})]
    assert "half of the weights" in result.stdout
    assert "stage 9 fold all: epoch 1/2  dice 0.250" in result.stdout
    assert "Trained: w/all" in result.stdout


def test_several_folds_are_trained_in_turn(stage: RecordingStage) -> None:
    result = call(stage, "train --workspace w --fold 0,2")
    assert [call[2] for call in stage.calls] == ["0", "2"]
    assert result.stdout.index("Trained: w/0") < result.stdout.index("Trained: w/2")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--fold 0,0", "folds '0,0' are not a list of different folds; write for instance --fold 0,2"),
        ("--fold 0,", "folds '0,' are not a list of different folds; write for instance --fold 0,2"),
        ("--ray-gpus 1", "--ray-address and --ray-gpus are for Ray; add --executor ray, or leave them out"),
        ("--executor ray --device cuda", "--device cuda and --ray-gpus 0 contradict each other; give both or none"),
        ("--executor ray --ray-gpus 0.5", "--device cpu and --ray-gpus 0.5 contradict each other; give both or none"),
    ],
)
def test_requests_that_contradict_themselves(
    stage: RecordingStage, options: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctcore.executor_options.check_ray", lambda: None)
    app = typer.Typer()
    add_training_commands(app, stage)
    with pytest.raises(RequestError) as raised:
        CliRunner().invoke(app, ["train", "--workspace", "w", *options.split()], catch_exceptions=False)
    assert str(raised.value) == message
    assert stage.calls == []


def test_folds_on_ray(stage: RecordingStage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def train_folds(train: Any, folds: list[str], **options: Any) -> list[str]:
        asked.append((train.workspace, train.recipe, train.options["device"], folds, options))
        return folds[::-1]

    monkeypatch.setattr("ctcore.executor_options.check_ray", lambda: None)
    monkeypatch.setattr("ctcore.nnunet.training.folds_on_ray.train_folds", train_folds)
    line = "train --workspace w --fold 0,1 --executor ray --ray-address h:1 --ray-gpus 1 --ray-cpus 8 --device cuda"
    result = call(stage, line + " --restart")
    request = RayRequest("h:1", None, 8, 1.0)
    assert asked == [(Path("w"), "<demo>", "cuda", ["0", "1"], {"resume": False, "request": request})]
    assert result.stdout.index("Trained: fold 1") < result.stdout.index("Trained: fold 0")


def test_train_in_another_precision(stage: RecordingStage) -> None:
    call(stage, "train --workspace w --precision bf16 --deterministic")
    assert stage.calls[0][3]["precision"] == "bf16"
    assert stage.calls[0][3]["deterministic"] is True


def test_train_from_weights(stage: RecordingStage, tmp_path: Path) -> None:
    (tmp_path / "bundle" / "stage9").mkdir(parents=True)
    for name in ("bundle.json", "stage9/model.json"):
        (tmp_path / "bundle" / name).write_text("{}")
    call(stage, f"train --workspace w --init-from {tmp_path / 'bundle'}")
    assert stage.calls[0][3]["init_from"] == tmp_path / "bundle" / "stage9"


def test_a_stopped_training(stage: RecordingStage, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "train", stop)
    result = call(stage, "train --workspace w", exit_code=130)
    assert result.stderr == "stopped: run the same command again to go on after the last finished epoch\n"


@pytest.mark.parametrize("checkpoint", ["last", "best"])
def test_export(stage: RecordingStage, checkpoint: str) -> None:
    option = "" if checkpoint == "last" else " --checkpoint best"
    assert "Model: m" in call(stage, "export --workspace w --output m --trained-on boxes" + option).stdout
    options = {"trained_on": "boxes", "changes": (), "checkpoint": checkpoint}
    assert stage.calls == [("w", "<demo>", "m", options)]


def test_fields_are_set_on_every_command(
    stage: RecordingStage, two_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ctcore.nnunet.planning.plan.plan", lambda workspace, recipe, *, workers: stage.calls.append((recipe,))
    )
    changes = " --recipe r --set epochs=5 --set name=longer"
    call(stage, "prepare --input a --input b --output w --folds 2" + changes)
    stage.workspace_at(Path("w")).write_dataset_json({"background": 0}, 4)
    call(stage, "plan --workspace w" + changes)
    call(stage, "train --workspace w" + changes)
    call(stage, "export --workspace w --output m --trained-on boxes" + changes)
    prepared, planned, trained, exported = stage.calls
    assert [prepared[2], planned[0], trained[1], exported[1]] == ["<r epochs=5 name=longer>"] * 4
    assert list(exported[3]["changes"]) == ["epochs=5", "name=longer"]


def test_training_report(tmp_path: Path) -> None:
    results = tmp_path / "w" / "results" / "tiny"
    train(fold_folder(results))
    result = call(NamedStage(), f"training-report --workspace {tmp_path / 'w'} --recipe tiny")
    assert result.output == f"Page: {results / 'training.html'}\n"
    call(NamedStage(), f"training-report --workspace {tmp_path / 'w'} --recipe tiny --output {tmp_path / 'o'}")
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["fold_0.html", "training.html"]
    result = call(NamedStage(), f"training-report --workspace {tmp_path / 'w'} --recipe other", exit_code=1)
    assert isinstance(result.exception, DatasetError)
    assert re.match(r"no fold was begun in '.*/w/results/other'; run `train` first", str(result.exception))
