"""Exported stages: the round trip, and every kind of damage."""

from __future__ import annotations

import ast
import importlib
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ctcore.errors import BundleError, RequestError
from ctcore.nnunet.exported import (
    ExportedModel,
    Normalization,
    chosen_folds,
    load_model,
    load_weights,
    save_model,
    unique_state,
    weights_file,
)
from ctcore.nnunet.networks import build_unet

HALF_PRECISION = 2.0**-11
"""Relative rounding error of float16."""

MakeModel = Callable[..., ExportedModel]


@pytest.fixture
def network(architecture: dict[str, Any]) -> torch.nn.Module:
    torch.manual_seed(3)
    return build_unet(architecture, 1, 2).eval()


@pytest.fixture
def folder(tmp_path: Path, network: torch.nn.Module, exported: MakeModel) -> Path:
    """A stage folder with the network as fold 0."""
    save_model(tmp_path / "stage", exported(), {"0": unique_state(network)})
    return tmp_path / "stage"


def save_state(folder: Path, state: dict[str, torch.Tensor]) -> None:
    save_file = importlib.import_module("safetensors.torch").save_file
    save_file(state, weights_file(folder, "0"))


def test_round_trip(folder: Path, network: torch.nn.Module, architecture: dict[str, Any], exported: MakeModel) -> None:
    assert load_model(folder, ExportedModel) == exported()
    again = build_unet(architecture, 1, 2).train()
    load_weights(again, folder, "0")
    assert not again.training
    before, after = unique_state(network), unique_state(again)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert after[name].dtype == torch.float32
        torch.testing.assert_close(after[name], tensor, rtol=HALF_PRECISION, atol=1e-7)
    image = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(again(image), network(image), rtol=0, atol=0.02)


def test_a_2d_model_keeps_three_values(exported: MakeModel, tmp_path: Path) -> None:
    model = exported(patch_size=[64, 48], mirror_axes=(1, 2))  # as nnU-Net's plan has it
    assert model.patch_size == (1, 64, 48)
    save_model(tmp_path, model.model_copy(update={"folds": ()}), {})
    assert load_model(tmp_path, ExportedModel).patch_size == (1, 64, 48)
    with pytest.raises(
        ValidationError, match=r"mirror_axes \(0, 1, 2\): a 2-D network \(patch \(1, 64, 48\)\) knows no"
    ):
        exported(patch_size=(1, 64, 48), mirror_axes=(0, 1, 2))


def test_every_weight_is_stored_once(network: torch.nn.Module) -> None:
    addresses = [tensor.data_ptr() for tensor in unique_state(network).values()]
    assert len(addresses) == len(set(addresses))
    assert len(unique_state(network)) < len(network.state_dict())


def test_a_folder_without_model(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"holds no exported model \('model\.json' is missing\)"):
        load_model(tmp_path, ExportedModel)


@pytest.mark.parametrize("text", ["{", "\x00\xff"])
def test_a_damaged_description(folder: Path, text: str) -> None:
    (folder / "model.json").write_text(text, encoding="latin-1")
    with pytest.raises(BundleError, match=r"model\.json' cannot be read as JSON"):
        load_model(folder, ExportedModel)


def change(folder: Path, **values: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_an_unknown_version(folder: Path) -> None:
    change(folder, schema_version=99)
    with pytest.raises(BundleError, match="schema_version 99 is not 1"):
        load_model(folder, ExportedModel)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"surprise": 1}, "surprise = 1"), ({"patch_size": [16]}, "patch_size"), ({"labels": None}, "labels = None")],
)
def test_a_description_that_does_not_fit(folder: Path, values: dict[str, Any], message: str) -> None:
    change(folder, **values)
    with pytest.raises(BundleError, match=message):
        load_model(folder, ExportedModel)


def test_a_missing_fold(folder: Path) -> None:
    weights_file(folder, "0").unlink()
    with pytest.raises(BundleError, match=r"fold_0\.safetensors' is missing"):
        load_model(folder, ExportedModel)


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_truncated_weights(folder: Path, network: torch.nn.Module, kept: int) -> None:
    path = weights_file(folder, "0")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BundleError, match=r"fold_0\.safetensors' does not fit its model"):
        load_weights(network, folder, "0")


def test_weights_of_another_shape(folder: Path, network: torch.nn.Module) -> None:
    state = unique_state(network)
    name = next(iter(state))
    save_state(folder, state | {name: torch.zeros(3, 3)})
    with pytest.raises(BundleError, match="does not fit its model"):
        load_weights(network, folder, "0")


def test_weights_too_few_or_too_many(folder: Path, network: torch.nn.Module) -> None:
    state = unique_state(network)
    name = next(iter(state))
    save_state(folder, {key: tensor for key, tensor in state.items() if key != name})
    with pytest.raises(BundleError, match=f"'{name}' has no counterpart"):
        load_weights(network, folder, "0")
    save_state(folder, state | {"surprise": torch.zeros(1)})
    with pytest.raises(BundleError, match="'surprise' has no counterpart"):
        load_weights(network, folder, "0")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_are_not_finite(folder: Path, network: torch.nn.Module, exported: MakeModel, value: float) -> None:
    state = unique_state(network)
    name = next(iter(state))
    broken = state[name].clone()
    broken.view(-1)[0] = value  # 1e6 exceeds what float16 holds
    save_model(folder, exported(), {"0": state | {name: broken}})
    with pytest.raises(BundleError, match="weights that are not finite"):
        load_weights(network, folder, "0")


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.proof,))


def test_a_pickle_by_another_name_is_refused_unread(folder: Path, network: torch.nn.Module, tmp_path: Path) -> None:
    proof = tmp_path / "unpickled"
    zipped = io.BytesIO()
    torch.save({"weights": Evil(proof)}, zipped)
    for content in (pickle.dumps(Evil(proof)), zipped.getvalue()):
        weights_file(folder, "0").write_bytes(content)
        with pytest.raises(BundleError, match="does not fit its model"):
            load_weights(network, folder, "0")
    assert not proof.exists()


def test_no_module_unpickles() -> None:
    root = Path(__file__).parents[3]
    sources = [
        path for room in ("ctcore", "stage1_localizer", "stage2_multitask") for path in (root / room).rglob("*.py")
    ]
    assert len(sources) > 40
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "dill", "joblib"} & set(names), path
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert any(word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in node.keywords)


def test_folds(exported: MakeModel) -> None:
    model = exported(folds=("0", "1", "all"))
    assert chosen_folds(model, None) == chosen_folds(model, ()) == ("0", "1", "all")
    assert chosen_folds(model, [1, "all"]) == ("1", "all")
    with pytest.raises(RequestError, match="fold 3 is not in this model; it has 0, 1, all"):
        chosen_folds(model, [0, 3])


def test_normalization_by_hand() -> None:
    values = np.array([[[-1000, -100, 50, 100, 900]]], dtype=np.int16)
    result = Normalization(lower=-100, upper=200, mean=50, std=25).apply(values)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [[[-6, -6, 0, 2, 6]]])
    assert values[0, 0, 0] == -1000


def test_output_channels(exported: MakeModel) -> None:
    assert exported(labels={"background": 0, "lesion": 1, "pancreas": 4}).output_channels == 5


def test_normalization_comes_from_the_fingerprint() -> None:
    properties = {"percentile_00_5": -90.0, "percentile_99_5": 210.0, "mean": 70.0, "std": 30.0, "median": 1.0}
    found = Normalization.from_plans({"foreground_intensity_properties_per_channel": {"0": properties}})
    assert (found.lower, found.upper, found.mean, found.std) == (-90.0, 210.0, 70.0, 30.0)
