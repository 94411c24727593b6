"""Damage to the compressed voxels of MetaImage and NRRD files, which ITK passes over, is found by `read`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ctcore.errors import UnreadableImageError
from ctcore.files import read

VALUES = np.random.default_rng(0).integers(-1000, 1000, (12, 13, 14)).astype(np.int16)
NAMES = ["a.mha", "a.mhd", "a.nrrd"]


def written(folder: Path, name: str) -> Path:
    """Writes the values, compressed; returns the file that holds their bytes."""
    sitk.WriteImage(sitk.GetImageFromArray(VALUES), str(folder / name), True)
    return folder / ("a.zraw" if name == "a.mhd" else name)


@pytest.mark.parametrize("name", NAMES)
def test_sound_files_pass(tmp_path: Path, name: str) -> None:
    held = written(tmp_path, name)
    np.testing.assert_array_equal(read(tmp_path / name).array, VALUES)
    held.write_bytes(held.read_bytes() + b"what follows the voxels")
    np.testing.assert_array_equal(read(tmp_path / name).array, VALUES)


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("name", NAMES)
def test_changed_bytes(tmp_path: Path, name: str, share: float) -> None:
    held = written(tmp_path, name)
    data = bytearray(held.read_bytes())
    data[int(share * len(data))] ^= 0xFF
    held.write_bytes(data)
    with pytest.raises(UnreadableImageError, match=rf"'{name}' cannot be read: .*; check or replace it"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
def test_missing_bytes(tmp_path: Path, name: str) -> None:
    held = written(tmp_path, name)
    data = held.read_bytes()
    held.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(UnreadableImageError, match=rf"'{name}' cannot be read: "):
        read(tmp_path / name)
