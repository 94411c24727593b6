"""The multi-task trainer: what is frozen when, which losses count, and the AUROC."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ctcore.errors import DatasetError, LabelError
from ctcore.nnunet.environment import nnunet_environment
from ctcore.nnunet.planning.plan import architecture_of
from ctcore.nnunet.training.distributed import process_group, rank_and_size
from ctcore.nnunet.workspace import Workspace
from stage2_multitask.dataset import workspace_at
from stage2_multitask.losses import classification_loss
from stage2_multitask.multitask_trainer import MultiTaskTrainer, freeze
from stage2_multitask.network import MultiTaskNetwork
from stage2_multitask.recipe import MultiTaskRecipe, PhaseShares
from stage2_multitask.schedule import Phase
from tests.ctcore.nnunet.tiny_training import on_ranks
from tests.stage2_multitask.conftest import network_of

CASE_CLASSES = {"a": 1, "b": 0, "c": 1, "d": 0}
PARTS = ("encoder", "decoder", "head")
TRAINS = {
    Phase.SEGMENTATION: {"encoder": True, "decoder": True, "head": False},
    Phase.HEAD: {"encoder": False, "decoder": False, "head": True},
    Phase.JOINT: {"encoder": True, "decoder": True, "head": True},
}


def snapshot(network: MultiTaskNetwork) -> dict[str, list[torch.Tensor]]:
    return {part: [p.detach().clone() for p in network.get_submodule(part).parameters()] for part in PARTS}


def changed(before: dict[str, list[torch.Tensor]], network: MultiTaskNetwork) -> dict[str, list[bool]]:
    after = snapshot(network)
    return {part: [not torch.equal(a, b) for a, b in zip(before[part], after[part], strict=True)] for part in PARTS}


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_only_what_a_phase_trains_changes(
    architecture: dict[str, Any], recipe: MultiTaskRecipe, phase: Phase, kind: str
) -> None:
    network = network_of(recipe, architecture, deep_supervision=True)
    optimizer: torch.optim.Optimizer
    if kind == "adamw":
        optimizer = torch.optim.AdamW(network.parameters(), 0.1, weight_decay=0.5)
    else:
        optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.99, weight_decay=0.5, nesterov=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        output = network(torch.randn(1, 1, 16, 16, 16))
        loss = sum(level.square().mean() for level in output.segmentation) + output.classes.square().sum()
        loss.backward()
        optimizer.step()

    freeze(network, Phase.JOINT)
    step()  # moments and momentum exist: a frozen weight must not drift on them, nor decay
    before = snapshot(network)
    freeze(network, phase)
    for part in PARTS:
        assert all((p.grad is None) is not TRAINS[phase][part] for p in network.get_submodule(part).parameters())
    step()
    for part, moved in changed(before, network).items():
        assert network.get_submodule(part).training is TRAINS[phase][part]
        assert all(moved) if TRAINS[phase][part] else not any(moved), part


def test_behind_a_strided_stem_the_label_maps_come_on_its_grid(planned: Workspace, recipe: MultiTaskRecipe) -> None:
    settings = recipe.model_copy(update={"patch_size": (32, 32, 32), "stem_stride": 2})
    plans = planned.plans() | {"continue_training": False}
    plans["configurations"]["3d_fullres"] |= {"patch_size": [32, 32, 32], "architecture": architecture_of(settings)}
    with nnunet_environment(planned.root, augmentation_workers=0):
        made = MultiTaskTrainer(
            plans=plans,
            configuration="3d_fullres",
            fold=0,
            dataset_json=planned.dataset_json(),
            device=torch.device("cpu"),
        )
        made.case_classes = CASE_CLASSES
        made.configure(settings)
        made.initialize()
        batch = next(made.get_dataloaders()[0])
        assert batch["data"].shape[2:] == (32, 32, 32)
        assert [tuple(target.shape[2:]) for target in batch["target"]] == [(16, 16, 16), (8, 8, 8)]
        made.phase = Phase.JOINT
        losses = made.batch_losses(batch["data"], batch["target"], batch["keys"])
        assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.fixture
def trainer(planned: Workspace, recipe: MultiTaskRecipe) -> Iterator[MultiTaskTrainer]:
    """An initialised trainer of ten epochs: five for segmentation, two for the head, three for both."""
    settings = recipe.model_copy(
        update={"epochs": 10, "phases": PhaseShares(segmentation=0.5, head=0.2), "ema_decay": None}
    )
    with nnunet_environment(planned.root, augmentation_workers=0):
        made = MultiTaskTrainer(
            plans=planned.plans() | {"continue_training": False},
            configuration="3d_fullres",
            fold=0,
            dataset_json=planned.dataset_json(),
            device=torch.device("cpu"),
        )
        made.case_classes = CASE_CLASSES
        made.configure(settings)
        made.initialize()
        yield made


def gradients_of_all_phases(root: Path, recipe: MultiTaskRecipe) -> list[dict[str, Any]]:
    """Takes a step of each phase on this process's part of a batch; returns the gradients as the optimiser saw them."""
    workspace = workspace_at(root)
    with nnunet_environment(root, augmentation_workers=0), process_group("cpu") as device:
        trainer = MultiTaskTrainer(
            plans=workspace.plans() | {"continue_training": False},
            configuration="3d_fullres",
            fold=0,
            dataset_json=workspace.dataset_json(),
            device=device,
        )
        trainer.case_classes = CASE_CLASSES
        trainer.configure(recipe, precision="fp32")
        trainer.initialize()
        rank, processes = rank_and_size()
        share = slice(rank * 2 // processes, (rank + 1) * 2 // processes)
        batch = make_batch()
        part = {name: batch[name][share] for name in ("data", "keys")}
        part["target"] = [level[share] for level in batch["target"]]
        steps = []
        for epoch in (0, 5, 7):
            trainer.current_epoch = epoch
            trainer.logger.load_checkpoint({"lrs": [0.0] * epoch})
            trainer.on_train_epoch_start()
            trainer.train_step(part)
            named = trainer.module.named_parameters()
            steps.append({name: None if p.grad is None else p.grad.numpy().copy() for name, p in named})
    return steps


def test_two_processes_step_as_one_in_every_phase(planned: Workspace, recipe: MultiTaskRecipe) -> None:
    # A rate of nearly 0: what differs in the last digits must not differ more in the next phase.
    settings = recipe.model_copy(
        update={"epochs": 10, "phases": PhaseShares(segmentation=0.5, head=0.2), "learning_rate": 1e-12}
    )
    alone = gradients_of_all_phases(planned.root, settings)
    for answer in on_ranks(2, gradients_of_all_phases, planned.root, settings):
        assert not isinstance(answer, str), answer
        for phase, expected, found in zip(Phase, alone, answer, strict=True):
            for part in PARTS:
                gradients = [gradient for name, gradient in expected.items() if name.startswith(part)]
                assert any(gradient is not None for gradient in gradients) == TRAINS[phase][part]
            for name, gradient in expected.items():
                assert (gradient is None) == (found[name] is None), (phase, name)
                if gradient is not None:
                    tolerance = 1e-6 + 1e-4 * np.abs(gradient).max()
                    np.testing.assert_allclose(found[name], gradient, rtol=1e-3, atol=tolerance, err_msg=name)


@pytest.fixture
def batch() -> dict[str, Any]:
    return make_batch()


def make_batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 7, (2, 1, 16, 16, 16), generator=generator).float()
    image = torch.randn(2, 1, 16, 16, 16, generator=generator)
    return {"data": image, "target": [label, label[:, :, ::2, ::2, ::2]], "keys": ["a", "b"]}


