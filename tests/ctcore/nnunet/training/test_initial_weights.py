"""Weights to start from: where they are looked for, what fits, what is said of the rest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ctcore.errors import CheckpointError, RequestError
from ctcore.json_files import read_json
from ctcore.nnunet.environment import nnunet_environment
from ctcore.nnunet.exported import unique_state
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.recipe import WeightsOrigin
from ctcore.nnunet.training.checkpoint import read_checkpoint
from ctcore.nnunet.training.initial_weights import (
    Misfit,
    fold_file,
    load_what_fits,
    origin_of,
    read_weights,
    stage_source,
    start_from,
)
from tests.ctcore.nnunet.tiny_training import make_trainer, make_workspace, train_tiny

ORIGIN = WeightsOrigin(source="a/b", sha256="c")


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """An exported stage of two folds."""
    folder = tmp_path / "bundle" / "stage2"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"folds": ["0", "1"]}))
    for fold in (0, 1):
        save_file({"weight": torch.full((2, 2), float(fold))}, folder / f"fold_{fold}.safetensors")
    return folder


def test_a_bundle_gives_its_stage(model_folder: Path) -> None:
    bundle = model_folder.parent
    assert stage_source(bundle, "stage2") == bundle  # without bundle.json it is not one
    (bundle / "bundle.json").write_text("{}")
    assert stage_source(bundle, "stage2") == model_folder
    assert stage_source(model_folder, "stage1") == model_folder
    with pytest.raises(RequestError, match=r"lacks 'stage1/model.json'"):
        stage_source(bundle, "stage1")
    with pytest.raises(RequestError, match=r"--init-from '.*gone' does not exist"):
        stage_source(bundle / "gone", "stage1")


def test_a_fold_starts_from_the_same_fold(model_folder: Path) -> None:
    files = [fold_file(model_folder, fold).name for fold in ("0", "1", "4", "all")]
    assert files == ["fold_0.safetensors", "fold_1.safetensors", "fold_0.safetensors", "fold_0.safetensors"]


def test_a_hash_names_the_source(model_folder: Path) -> None:
    file = model_folder / "fold_1.safetensors"
    assert origin_of(file) == WeightsOrigin(
        source="stage2/fold_1.safetensors", sha256=hashlib.sha256(file.read_bytes()).hexdigest()
    )
    before = origin_of(model_folder)
    assert before.source == "bundle/stage2"
    assert origin_of(model_folder) == before
    save_file({"weight": torch.zeros(2, 2)}, file)
    assert origin_of(model_folder).sha256 != before.sha256


def test_folders_without_weights(model_folder: Path) -> None:
    (model_folder / "fold_1.safetensors").unlink()
    with pytest.raises(RequestError, match=r"no exported model: it lacks fold_1\.safetensors"):
        origin_of(model_folder)
    with pytest.raises(RequestError, match=r"no exported model: it lacks model\.json"):
        fold_file(model_folder.parent, "0")


def test_checkpoints_of_nnunet(tmp_path: Path) -> None:
    weights = {"module.encoder.weight": torch.ones(2, 2), "_orig_mod.encoder.bias": torch.zeros(2)}
    logging = {"ema_fg_dice": [np.float64(0.5), np.float32(0.25)], "lrs": [0.01]}
    torch.save({"network_weights": weights, "logging": logging, "_best_ema": np.float64(0.5)}, tmp_path / "c.pth")
    found = read_weights(tmp_path / "c.pth")
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "encoder.weight": (2, 2), "encoder.bias": (2,),
    }  # fmt: skip


def test_the_moving_average_counts_more(tmp_path: Path) -> None:
    state: dict[str, Any] = {"network_weights": {"w": torch.zeros(1)}, "moving_average": {"w": torch.ones(1)}}
    torch.save(state, tmp_path / "ours.pth")
    assert read_weights(tmp_path / "ours.pth")["w"].item() == 1
    torch.save(state | {"moving_average": None}, tmp_path / "ours.pth")
    assert read_weights(tmp_path / "ours.pth")["w"].item() == 0
    torch.save({"w": torch.full((1,), 3.0)}, tmp_path / "bare.pt")
    assert read_weights(tmp_path / "bare.pt")["w"].item() == 3


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("proof"),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"half a file", r"cannot be read \(.*\); give other weights to --init-from"),
        ({"network_weights": Evil()}, "cannot be read"),
        ([torch.zeros(1)], "holds no weights by name"),
        ({}, "holds no weights by name"),
        ({"epoch": 3, "w": torch.zeros(1)}, "holds no weights by name"),
        ({"a": torch.zeros(1), "b": torch.tensor([1.0, float("nan")])}, r"not finite \(b\)"),
    ],
)
def test_files_that_hold_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(CheckpointError, match=message):
        read_weights(path)
    assert not (tmp_path / "proof").exists()


def test_damaged_safetensors(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_weights(tmp_path / "x.safetensors")


def test_what_fits_is_loaded_by_any_of_its_names(tmp_path: Path) -> None:
    inner = nn.Linear(2, 3)
    network = nn.ModuleDict({"encoder": inner, "decoder": nn.ModuleDict({"encoder": inner, "out": nn.Linear(3, 1)})})
    network.register_buffer("steps", torch.tensor(0))
    given = {
        "decoder.encoder.weight": torch.full((3, 2), 0.5, dtype=torch.float16),
        "decoder.out.weight": torch.ones(2, 3),
        "steps": torch.tensor(7),
        "head.weight": torch.ones(1),
    }
    found = load_what_fits(network, given, tmp_path)
    assert set(found.loaded) == {"encoder.weight", "steps"}
    assert found.misfits == (Misfit("decoder.out.weight", (2, 3), (1, 3)),)
    assert (found.missing, found.unused) == (("encoder.bias", "decoder.out.bias"), ("head.weight",))
    assert inner.weight.dtype == torch.float32
    assert (inner.weight == 0.5).all()
    assert network.get_buffer("steps").item() == 7
    assert found.summary(ORIGIN) == (
        "initial weights: 2 of 5 tensors from 'a/b'; of another shape: decoder.out.weight (2x3 there, 1x3 here);"
        " not there: 1 of encoder, 1 of decoder; 1 of the file not used"
    )


def test_nothing_fits(tmp_path: Path) -> None:
    message = r"no weights of .* fit \(it has weight 4x2, the network weight 4x3, \.\.\.\); give weights"
    with pytest.raises(CheckpointError, match=message):
        load_what_fits(nn.Linear(3, 4), nn.Linear(2, 4).state_dict(), tmp_path)  # only the bias would


def test_another_first_layer_and_output(architecture: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, target = build_unet(architecture, 2, 7), build_unet(architecture, 1, 2)
    untouched = {name: tensor.clone() for name, tensor in unique_state(target).items()}
    given = unique_state(source)
    found = load_what_fits(target, given | {"head.weight": torch.zeros(1)}, tmp_path)
    names = [misfit.name for misfit in found.misfits]
    assert names[0] == "encoder.stages.0.0.convs.0.conv.weight"
    assert all(name.startswith("decoder.seg_layers.") for name in names[1:])
    assert len(names) > 1
    assert (found.missing, found.unused) == ((), ("head.weight",))
    now = unique_state(target)
    assert set(found.loaded) | set(names) == set(now)
    for name, tensor in now.items():
        torch.testing.assert_close(tensor, untouched[name] if name in names else given[name])
    line = found.summary(ORIGIN)
    assert line.startswith(f"initial weights: {len(found.loaded)} of {len(now)} tensors from 'a/b'; of another shape: ")
    assert "encoder.stages.0.0.convs.0.conv.weight (4x2x3x3x3 there, 4x1x3x3x3 here)" in line
    assert line.endswith("; 1 of the file not used")


def test_whole_states_and_unique_ones_are_the_same(architecture: dict[str, Any], tmp_path: Path) -> None:
    """nnU-Net's checkpoints repeat layers under `all_modules` and `decoder.encoder`."""
    source = build_unet(architecture, 1, 2)
    whole = source.state_dict()
    assert any("all_modules" in name for name in whole)
    for given in (whole, unique_state(source), {name: whole[name] for name in whole if name.startswith("decoder.")}):
        target = build_unet(architecture, 1, 2)
        found = load_what_fits(target, given, tmp_path)
        assert (found.misfits, found.missing, found.unused) == ((), (), ())
        assert all(torch.equal(tensor, whole[name]) for name, tensor in target.state_dict().items())


