"""nnU-Net's trainer under a recipe: settings, steps, validation, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ctcore.errors import TrainingError
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.training.trainer import RecipeTrainer, finest

MakeRecipe = Callable[..., TrainingRecipe]
MakeTrainer = Callable[..., RecipeTrainer]


@pytest.fixture
def make_trainer(trainer_arguments: dict[str, Any], recipe: MakeRecipe) -> MakeTrainer:
    """Makes an initialised trainer; keywords change the recipe."""

    def make(**changes: Any) -> RecipeTrainer:
        plans = dict(trainer_arguments["plans"])  # nnU-Net takes entries out
        trainer = RecipeTrainer(**(trainer_arguments | {"plans": plans}))
        trainer.configure(recipe(**changes))
        trainer.initialize()
        return trainer

    return make


def make_batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 1, 16, 16, 16, generator=generator)
    label = (image > 0.5).float()
    return {"data": image, "target": [label, label[:, :, ::2, ::2, ::2]], "keys": ["case_a", "case_b"]}


def weights(module: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def test_finest() -> None:
    one = torch.ones(1)
    assert finest([one, None]) is one
    assert finest(one) is one


def test_the_recipes_values_are_taken_over(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(epochs=7, iterations_per_epoch=5, validation_iterations=3, oversample_foreground=0.25)
    assert (trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch) == (7, 5, 3)
    assert trainer.oversample_foreground_percent == 0.25
    assert trainer.ema is None
    assert trainer.trained_network() is trainer.network


@pytest.mark.parametrize("mirror", [True, False])
def test_mirroring(make_trainer: MakeTrainer, mirror: bool) -> None:
    *_, axes = make_trainer(mirror=mirror).configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    assert axes == ((0, 1, 2) if mirror else ())


@pytest.mark.parametrize("augmentation", ["nnunet", "light"])
def test_augmentation(make_trainer: MakeTrainer, augmentation: str) -> None:
    trainer = make_trainer(augmentation=augmentation)
    made = trainer.get_training_transforms((16, 16, 16), (-0.1, 0.1), None, (0, 1, 2), False)
    names = {type(getattr(t, "transform", t)).__name__ for t in made.transforms}
    assert ("GaussianBlurTransform" in names) == (augmentation == "nnunet")
    assert "SpatialTransform" in names
    inner = [getattr(t, "transform", t) for t in made.transforms]
    assert not any(getattr(t, "benchmark", False) for t in inner)  # the blur would choose its algorithm by the clock


@pytest.mark.parametrize(
    ("kind", "weights"), [("dice-ce", (1, 1)), ("dice", (1, 0)), ("ce", (0, 1)), ("dice-bce", (1, 1))]
)
def test_segmentation_loss(make_trainer: MakeTrainer, kind: str, weights: tuple[int, int]) -> None:
    trainer = make_trainer(segmentation_loss=kind)
    loss: Any = trainer.loss
    assert (loss.loss.weight_dice, loss.loss.weight_ce) == weights
    trainer.network.train()
    assert math.isfinite(trainer.train_step(make_batch())["loss"])


def test_steps_lower_the_loss(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(learning_rate=0.02)
    trainer.network.train()
    losses = [trainer.train_step(make_batch())["loss"] for _ in range(4)]
    assert losses[-1] < losses[0]


def test_a_loss_that_is_not_finite_names_the_cases(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer()
    before = weights(trainer.network)
    batch = make_batch()
    batch["data"][0, 0, 0, 0, 0] = float("nan")
    with pytest.raises(TrainingError, match="loss is nan in epoch 0 on cases case_a, case_b; check their images"):
        trainer.train_step(batch)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(trainer.network), strict=True))


@pytest.mark.parametrize("repeat", [False, True])
def test_a_step_that_overflows_is_repeated_in_float32(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, repeat: bool
) -> None:
    trainer = make_trainer(repeat_in_fp32=repeat)
    trainer.compute_type = torch.bfloat16
    losses, mixed = type(trainer).batch_losses, []

    def overflowing(*arguments: Any) -> dict[str, torch.Tensor]:
        with trainer.autocast():
            mixed.append(torch.is_autocast_enabled("cpu"))
        answer = losses(trainer, *arguments)
        return {"loss": answer["loss"] * float("inf")} if mixed[-1] else answer

    monkeypatch.setattr(trainer, "batch_losses", overflowing)
    if repeat:
        assert math.isfinite(trainer.train_step(make_batch())["loss"])
        assert mixed == [True, False]
    else:
        with pytest.raises(TrainingError, match=r"loss is -?inf"):
            trainer.train_step(make_batch())
    with trainer.autocast():
        assert torch.is_autocast_enabled("cpu")  # the step after is in mixed precision again


def test_the_first_steps_in_float32(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(fp32_steps=2)
    trainer.compute_type = torch.bfloat16
    mixed = []
    for _ in range(3):
        with trainer.autocast():
            mixed.append(torch.is_autocast_enabled("cpu"))
        trainer.train_step(make_batch())
    assert mixed == [False, False, True]


def test_the_moving_average_trails_the_weights(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(ema_decay=0.9, learning_rate=0.1)
    start = weights(trainer.network)[0]
    for _ in range(3):
        trainer.train_step(make_batch())
    assert trainer.trained_network() is not trainer.network
    moved = (weights(trainer.network)[0] - start).norm()
    trailed = (weights(trainer.trained_network())[0] - start).norm()
    assert 0 < trailed < moved


def test_validation_counts_by_hand(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer()
    label = torch.zeros(1, 1, 16, 16, 16)
    label[0, 0, :2] = 1  # 512 voxels
    logits = torch.zeros(1, 2, 16, 16, 16)
    logits[0, 1, 1:4] = 1  # 768 voxels, of which 256 are right
    logits[0, 0] += 0.5

    monkeypatch.setattr(trainer, "validation_outputs", lambda *_: (torch.tensor(0.25), logits, {}))
    result = trainer.validation_step({"data": label, "target": [label, label[..., ::2]], "keys": ["a"]})
    assert result["loss"] == 0.25
    counts = [result[name].tolist() for name in ("tp_hard", "fp_hard", "fn_hard")]
    assert counts == [[256], [512], [256]]


def test_checkpoint_round_trip(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    trainer = make_trainer(ema_decay=0.9)
    for _ in range(2):
        trainer.train_step(make_batch())
    trainer.current_epoch = 1
    trainer.logger.log("train_losses", 0.5, 0)
    trainer.save_checkpoint(str(tmp_path / "checkpoint.pth"))

    again = make_trainer(ema_decay=0.9, seed=5)
    again.load_checkpoint(str(tmp_path / "checkpoint.pth"))
    assert again.current_epoch == 2
    assert again.ema is not None
    assert trainer.ema is not None
    for one, two in ((trainer.network, again.network), (trainer.ema.module, again.ema.module)):
        assert all(torch.equal(a, b) for a, b in zip(weights(one), weights(two), strict=True))
    trainer.current_epoch = 2
    assert trainer.train_step(make_batch())["loss"] == again.train_step(make_batch())["loss"]
    assert all(torch.equal(a, b) for a, b in zip(weights(trainer.network), weights(again.network), strict=True))
