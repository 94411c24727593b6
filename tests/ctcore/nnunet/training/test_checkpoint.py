"""Checkpoints: whole or not there, never code, of this version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ctcore.errors import CheckpointError, OutputError
from ctcore.nnunet.training.checkpoint import read_checkpoint, write_checkpoint, write_weights

CPU = torch.device("cpu")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint_latest.pth"


def test_round_trip(path: Path) -> None:
    write_checkpoint(path, {"weights": torch.arange(3), "history": [0.5, float("nan")], "device": CPU})
    state = read_checkpoint(path, CPU)
    assert state["weights"].tolist() == [0, 1, 2]
    assert state["history"][0] == 0.5
    assert state["device"] == CPU


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.proof,))


def test_a_checkpoint_runs_no_code(path: Path, tmp_path: Path) -> None:
    torch.save({"network_weights": Evil(tmp_path / "proof")}, path)
    with pytest.raises(CheckpointError, match=r"cannot be read \(.*\); train anew with --restart"):
        read_checkpoint(path, CPU)
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"half a check", "cannot be read"),
        ({"network_weights": {}}, "is a checkpoint of version None, not 3"),
        ({"version": 1}, "is a checkpoint of version 1, not 3"),
        ([1, 2], "is a checkpoint of version None"),
    ],
)
def test_what_cannot_be_gone_on_from(path: Path, content: Any, message: str) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=message) as error:
        read_checkpoint(path, CPU)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_truncated_file(path: Path) -> None:
    write_checkpoint(path, {"weights": torch.rand(1000)})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(path, CPU)


def test_a_full_disk_leaves_the_checkpoint_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(path, {"epoch": 1})
    before = path.read_bytes()

    def fail(_: Any, target: Path) -> None:
        Path(target).write_bytes(b"half a check")
        raise RuntimeError("PytorchStreamWriter failed writing file\nand a trace")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OutputError, match=r"latest\.pth' cannot be written: Pytorch.* file; free space on its disk"):
        write_checkpoint(path, {"epoch": 2})
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_weights(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 3)
    write_weights(tmp_path / "weights.safetensors", layer)
    state = load_file(tmp_path / "weights.safetensors")
    assert torch.equal(state["weight"], layer.weight)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_weights(tmp_path / "file" / "weights.safetensors", layer)