@pytest.mark.parametrize(
    ("epoch", "phase"),
    [(0, Phase.SEGMENTATION), (4, Phase.SEGMENTATION), (5, Phase.HEAD), (6, Phase.HEAD), (7, Phase.JOINT)],
)
def test_a_step_of_every_phase(trainer: MultiTaskTrainer, batch: dict[str, Any], epoch: int, phase: Phase) -> None:
    trainer.current_epoch = epoch
    trainer.on_train_epoch_start()
    assert trainer.phase is phase
    before = snapshot(trainer.network)
    losses = trainer.train_step(batch)
    assert ("classification" in losses) == (phase is Phase.JOINT)
    for part, moved in changed(before, trainer.network).items():
        assert any(moved) == TRAINS[phase][part], part


def test_losses_by_hand(trainer: MultiTaskTrainer, batch: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "autocast", nullcontext)
    data, target, keys = batch["data"], batch["target"], batch["keys"]
    with torch.no_grad():
        output = trainer.network(data)
        segmentation = trainer.loss(output.segmentation, target)
        classification = classification_loss(output.classes, torch.tensor([1, 0]), (1.0, 3.0))
        trainer.phase = Phase.SEGMENTATION
        assert trainer.batch_losses(data, target, keys)["loss"].item() == pytest.approx(segmentation.item())
        trainer.phase = Phase.HEAD
        assert trainer.batch_losses(data, target, keys)["loss"].item() == pytest.approx(classification.item())
        trainer.phase = Phase.JOINT
        joint = trainer.batch_losses(data, target, keys)["loss"].item()
        assert joint == pytest.approx((segmentation + 0.5 * classification).item())


