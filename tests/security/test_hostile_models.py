"""Models and predictions from a stranger run nothing and are refused in one line, before room is made for them."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ctcore.errors import BundleError, CaseError, PipelineError, RequestError
from ctcore.evaluation.maps import discover_maps, read_map
from ctcore.json_files import read_json
from ctcore.nnunet.allocation import build_no_larger
from ctcore.nnunet.exported import ExportedModel, build_loaded, load_model
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.safe_load import safe_load
from ctcore.volume import Geometry
from pipeline.bundle import load_bundle
from pipeline.bundle_files import MANIFEST
from tests.ctcore.nnunet.conftest import architecture, exported

__all__ = ["architecture", "exported"]

HASH = hashlib.sha256(b"x").hexdigest()


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._proof),)


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    return tmp_path / "code_was_run"


def test_the_payload_works(proof: Path) -> None:
    pickle.loads(pickle.dumps(Payload(proof)))
    assert proof.exists()


def opened(path: Path, exported: Callable[..., ExportedModel]) -> object:
    """Opens a file as the program would."""
    if path.suffix in (".npy", ".npz"):
        return read_map(discover_maps(path.parent)[0].path, Geometry((1, 1, 1), (1.0, 1.0, 1.0)))
    if path.suffix == ".pth":
        return safe_load(path)
    if path.suffix == ".json":
        return load_model(path.parent, ExportedModel)
    return build_loaded(lambda: build_unet(exported().architecture, 1, 2), path.parent, "0")


@pytest.mark.parametrize("name", ["fold_0.safetensors", "checkpoint_final.pth", "map.npz", "map.npy", "model.json"])
def test_a_pickle_by_any_name_is_not_run(
    tmp_path: Path, proof: Path, name: str, exported: Callable[..., ExportedModel]
) -> None:
    path = tmp_path / name
    if name.endswith(".npz"):
        np.savez(path, map=np.array([Payload(proof)], dtype=object))
    elif name.endswith(".npy"):
        np.save(path, np.array([Payload(proof)], dtype=object))
    elif name.endswith(".pth"):
        torch.save({"network_weights": Payload(proof)}, path)
    else:
        path.write_bytes(pickle.dumps(Payload(proof)))
    with pytest.raises(PipelineError) as caught:
        opened(path, exported)
    assert not proof.exists()
    assert "\n" not in str(caught.value)


def bundle_of(folder: Path, files: dict[str, str], /, **changes: Any) -> Path:
    """A bundle's manifest with any list of files, each of which is there if it can be."""
    for name in files:
        path = folder / name
        if ".." not in name and not name.startswith("/") and name.isprintable():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    manifest = {
        "schema_version": 1, "name": "a", "description": "b", "demo": False, "class_names": ["non-PDAC", "PDAC"],
        "lesion_classes": ["PDAC"], "candidates": {}, "fusion": {}, "files": files,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).write_text(json.dumps(manifest | changes))
    return folder


SOUND = {f"stage{n}/model.json": HASH for n in (1, 2)}


def test_a_sound_list_passes(tmp_path: Path) -> None:
    assert load_bundle(bundle_of(tmp_path / "b", SOUND)).manifest.name == "a"


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "stage1/../../x",
        "stage1\\..\\x",
        "C:x",
        "a\nb",
        "a/./b",
        ".hidden",
        "stage1/.x.json",
        "a//b",
    ],
)
def test_names_that_lead_out_of_a_bundle(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="which is not a file inside it") as caught:
        load_bundle(bundle_of(tmp_path / "b", {**SOUND, name: HASH}))
    assert "\n" not in str(caught.value)


def test_names_that_are_one_file_for_some_systems(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="one file for some systems"):
        load_bundle(bundle_of(tmp_path / "b", {**SOUND, "NOTES.md": HASH, "notes.md": HASH}))


