from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ctcore.errors import CheckpointError
from ctcore.nnunet.safe_load import safe_load


class Runs:
    """Makes a folder as soon as it is unpickled by something that trusts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("archive", [True, False], ids=["zip", "legacy"])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, archive: bool) -> None:
    trap, path = tmp_path / "trap", tmp_path / "checkpoint_final.pth"
    content = {"network_weights": {"w": torch.zeros(2)}, "logging": Runs(trap)}
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    with pytest.raises(CheckpointError, match=r"needs '\w+\.mkdir', which could run code: nothing of it was run"):
        safe_load(path)
    assert not trap.exists()
    torch.load(path, weights_only=False)
    assert trap.exists()  # the trap works


def test_functions_that_are_not_modules_own_are_refused_too(tmp_path: Path) -> None:
    class Evaluates:
        def __reduce__(self) -> tuple[Any, ...]:
            return eval, ("1 + 1",)

    torch.save({"a": Evaluates()}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match="eval', which could run code"):
        safe_load(tmp_path / "c.pth")


def test_what_real_checkpoints_hold(tmp_path: Path) -> None:
    content = {
        "network_weights": {"w": torch.arange(3.0)},
        "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.25), np.int64(3), np.bool_(True)]},
        "init_args": {"device": torch.device("cpu"), "fold": 0},
    }
    torch.save(content, tmp_path / "numpy2.pth")
    # As NumPy 1 wrote it: the same pickle, whose names are text, with another module.
    with (
        zipfile.ZipFile(tmp_path / "numpy2.pth") as source,
        zipfile.ZipFile(tmp_path / "numpy1.pth", "w") as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b"cnumpy._core.", b"cnumpy.core."))
    assert b"numpy.core" in (tmp_path / "numpy1.pth").read_bytes()
    for name in ("numpy1", "numpy2"):
        found = safe_load(tmp_path / f"{name}.pth")
        assert found["logging"] == {"mean_fg_dice": [0.5, 0.25, 3, True]}
        assert found["network_weights"]["w"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps({"a": 1})], ids=["empty", "text", "pickle"])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"c\.pth' is not a checkpoint that can be read safely"):
        safe_load(tmp_path / "c.pth")