@pytest.mark.parametrize(
    ("segmentation", "head", "first"), [(0.5, 0.2, 7), (1.0, 0.0, 0), (0.0, 0.0, 0), (0.6, 0.4, 10), (0.3, 0.0, 3)]
)
def test_early_stopping_waits_for_the_last_phase(
    trainer: MultiTaskTrainer, segmentation: float, head: float, first: int
) -> None:
    phases = PhaseShares(segmentation=segmentation, head=head)
    trainer.recipe = trainer.recipe.model_copy(update={"phases": phases, "early_stopping_share": 0.1})
    assert trainer.first_decisive_epoch() == first
    trainer.logger.load_checkpoint({"ema_fg_dice": [0.9, *[0.1] * 8]})
    trainer.current_epoch = 9  # of ten: nothing is decided before the last phase, where each epoch is as the one before
    assert trainer.stopped_early == (first < 8)


def test_a_case_without_class_is_named(trainer: MultiTaskTrainer) -> None:
    assert trainer.class_targets(["b", "a"]).tolist() == [0, 1]
    with pytest.raises(LabelError, match=r"case 'zz' has no class; add its row to 'case_labels\.csv'"):
        trainer.class_targets(["a", "zz"])


def test_auroc_by_hand(trainer: MultiTaskTrainer) -> None:
    # Case 0.9 beats all three negatives; case 0.4 ties with one and loses to two.
    trainer._class_records = [(1, [0.1, 0.9]), (1, [0.6, 0.4]), (0, [0.6, 0.4]), (0, [0.5, 0.5]), (0, [0.3, 0.7])]
    assert trainer.extra_figures() == {"patch_auroc": pytest.approx(3.5 / 6)}
    trainer._class_records = [(0, [0.6, 0.4]), (0, [0.5, 0.5])]
    assert trainer.extra_figures() == {}


def test_validation_collects_the_last_classs_probability(trainer: MultiTaskTrainer, batch: dict[str, Any]) -> None:
    trainer.on_train_epoch_start()
    with torch.no_grad():
        loss, logits, _ = trainer.validation_outputs(batch["data"], batch["target"], batch["keys"])
        expected = trainer.network(batch["data"]).classes.softmax(1)[:, 1]
    assert torch.isfinite(loss)
    assert logits.shape == (2, 7, 16, 16, 16)
    assert [index for index, _ in trainer._class_records] == [1, 0]
    assert [values[1] for _, values in trainer._class_records] == pytest.approx(expected.tolist(), abs=0.02)


MakeTrainer = Callable[..., MultiTaskTrainer]


