"""One fold from start to end with a trainer that learns nothing: resuming, restarting, what is written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ctcore.errors import CheckpointError, DatasetError, FolderInUseError, RecipeError, RequestError
from ctcore.json_files import read_json, write_json
from ctcore.lock import locked
from ctcore.nnunet.provenance import recorded
from ctcore.nnunet.recipe import TrainingRecipe, WeightsOrigin
from ctcore.nnunet.training.as_trained import recipe_as_trained
from ctcore.nnunet.training.fold import check_fold, train_fold
from ctcore.nnunet.training.trained import trained_folds, trained_state
from ctcore.nnunet.workspace import Workspace
from tests.ctcore.nnunet.conftest import make_recipe

FOLD_FILES = (
    "weights.safetensors",
    "weights_best.safetensors",
    "checkpoint_latest.pth",
    "checkpoint_final.pth",
    "checkpoint_best.pth",
    "training.json",
    "initial_weights.json",
    ".partial-x.pth",
)


class CountingTrainer:
    """Stands for nnU-Net's trainer: its only weight counts the epochs."""

    runs = 0
    stop_after: int | None = None

    def __init__(
        self, plans: Any, configuration: str, fold: int | str, dataset_json: Any, device: torch.device
    ) -> None:
        name = f"Trainer__{plans['plans_name']}__{configuration}"
        self.output_folder = str(Path(os.environ["nnUNet_results"]) / dataset_json["name"] / name / f"fold_{fold}")
        Path(self.output_folder).mkdir(parents=True, exist_ok=True)
        self.network = torch.nn.Linear(1, 1, bias=False)
        self.network.weight.data.zero_()
        self.latest = Path(self.output_folder) / "checkpoint_latest.pth"
        self.module, self.was_initialized, self.ema = self.network, True, None

    def configure(
        self, recipe: TrainingRecipe, progress: Callable[..., None] | None, *, workers: int, precision: str
    ) -> None:
        assert (workers, precision) == (0, "auto")
        self.epochs = recipe.epochs
        self.progress = progress

    def load_checkpoint(self, path: str) -> None:
        self.network.weight.data.fill_(float(Path(path).read_text()))

    def run_training(self) -> None:
        CountingTrainer.runs += 1
        print("nnU-Net would print here")
        for epoch in range(int(self.network.weight.item()), self.epochs):
            self.network.weight.data.fill_(epoch + 1)
            self.latest.write_text(str(epoch + 1))
            if self.progress is not None:
                self.progress(epoch + 1, self.epochs, {"train": 0.5})

    def summary(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def trained_network(self) -> torch.nn.Module:
        return self.network


@pytest.fixture(autouse=True)
def _no_runs_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CountingTrainer, "runs", 0)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path, "Dataset007_Tiny")
    write_json(made.raw / "dataset.json", {"name": made.dataset_name})
    write_json(made.plans_file, {"plans_name": "nnUNetPlans"})
    write_json(made.preprocessed / "splits_final.json", [{}, {}])
    return made


@pytest.fixture
def train(workspace: Workspace, recipe: Callable[..., TrainingRecipe]) -> Callable[..., Path]:
    """Returns a function that trains four epochs of a fold."""

    def run(fold: str = "0", **options: Any) -> Path:
        make: Any = CountingTrainer
        return train_fold(workspace, recipe(), fold, make, workers=0, **options)

    return run


def interrupt_after(epoch: int) -> Callable[..., None]:
    def progress(done: int, total: int, figures: dict[str, float]) -> None:
        assert total == 4
        if done == epoch:
            raise KeyboardInterrupt

    return progress


def test_a_finished_fold(train: Callable[..., Path], workspace: Workspace) -> None:
    folder = train("1")
    assert trained_folds(workspace, "tiny") == {"1": folder}
    assert trained_state(folder)["weight"].item() == 4
    assert read_json(folder / "recipe.json")["epochs"] == 4
    assert read_json(folder / "training.json") == {"epochs": 4}


def test_fold_all_and_numbered_folds_are_listed(train: Callable[..., Path], workspace: Workspace) -> None:
    assert {fold: train(fold) for fold in ("all", "0")} == trained_folds(workspace, "tiny")


def test_a_finished_fold_is_not_trained_again(train: Callable[..., Path]) -> None:
    assert train() == train()
    assert CountingTrainer.runs == 1


def test_an_interrupted_fold_goes_on(train: Callable[..., Path], workspace: Workspace) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(progress=interrupt_after(3))
    with pytest.raises(DatasetError, match="recipe 'tiny' has no trained fold"):
        trained_folds(workspace, "tiny")
    epochs: list[int] = []
    train(progress=lambda done, total, figures: epochs.append(done))
    assert epochs == [4]