def test_a_link_out_of_a_bundle(tmp_path: Path) -> None:
    folder = bundle_of(tmp_path / "b", SOUND)
    (tmp_path / "secret").write_bytes(b"x")
    (folder / "stage1" / "model.json").unlink()
    (folder / "stage1" / "model.json").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match="is a link that leads out of it"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"class_names": ["=cmd()", "PDAC"]}, "class_names.0"),
        ({"class_names": ["..", "PDAC"]}, "class_names.0"),
        ({"class_names": ["a\nb", "PDAC"]}, "class_names.0"),
        ({"class_names": ["x" * 65, "PDAC"]}, "class_names.0"),
        ({"class_names": [f"c{n}" for n in range(65)]}, "class_names"),
        ({"name": "a\x1b[2J"}, "name"),
        ({"files": {f"f{n}": HASH for n in range(1001)}}, "files"),
        ({"fusion": {"weight": 2}}, "fusion.weight"),
        ({"surprise": {}}, "surprise"),
        ({"schema_version": 2}, "schema version 2"),
    ],
)
def test_manifests_that_are_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(BundleError, match=told) as caught:
        load_bundle(bundle_of(tmp_path / "b", SOUND, **changes))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', '{"a": 1, "a": 2}', "[" * 100_000, "1" * 5000, "\udcff"]
)
def test_json_that_is_not_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RequestError, match="cannot be read as JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"patch_size": [10**6] * 3}, "patch_size"),
        ({"patch_size": [1024, 1024, 1024]}, "patch_size"),
        ({"patch_size": [0, 16, 16]}, "patch_size"),
        ({"spacing_mm": [0, 1, 1]}, "spacing_mm"),
        ({"labels": {"background": 0, "lesion": 10**12}}, "labels"),
        ({"labels": {}}, "labels"),
        ({"folds": ["../../x"]}, "folds"),
        ({"folds": ["0", "0"]}, "folds"),
        ({"folds": [str(n) for n in range(65)]}, "folds"),
        ({"mirror_axes": [7]}, "mirror_axes"),
        ({"schema_version": 2}, "schema_version"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_models_that_are_refused(
    tmp_path: Path, exported: Callable[..., ExportedModel], changes: dict[str, Any], told: str
) -> None:
    content = json.loads(exported(folds=()).model_dump_json()) | changes
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match=told):
        load_model(tmp_path, ExportedModel)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_stages": 10**6},
        {"n_conv_per_stage": [10**6, 1, 1]},
        {"features_per_stage": [10**7, 8, 8]},
        {"kernel_sizes": [[3, 3, 3]] * 10_000},
    ],
)
def test_descriptions_without_measure(architecture: dict[str, Any], changes: dict[str, Any]) -> None:
    arguments = architecture["arch_kwargs"] | changes
    with pytest.raises(BundleError, match=r"at most can be built|cannot be built safely"):
        build_unet(architecture | {"arch_kwargs": arguments}, 1, 2)


def test_a_network_larger_than_its_weights(architecture: dict[str, Any], tmp_path: Path) -> None:
    """2.9 * 10^10 parameters are described, 100 are there."""
    arguments = architecture["arch_kwargs"] | {"features_per_stage": [1 << 15] * 3}
    save_file({"a": torch.zeros(100)}, tmp_path / "fold_0.safetensors")
    with pytest.raises(BundleError, match="it holds 100 weights, and the description beside it asks for more"):
        build_no_larger(
            lambda: build_unet(architecture | {"arch_kwargs": arguments}, 1, 2), tmp_path / "fold_0.safetensors"
        )


def test_a_safetensors_header_beyond_its_file(tmp_path: Path) -> None:
    head = json.dumps({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    for length in (len(head), 1 << 40):
        (tmp_path / "fold_0.safetensors").write_bytes(length.to_bytes(8, "little") + head)
        with pytest.raises(BundleError, match="cannot be read"):
            build_no_larger(lambda: torch.nn.Linear(1, 1), tmp_path / "fold_0.safetensors")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_arrays_that_claim_more_than_there_is(tmp_path: Path, name: str) -> None:
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 100000, 100000)}\n".ljust(118) + "\n"
    array = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode()
    if name == "a.npy":
        (tmp_path / name).write_bytes(array)
    else:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("map.npy", array)
    with pytest.raises((CaseError, RequestError)) as caught:
        read_map(tmp_path / name, Geometry((1, 1, 1), (1.0, 1.0, 1.0)))
    assert "\n" not in str(caught.value)