@pytest.fixture
def make_trainer(planned: Workspace, recipe: MultiTaskRecipe) -> Iterator[MakeTrainer]:
    """Makes an initialised trainer; keywords replace the recipe's fields, tables given as dictionaries."""
    with nnunet_environment(planned.root, augmentation_workers=0):

        def make(classes: Mapping[str, int] = CASE_CLASSES, **changes: Any) -> MultiTaskTrainer:
            values = recipe.model_dump(mode="json") | {"phases": {}, "ema_decay": None} | changes
            made = MultiTaskTrainer(
                plans=planned.plans() | {"continue_training": False},
                configuration="3d_fullres",
                fold=0,
                dataset_json=planned.dataset_json(),
                device=torch.device("cpu"),
            )
            made.case_classes = dict(classes)
            made.configure(MultiTaskRecipe.model_validate(values), precision="fp32")
            made.initialize()
            return made

        yield make


def start_epoch(trainer: MultiTaskTrainer, epoch: int = 0) -> MultiTaskTrainer:
    trainer.current_epoch = epoch
    trainer.logger.load_checkpoint({"lrs": [0.0] * epoch})
    trainer.on_train_epoch_start()
    return trainer


HEADS: Mapping[str, dict[str, Any]] = {
    "fpn with attention": {"kind": "fpn", "width": 4, "attention": ["lesion", "foreground"]},
    "gap": {"kind": "gap"},
    "masked-gem": {"kind": "masked-gem", "widths": [6, 4]},
    "conv-dense": {"kind": "conv-dense", "channels": [6, 4], "widths": [8, 8, 6, 6]},
    "decoder": {"kind": "decoder", "pooling": "foreground-weighted"},
}


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("name", HEADS)
def test_every_head_in_every_phase(make_trainer: MakeTrainer, batch: dict[str, Any], name: str, phase: Phase) -> None:
    shares = {Phase.SEGMENTATION: {"segmentation": 1.0}, Phase.HEAD: {"head": 1.0}, Phase.JOINT: {}}[phase]
    trainer = start_epoch(make_trainer(head=HEADS[name], phases=shares))
    before = snapshot(trainer.network)
    buffers = {key: value.clone() for key, value in trainer.network.named_buffers()}
    trainer.train_step(batch)
    for part, moved in changed(before, trainer.network).items():
        assert any(moved) == TRAINS[phase][part], part
    for parameter_name, parameter in trainer.network.named_parameters():
        if not parameter_name.startswith("decoder.seg_layers.0."):  # deep supervision's coarsest, which has no weight
            assert (parameter.grad is not None) == parameter.requires_grad, parameter_name
            assert parameter.grad is None or torch.isfinite(parameter.grad).all(), parameter_name
    for key, value in trainer.network.named_buffers():  # the state of batch normalisation
        assert torch.equal(value, buffers[key]) == (phase is Phase.SEGMENTATION), key


def test_a_ramp_by_hand(make_trainer: MakeTrainer, batch: dict[str, Any]) -> None:
    ramp = {"kind": "ramp", "start": 0.1, "end": 0.5, "share": 0.5}
    trainer = start_epoch(make_trainer(balance=ramp, epochs=8), epoch=2)
    losses = trainer.batch_losses(batch["data"], batch["target"], batch["keys"])
    assert losses["loss"].item() == pytest.approx(
        (losses["segmentation"] + 0.3 * losses["classification"]).item(), rel=1e-5
    )


def test_a_learned_balance_trains_and_goes_on(make_trainer: MakeTrainer, batch: dict[str, Any], tmp_path: Path) -> None:
    trainer = start_epoch(make_trainer(balance={"kind": "uncertainty"}, weight_decay=0.5))
    assert [group["weight_decay"] for group in trainer.optimizer.param_groups] == [0.5, 0.0]
    trainer.train_step(batch)
    learned = trainer.balance.state_dict()["uncertainty.raw_log_variances"]
    assert (learned != 0).all()
    trainer.save_checkpoint(str(tmp_path / "checkpoint.pth"))
    again = make_trainer(balance={"kind": "uncertainty"}, weight_decay=0.5)
    again.load_checkpoint(str(tmp_path / "checkpoint.pth"))
    assert torch.equal(again.balance.state_dict()["uncertainty.raw_log_variances"], learned)


