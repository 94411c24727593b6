"""Training of 2-D networks: nnU-Net's loader draws slices, and what presumes volumes does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ctcore.errors import RecipeError
from ctcore.json_files import read_json
from ctcore.nnunet.encoders import import_timm
from ctcore.nnunet.workspace import Workspace
from tests.ctcore.nnunet.conftest import make_recipe
from tests.ctcore.nnunet.tiny_training import environment_of, make_trainer, make_workspace, train_tiny, weights_of

SLICES: dict[str, Any] = {"patch_size": (1, 16, 16), "batch_size": 4}
NETWORKS: dict[str, dict[str, Any]] = {
    "plain": SLICES,
    "resenc": SLICES | {"encoder": "resenc"},
    "timm:test_resnet": SLICES | {"encoder": "timm:test_resnet", "features": (), "patch_size": (1, 32, 16)},
    "timm:test_convnext": SLICES | {"encoder": "timm:test_convnext", "features": (), "patch_size": (1, 16, 32)},
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def workspace_of(root: Path, name: str) -> Path:
    """A workspace planned for a network; cases of 20 x 20 x 20 voxels, at (5..13, 6..11, 4..14) bright."""
    return make_workspace(root, make_recipe(**NETWORKS[name])).root


def test_batches_are_slices(tmp_path: Path) -> None:
    root = workspace_of(tmp_path, "plain")
    with environment_of(root):
        trainer = make_trainer(root, oversample_foreground=1.0, augmentation="light", **SLICES)
        assert trainer.channels_innermost is torch.channels_last
        batches, validation = trainer.get_dataloaders()
        batch = next(batches)
        assert batch["data"].shape == (4, 1, 16, 16)
        assert [tuple(target.shape) for target in batch["target"]] == [(4, 1, 16, 16), (4, 1, 8, 8)]
        for _ in range(3):  # every patch is centred on a voxel of the pancreas, so that its slice shows it
            target = next(validation)["target"][0]
            assert all((of_case == 1).any() for of_case in target)
        data, _ = trainer.to_device(batch)
        assert data.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("mirror", [True, False])
def test_augmentation_is_2d(tmp_path: Path, mirror: bool) -> None:
    root = workspace_of(tmp_path, "plain")
    with environment_of(root):
        trainer = make_trainer(root, mirror=mirror, **SLICES)
        rotation, dummy, initial, axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    assert not dummy
    assert len(initial) == 2
    assert axes == ((0, 1) if mirror else ())  # nnU-Net counts the network's own axes
    assert rotation is not None


@every_network
def test_every_parameter_gets_a_finite_gradient_from_a_step(tmp_path: Path, name: str) -> None:
    root = workspace_of(tmp_path, name)
    with environment_of(root):
        trainer = make_trainer(root, **NETWORKS[name])
        batches, validation = trainer.get_dataloaders()
        trainer.network.train()
        assert trainer.train_step(next(batches))["loss"] < 10
        for of, parameter in trainer.network.named_parameters():
            if of.startswith("decoder.seg_layers.0."):  # nnU-Net leaves the coarsest answer out of the loss
                continue
            assert parameter.grad is not None, of
            assert torch.isfinite(parameter.grad).all(), of
        trainer.network.eval()
        with torch.no_grad():
            result = trainer.validation_step(next(validation))
        assert result["tp_hard"].shape == (1,)


@every_network
def test_a_training_that_is_continued_gives_the_same(tmp_path: Path, name: str) -> None:
    changes = NETWORKS[name] | {"epochs": 2}

    def interrupt(done: int, *_: Any) -> None:
        if done == 1:
            raise KeyboardInterrupt

    folders = []
    for at_once in (True, False):
        root = workspace_of(tmp_path / str(at_once), name)
        if not at_once:
            with pytest.raises(KeyboardInterrupt):
                train_tiny(root, changes, progress=interrupt)
        folders.append(train_tiny(root, changes))
    assert weights_of(folders[0]) == weights_of(folders[1])
    assert read_json(folders[0] / "training.json")["epochs"] == 2


def test_bfloat16(tmp_path: Path) -> None:
    root = workspace_of(tmp_path, "timm:test_convnext")
    folder = train_tiny(root, NETWORKS["timm:test_convnext"] | {"epochs": 1}, precision="bf16")
    assert all(torch.isfinite(tensor).all() for tensor in load_file(folder / "weights.safetensors").values())


def test_an_encoder_begins_with_the_weights_of_a_file(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    name = "timm:test_resnet"
    root = workspace_of(tmp_path / "work", name)
    whole = import_timm().create_model("test_resnet")
    path = tmp_path / "model.safetensors"
    save_file(whole.state_dict(), path)
    with environment_of(root):
        trainer = make_trainer(root, ema_decay=0.9, encoder_weights=path, **NETWORKS[name])
        assert trainer.ema is not None
        for network in (trainer.network, trainer.ema.module):
            assert torch.equal(network.encoder.body.layer1[0].conv1.weight, whole.layer1[0].conv1.weight)
        with pytest.raises(RecipeError, match=r"encoder_weights '.*gone\.safetensors' cannot be used"):
            make_trainer(root, encoder_weights=tmp_path / "gone.safetensors", **NETWORKS[name])
    assert Workspace(root, "Dataset007_Tiny").configuration()["patch_size"] == [32, 16]