def test_a_restart_begins_anew(train: Callable[..., Path], workspace: Workspace) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(progress=interrupt_after(3))
    folder = next(workspace.root.glob("results/tiny/*/*/fold_0"))
    left = [folder / name for name in (*FOLD_FILES, "tensorboard/events")]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_text("1")
    epochs: list[int] = []
    train(resume=False, progress=lambda done, total, figures: epochs.append(done))
    assert epochs == [1, 2, 3, 4]
    written = {"weights.safetensors", "training.json", "checkpoint_latest.pth"}
    assert {path.name for path in left if path.exists()} == written


def test_an_interrupted_restart_does_not_count_as_trained(train: Callable[..., Path], workspace: Workspace) -> None:
    train()
    with pytest.raises(KeyboardInterrupt):
        train(resume=False, progress=interrupt_after(1))
    with pytest.raises(DatasetError, match="no trained fold"):
        trained_folds(workspace, "tiny")
    train()
    assert CountingTrainer.runs == 3


def test_killed_between_the_final_checkpoint_and_the_weights(train: Callable[..., Path]) -> None:
    folder = train()
    (folder / "weights.safetensors").unlink()
    (folder / "checkpoint_latest.pth").rename(folder / "checkpoint_final.pth")
    epochs: list[int] = []
    train(progress=lambda done, total, figures: epochs.append(done))
    assert epochs == []
    assert trained_state(folder)["weight"].item() == 4


def test_a_fold_that_another_command_trains_is_refused(train: Callable[..., Path]) -> None:
    with locked(train()), pytest.raises(FolderInUseError, match="fold_0' is in use"):
        train()
    assert CountingTrainer.runs == 1


def test_the_best_weights(train: Callable[..., Path]) -> None:
    folder = train()
    with pytest.raises(DatasetError, match=r"weights_best\.safetensors' is missing; export with --checkpoint last"):
        trained_state(folder, "best")
    save_file({"weight": torch.tensor([[3.0]])}, folder / "weights_best.safetensors")
    assert trained_state(folder, "best")["weight"].item() == 3
    assert trained_state(folder, "last")["weight"].item() == 4


def test_another_recipe_of_the_same_name_is_refused(
    train: Callable[..., Path], workspace: Workspace, recipe: Callable[..., TrainingRecipe]
) -> None:
    train()
    make: Any = CountingTrainer
    other = recipe(learning_rate=0.5)
    message = (
        r"other values of recipe 'tiny' \(learning_rate was 0\.01 and is 0\.5\); .* --set name=tiny-2, .* --restart"
    )
    with pytest.raises(RecipeError, match=message):
        train_fold(workspace, other, "0", make, workers=0)
    train_fold(workspace, recipe(learning_rate=0.5, name="tiny-2"), "0", make, workers=0)
    train_fold(workspace, other, "0", make, workers=0, resume=False)
    assert CountingTrainer.runs == 3
    with pytest.raises(
        DatasetError, match=r"recipe 'typo' has no trained fold .* unless --set name=tiny or name=tiny-2"
    ):
        trained_folds(workspace, "typo")


def test_a_recipe_from_before_a_field_was_added(train: Callable[..., Path]) -> None:
    folder = train()
    values = read_json(folder / "recipe.json")
    del values["planner"]
    write_json(folder / "recipe.json", values)
    train()
    assert CountingTrainer.runs == 1


def test_a_plan_of_other_sizes_is_refused(
    train: Callable[..., Path], workspace: Workspace, recipe: Callable[..., TrainingRecipe]
) -> None:
    with recorded(workspace.planned_with_file, recipe(patch_size=(32, 32, 32))):
        pass
    with pytest.raises(RecipeError, match=r"contradicts what `plan` did .*: patch_size was \[32, 32, 32\] and is"):
        train()
    assert CountingTrainer.runs == 0


@pytest.fixture
def two_epochs(tmp_path: Path) -> Path:
    """The weights of a training of two epochs."""
    save_file({"weight": torch.tensor([[2.0]])}, tmp_path / "two.safetensors")
    return tmp_path / "two.safetensors"


def test_training_starts_from_given_weights(train: Callable[..., Path], two_epochs: Path) -> None:
    epochs: list[int] = []
    lines: list[str] = []
    folder = train(init_from=two_epochs, tell=lines.append, progress=lambda done, total, figures: epochs.append(done))
    assert epochs == [3, 4]
    assert lines == [f"initial weights: 1 of 1 tensors from '{two_epochs.parent.name}/two.safetensors'"]
    origin = read_json(folder / "recipe.json")["initial_weights"]
    assert origin["sha256"] == hashlib.sha256(two_epochs.read_bytes()).hexdigest()
    assert read_json(folder / "initial_weights.json") == {
        **origin, "file": "two.safetensors", "loaded": ["weight"], "misfits": [], "missing": [], "unused": [],
    }  # fmt: skip
    assert recipe_as_trained({"0": folder}, make_recipe()).initial_weights == WeightsOrigin(**origin)


