"""The course of a training: killed and continued, repeated, stopped early; what is logged and kept."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data._utils import worker

from ctcore.errors import CheckpointError, TrainingError
from ctcore.nnunet.training import epochs, resumable, training_page
from ctcore.nnunet.training.checkpoint import read_checkpoint
from ctcore.nnunet.training.course import read_course
from ctcore.nnunet.training.trainer import RecipeTrainer
from ctcore.nnunet.training.training_page import results_of
from tests.ctcore.nnunet import tiny_training
from tests.ctcore.nnunet.tiny_training import (
    die_at_call,
    environment_of,
    exit_code_of,
    make_trainer,
    make_workspace,
    shown,
    start,
    train_tiny,
    weights_of,
)

KILLED = -9


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A planned workspace."""
    return make_workspace(tmp_path).root


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fold trained for three epochs of two steps."""
    return train_tiny(make_workspace(tmp_path_factory.mktemp("undisturbed")).root)


def train_until(moment: str, number: int, root: Path, **options: Any) -> None:
    """Trains until the n-th call of what `moment` names, and dies there."""
    vars(worker)["MP_STATUS_CHECK_INTERVAL"] = 0.1  # seconds until a loader looks whether it is alone
    if moment == "half a checkpoint":
        die_at_call(torch, "save", number, halfway=True)
    elif moment == "write_weights":
        die_at_call(epochs, moment, number)
    elif moment == "write_checkpoint":
        die_at_call(resumable, moment, number)
    else:
        die_at_call(RecipeTrainer, moment, number)
    train_tiny(root, **options)


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("train_step", 2),  # in the first epoch: nothing to go on from
        ("train_step", 4),
        ("validation_step", 2),
        ("half a checkpoint", 1),  # of the best
        ("half a checkpoint", 2),  # of the latest
        ("write_checkpoint", 4),  # between the two
        ("write_weights", 2),
        ("on_train_end", 1),
        ("summary", 1),  # the final checkpoint is there, the weights are not
    ],
)
def test_killed_and_continued_gives_the_same_bits(moment: str, number: int, root: Path, undisturbed: Path) -> None:
    assert exit_code_of(start(train_until, moment, number, root)) == KILLED
    folder = train_tiny(root)
    assert weights_of(folder) == weights_of(undisturbed)
    assert load_file(folder / "weights_best.safetensors").keys() == load_file(folder / "weights.safetensors").keys()
    assert (folder / "weights_best.safetensors").read_bytes() == (undisturbed / "weights_best.safetensors").read_bytes()
    assert not list(folder.glob(".partial-*"))
    assert not (folder / "checkpoint_latest.pth").exists()
    ends = [json.loads((each / "training.json").read_text()) for each in (folder, undisturbed)]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon"])
def test_every_optimizer_is_continued(optimizer: str, root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    def stop(done: int, total: int, figures: dict[str, float]) -> None:
        if done == 2:
            raise KeyboardInterrupt

    changes = {"optimizer": optimizer}
    expected = weights_of(train_tiny(make_workspace(tmp_path_factory.mktemp("undisturbed")).root, changes))
    with pytest.raises(KeyboardInterrupt):
        train_tiny(root, changes, progress=stop)
    assert weights_of(train_tiny(root, changes)) == expected


def test_curves_are_continued(root: Path) -> None:
    assert exit_code_of(start(train_until, "write_checkpoint", 4, root)) == KILLED  # epoch 1 is on the curves, not kept
    time.sleep(1)  # TensorBoard orders files by the second
    folder = train_tiny(root)
    assert [step for step, _ in shown(folder, "loss/train")] == [0, 1, 2]
    course = read_course(folder)
    assert (course.epochs, [each.first_epoch for each in course.sessions]) == ([0, 1, 2], [0, 1])
    for name, values in course.figures.items():
        assert [value for _, value in shown(folder, name)] == pytest.approx(values)
    assert '<line class="event"' in (folder / "training.html").read_text()
    assert "<b>trained</b>" in (folder / "training.html").read_text()
    assert "fold_0/training.html" in (results_of(folder) / "training.html").read_text()


class FailingTrainer(RecipeTrainer):
    """Fails in its second epoch."""

    def batch_losses(self, *args: Any) -> Any:
        losses = super().batch_losses(*args)
        return losses if self.current_epoch == 0 else {"loss": losses["loss"] * torch.nan}


def test_the_page_tells_why_a_training_ended(root: Path) -> None:
    with pytest.raises(TrainingError, match="the loss is nan in epoch 1 on cases"):
        train_tiny(root, trainer=FailingTrainer)
    (folder,) = (path.parent for path in root.rglob("epochs.json"))
    course = read_course(folder)
    assert course.epochs == [0]
    assert (course.ended_by or "").startswith("the loss is nan in epoch 1 on cases")
    assert "the loss is nan" in (folder / "training.html").read_text()


def test_a_page_that_cannot_be_drawn_ends_no_training(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(folder: Path) -> None:
        raise ZeroDivisionError("of the page")

    monkeypatch.setattr(training_page, "write_pages", fail)
    folder = train_tiny(root)
    assert read_course(folder).epochs == [0, 1, 2]
    assert set(caplog.messages) == {"the page of this training could not be drawn: of the page"}


def test_loader_processes_change_nothing(root: Path, undisturbed: Path) -> None:
    assert exit_code_of(start(train_until, "train_step", 4, root, workers=2)) == KILLED  # its loaders notice and end
    assert weights_of(train_tiny(root, workers=1)) == weights_of(undisturbed)


def test_another_seed_gives_other_weights(root: Path, undisturbed: Path) -> None:
    assert weights_of(train_tiny(root, {"seed": 1})) != weights_of(undisturbed)


def test_what_a_finished_fold_holds(undisturbed: Path) -> None:
    names = {path.name for path in undisturbed.iterdir() if not path.name.startswith("training_log")}
    assert names == {
        "checkpoint_best.pth",
        "checkpoint_final.pth",
        "debug.json",
        "epochs.json",
        "recipe.json",
        "tensorboard",
        "training.html",
        "training.json",
        "weights.safetensors",
        "weights_best.safetensors",
    }
    summary = json.loads((undisturbed / "training.json").read_text())
    smoothed = [value for _, value in shown(undisturbed, "dice/mean_smoothed")]
    assert (summary["epochs"], summary["epochs_at_most"], summary["stopped_early"]) == (3, 3, False)
    assert summary["best_epoch"] == smoothed.index(max(smoothed))
    assert summary["last_smoothed_pseudo_dice"] == pytest.approx(smoothed[-1])
    for curve in ("loss/train", "loss/validation", "dice/mean", "dice/pancreas", "learning_rate", "seconds_an_epoch"):
        assert [step for step, _ in shown(undisturbed, curve)] == [0, 1, 2]


def test_the_exported_weights_are_the_moving_average(undisturbed: Path) -> None:
    for checkpoint, weights in (("final", "weights"), ("best", "weights_best")):
        average = read_checkpoint(undisturbed / f"checkpoint_{checkpoint}.pth", torch.device("cpu"))["moving_average"]
        for name, tensor in load_file(undisturbed / f"{weights}.safetensors").items():
            assert torch.equal(tensor, average[name])


class FadingTrainer(RecipeTrainer):
    """Its pseudo-Dice rises for three epochs and falls from then on."""

    def on_validation_epoch_end(self, val_outputs: Any) -> None:
        epoch = self.current_epoch
        counts = [10 - abs(3 - epoch), 0, 0, abs(3 - epoch) + 2]
        for output in val_outputs:
            for name, count in zip(("tp_hard", "fp_hard", "fn_hard"), (counts[0], 0, counts[3]), strict=True):
                output[name][:] = count
        super().on_validation_epoch_end(val_outputs)


def train_fading(root: Path, last: int | None = None) -> Path:
    def progress(done: int, total: int, figures: dict[str, float]) -> None:
        assert total == 12
        if done == last:
            raise KeyboardInterrupt

    changes = {"epochs": 12, "early_stopping_share": 2 / 12, "iterations_per_epoch": 1}
    return train_tiny(root, changes, trainer=FadingTrainer, progress=progress)


def test_early_stopping(root: Path) -> None:
    # Smoothed by 0.9 and 0.1 the Dice rises until epoch 5, so that epoch 7 is the second one without improvement.
    with pytest.raises(KeyboardInterrupt):
        train_fading(root, last=7)
    folder = train_fading(root)
    smoothed = [value for _, value in shown(folder, "dice/mean_smoothed")]
    best = smoothed.index(max(smoothed))
    assert len(smoothed) == best + 3 < 12
    summary = json.loads((folder / "training.json").read_text())
    assert (summary["epochs"], summary["epochs_at_most"]) == (best + 3, 12)
    assert summary["stopped_early"]
    assert summary["best_epoch"] == best
    logs = "".join(path.read_text() for path in folder.glob("training_log*.txt"))
    assert "Stopped early: no better smoothed pseudo-Dice for 2 epochs" in logs


def test_an_absent_label_says_nothing(root: Path) -> None:
    class Nothing(RecipeTrainer):
        def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
            output = super().validation_step(batch)
            if self.current_epoch != 1:
                for name in ("tp_hard", "fp_hard", "fn_hard"):
                    output[name][:] = 0
            return output

    folder = train_tiny(root, trainer=Nothing)
    smoothed = [value for _, value in shown(folder, "dice/mean_smoothed")]
    assert smoothed[0] == 0
    assert smoothed[1] > 0
    assert smoothed[2] == pytest.approx(smoothed[1])


def test_a_checkpoint_of_another_network(root: Path) -> None:
    with environment_of(root):
        trainer = make_trainer(root)
        trainer.save_checkpoint(str(root / "checkpoint.pth"))
        other = make_trainer(root, optimizer="sgd")
        other.load_checkpoint(str(root / "checkpoint.pth"))
        other.network = torch.nn.Linear(1, 1)
        with pytest.raises(CheckpointError, match=r"is of another network or recipe: .*; train anew with --restart"):
            other.load_checkpoint(str(root / "checkpoint.pth"))


def stop_in_step(root: Path, number: int, console: Path) -> None:
    """Trains with a loader process until a step sends this process a signal."""
    import os

    from ctcore.nnunet.training.interruption import stoppable

    calls: list[int] = []
    original: Callable[..., Any] = RecipeTrainer.train_step

    def step(self: RecipeTrainer, batch: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
            (console.parent / "children").write_text(children)
            os.kill(os.getpid(), number)
        return original(self, batch)

    RecipeTrainer.train_step = step  # type: ignore[method-assign]
    with console.open("w") as stream, contextlib.redirect_stderr(stream), stoppable():
        train_tiny(root, workers=1)


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_leaves_no_process_behind(root: Path, number: int, undisturbed: Path) -> None:
    assert exit_code_of(start(stop_in_step, root, number, root / "console")) == 130
    message = "stopped: run the same command again to go on after the last finished epoch\n"
    assert (root / "console").read_text() == message
    (course,) = (read_course(path.parent) for path in root.rglob("epochs.json"))
    assert course.ended_by == "it was interrupted"
    loaders = (root / "children").read_text().split()
    assert len(loaders) == 2  # one for training, one for validation
    assert not any(Path(f"/proc/{loader}").exists() for loader in loaders)
    assert weights_of(train_tiny(root)) == weights_of(undisturbed)


def test_helpers_are_what_they_seem() -> None:
    assert exit_code_of(start(tiny_training.die)) == KILLED