def test_a_missing_class_is_masked_where_the_recipe_says_so(make_trainer: MakeTrainer, batch: dict[str, Any]) -> None:
    classes = {key: CASE_CLASSES[key] for key in ("b", "c", "d")}
    with pytest.raises(LabelError, match="case 'a' has no class"):
        make_trainer(classes)
    trainer = start_epoch(make_trainer(classes, class_loss={"missing": "mask"}))
    losses = trainer.batch_losses(batch["data"], batch["target"], batch["keys"])
    full = start_epoch(make_trainer()).batch_losses(batch["data"], batch["target"], batch["keys"])
    assert torch.isfinite(losses["loss"])
    assert losses["classification"].item() != pytest.approx(full["classification"].item())
    trainer.case_classes = {}
    losses = trainer.batch_losses(batch["data"], batch["target"], batch["keys"])
    assert losses["classification"].item() == 0
    assert losses["loss"].item() == pytest.approx(losses["segmentation"].item())


def test_a_class_that_a_fold_never_shows_is_named(make_trainer: MakeTrainer) -> None:
    with pytest.raises(DatasetError, match="class 'PDAC' has 0 training cases"):
        make_trainer(dict.fromkeys(CASE_CLASSES, 0))


def test_patches_by_hand(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(patches={"centre": "lesion", "cases": "balanced", "least_weight": 0.2, "full_share": 0.5})
    trainer.totals = {"a": (8, 40), "b": (0, 40)}
    target = torch.zeros(2, 1, 4, 4, 4)
    target.flatten(1)[0, :2] = 1  # a quarter of the lesion: half of what is enough
    target.flatten(1)[1, :30] = 4
    assert trainer.weights_of(target, ["a", "b"]).tolist() == pytest.approx([0.2 + 0.8 * 0.5, 1.0])
    loader = SimpleNamespace(get_bbox=None, indices=["a", "b", "c"], sampling_probabilities=None)
    trainer.change_sampling(loader)
    assert loader.sampling_probabilities.tolist() == [0.25, 0.5, 0.25]
    assert loader.get_bbox is not None


def test_weighted_patches_train_on_real_batches(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(patches={"centre": "lesion", "cases": "balanced", "least_weight": 0.1}, epochs=1)
    trainer.run_training()
    assert set(trainer.totals) == set(trainer.do_split()[0])
    assert trainer.summary()["class_counts"] == {"non-PDAC": 1, "PDAC": 1}


def test_the_best_epoch_by_whole_cases(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(selection="macro-f1", best_head=True, epochs=3, phases={"segmentation": 0.34})
    measured = [{"macro_f1": 0.5, "macro_f1_class": 0.2}, {"macro_f1": 0.4, "macro_f1_class": 0.3}]
    asked: list[int] = []

    def figures(_: Any) -> dict[str, float]:
        asked.append(trainer.current_epoch)
        return measured[len(asked) - 1]

    monkeypatch.setattr("stage2_multitask.multitask_trainer.cohort_figures", figures)
    weights: list[dict[str, torch.Tensor]] = []
    on_epoch_end = trainer.on_epoch_end

    def keep() -> None:
        on_epoch_end()
        weights.append({name: value.clone() for name, value in trainer.trained_network().state_dict().items()})

    monkeypatch.setattr(trainer, "on_epoch_end", keep)
    trainer.run_training()
    assert asked == [1, 2]  # the first trains the body alone
    best = load_file(trainer.folder / "weights_best.safetensors")
    assert torch.equal(best["head.classify.weight"], weights[1]["head.classify.weight"])
    head = load_file(trainer.folder / "weights_best_head.safetensors")
    assert set(head) == {name for name in weights[2] if name.startswith("head.")}
    assert torch.equal(head["head.classify.weight"], weights[2]["head.classify.weight"])
    assert trainer.best_macro_f1 == 0.3


def test_whole_cases_of_a_real_fold(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(selection="auroc-ap", epochs=1)
    assert trainer.criterion == "mean of AUROC and lesion AP of whole validation cases"
    trainer.run_training()
    figures = trainer.case_figures()
    assert {"accuracy", "macro_f1", "dice_lesion"} <= set(figures)