def test_a_resumed_training_does_not_load_them_again(train: Callable[..., Path], two_epochs: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(init_from=two_epochs, progress=interrupt_after(3))
    copy = two_epochs.with_name("copy.safetensors")
    copy.write_bytes(two_epochs.read_bytes())
    two_epochs.unlink()
    epochs: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        train(init_from=copy, tell=pytest.fail, progress=interrupt_after(4))
    folder = train(progress=lambda done, total, figures: epochs.append(done))  # nor need they be given again
    assert epochs == []
    assert read_json(folder / "recipe.json")["initial_weights"]["source"].endswith("two.safetensors")
    assert train() == train(init_from=copy) == folder
    assert CountingTrainer.runs == 3


def test_a_training_from_other_weights_is_not_gone_on_with(train: Callable[..., Path], two_epochs: Path) -> None:
    other = two_epochs.with_name("other.safetensors")
    save_file({"weight": torch.tensor([[1.0]])}, other)
    with pytest.raises(KeyboardInterrupt):
        train(progress=interrupt_after(1))
    with pytest.raises(RequestError, match=r"was begun from random weights, not from '.*two\.safetensors' \("):
        train(init_from=two_epochs)
    with pytest.raises(KeyboardInterrupt):
        train(init_from=two_epochs, resume=False, progress=interrupt_after(3))
    with pytest.raises(
        RequestError, match=r"was begun from '.*two.*, not from '.*other.*or begin again with --restart"
    ):
        train(init_from=other)


def test_weights_are_still_needed_before_the_first_checkpoint(train: Callable[..., Path], two_epochs: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(init_from=two_epochs, progress=interrupt_after(3))
    folder = Path(train(init_from=two_epochs)).parent / "fold_0"
    for name in ("checkpoint_latest.pth", "weights.safetensors"):
        (folder / name).unlink()
    with pytest.raises(
        RequestError, match=r"was begun from '.*two.*, not from random weights; give the same --init-from"
    ):
        train()
    other = two_epochs.with_name("other.safetensors")
    save_file({"weight": torch.tensor([[1.0]])}, other)
    epochs: list[int] = []
    train(init_from=other, progress=lambda done, total, figures: epochs.append(done))
    assert epochs == [2, 3, 4]


def test_weights_that_do_not_fit_can_be_replaced(train: Callable[..., Path], two_epochs: Path) -> None:
    wide = two_epochs.with_name("wide.safetensors")
    save_file({"weight": torch.zeros(2, 2)}, wide)
    with pytest.raises(CheckpointError, match=r"no weights of .*wide"):
        train(init_from=wide)
    folder = train(init_from=two_epochs)
    assert read_json(folder / "recipe.json")["initial_weights"]["source"].endswith("two.safetensors")


def test_the_origin_of_weights_is_not_written_by_hand(
    workspace: Workspace, recipe: Callable[..., TrainingRecipe]
) -> None:
    make: Any = CountingTrainer
    with pytest.raises(RecipeError, match="initial_weights of recipe 'tiny' is written by training; give --init-from"):
        train_fold(workspace, recipe(initial_weights={"source": "x", "sha256": "y"}), "0", make)


def test_only_the_callers_progress_reaches_the_console(
    train: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    train(progress=lambda done, total, figures: print(f"epoch {done}/{total} {figures}"))
    assert capsys.readouterr().out == "".join(f"epoch {epoch}/4 {{'train': 0.5}}\n" for epoch in range(1, 5))


def test_nothing_to_train_on(tmp_path: Path, recipe: Callable[..., TrainingRecipe]) -> None:
    make: Any = CountingTrainer
    with pytest.raises(DatasetError, match="run `plan` first"):
        train_fold(Workspace(tmp_path / "empty", "Dataset007_Tiny"), recipe(), "0", make)


@pytest.mark.parametrize("fold", ["one", "-1", "1.0", ""])
def test_a_fold_that_is_none(workspace: Workspace, fold: str) -> None:
    with pytest.raises(RequestError, match=f"fold '{fold}' is neither a number nor 'all'"):
        check_fold(workspace, fold)


def test_a_fold_beyond_the_split(workspace: Workspace) -> None:
    check_fold(workspace, "all")
    check_fold(workspace, "1")
    with pytest.raises(DatasetError, match="fold 2 is not in the split, which has folds 0 to 1"):
        check_fold(workspace, "2")