def test_a_network_with_a_head_starts_from_one_without(architecture: dict[str, Any], tmp_path: Path) -> None:
    unet = build_unet(architecture, 1, 2)
    network = nn.ModuleDict(
        {"encoder": unet.get_submodule("encoder"), "decoder": unet.get_submodule("decoder"), "head": nn.Linear(3, 2)}
    )
    found = load_what_fits(network, unique_state(build_unet(architecture, 1, 2)), tmp_path)
    assert found.missing == ("head.weight", "head.bias")
    assert "; not there: 2 of head" in found.summary(ORIGIN)


def test_training_starts_where_another_ended(tmp_path: Path) -> None:
    make_workspace(tmp_path)
    first = train_tiny(tmp_path, {"epochs": 1, "name": "first"})
    lines: list[str] = []
    options: dict[str, Any] = {"init_from": first / "weights.safetensors", "tell": lines.append}
    second = train_tiny(tmp_path, {"epochs": 1, "name": "second", "learning_rate": 1e-12, "weight_decay": 0}, **options)
    before, after = load_file(first / "weights.safetensors"), load_file(second / "weights.safetensors")
    for name, tensor in before.items():  # the moving average, too, starts from them
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=1e-6)
    assert len(lines) == 1
    loaded = read_json(second / "initial_weights.json")["loaded"]
    assert lines[0].startswith(f"initial weights: {len(before)} of {len(before)} tensors")
    assert set(loaded) == set(before)
    third = train_tiny(tmp_path, {"epochs": 1, "name": "third"}, init_from=second / "checkpoint_final.pth")
    assert read_json(third / "initial_weights.json")["missing"] == []
    average = read_checkpoint(second / "checkpoint_final.pth", torch.device("cpu"))["moving_average"]
    assert all(torch.equal(average[name], tensor) for name, tensor in after.items())


def test_the_moving_average_starts_from_the_same(tmp_path: Path) -> None:
    make_workspace(tmp_path)
    with nnunet_environment(tmp_path, augmentation_workers=0):
        trainer = make_trainer(tmp_path, ema_decay=0.9)
        assert trainer.ema is not None
        given = {name: torch.full_like(tensor, 0.25) for name, tensor in unique_state(trainer.module).items()}
        start_from(trainer, given, tmp_path)
        for network in (trainer.module, trainer.ema.module):
            assert all((tensor == 0.25).all() for tensor in unique_state(network).values())
