"""Damaged NIfTI files are refused, and what is not finite is put back."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ctcore import inflate
from ctcore.errors import UnreadableImageError
from ctcore.nifti import SCALAR_CODES, read_stored, verify_and_restore

CODES = {dtype: (code, 8 * int(dtype[1])) for code, dtype in SCALAR_CODES.items()}


def header(dtype: str, order: str, offset: float, slope: float, intercept: float) -> bytes:
    """The fields of a NIfTI-1 header that matter here."""
    made = bytearray(352)
    struct.pack_into(f"{order}i", made, 0, 348)
    struct.pack_into(f"{order}8h", made, 40, 3, *[1] * 7)  # as far as is judged here; sizes come from the array
    struct.pack_into(f"{order}2h", made, 70, *CODES[dtype])
    struct.pack_into(f"{order}3f", made, 108, offset, slope, intercept)
    made[344:348] = b"n+1\0"
    return bytes(made)


def stored(
    values: npt.NDArray[Any], dtype: str, order: str = "<", gap: int = 0, slope: float = 0, intercept: float = 0
) -> bytes:
    made = header(dtype, order, 352 + gap, slope, intercept)
    return made + b"\0" * gap + values.astype(order + dtype).tobytes()


def as_itk_reads(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.where(np.isfinite(values), values, 0).astype(values.dtype)


@pytest.fixture
def values() -> npt.NDArray[np.float64]:
    array = np.random.default_rng(0).normal(0, 500, (5, 6, 7)).round()
    array[0, 0, 0], array[4, 5, 6], array[2, 3, 1], array[2, 3, 2] = np.nan, -np.inf, np.inf, np.nan
    return array


@pytest.mark.parametrize("block", [1, 13, 352, 1000, 1 << 20])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_values_are_put_back(
    values: npt.NDArray[np.float64],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    block: int,
    packed: bool,
    order: str,
    dtype: str,
) -> None:
    monkeypatch.setattr(inflate, "BLOCK_BYTES", block)
    data = stored(values, dtype, order, gap=16) + b"\0after the voxels"
    (tmp_path / "a").write_bytes(gzip.compress(data) if packed else data)
    array = as_itk_reads(values.astype(dtype))
    verify_and_restore(tmp_path / "a", array)
    np.testing.assert_array_equal(array, values)


def test_whole_numbers_are_left_alone(tmp_path: Path) -> None:
    array = np.full((3, 4, 5), 0x7FC0, np.int16)  # the upper half of a float32 NaN
    (tmp_path / "a").write_bytes(stored(array, "i2"))
    read = array.copy()
    verify_and_restore(tmp_path / "a", read)
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("cut", [1, 8, 9, 100, 400, 10_000])
@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_a_compressed_file_that_ends_early_is_refused(tmp_path: Path, dtype: str, cut: int) -> None:
    array = np.random.default_rng(0).integers(-1000, 1000, (20, 30, 40)).astype(dtype)
    data = gzip.compress(stored(array, dtype))
    (tmp_path / "a.nii.gz").write_bytes(data[:-cut])
    with pytest.raises(UnreadableImageError, match=r"'a\.nii\.gz' cannot be read: its compressed data ends early"):
        verify_and_restore(tmp_path / "a.nii.gz", array)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_missing_voxels_are_refused(tmp_path: Path, dtype: str, packed: bool) -> None:
    array = np.ones((3, 4, 5), dtype)
    data = stored(array, dtype)
    (tmp_path / "a").write_bytes(gzip.compress(data[:-1]) if packed else data[:-1])
    with pytest.raises(UnreadableImageError, match=f"holds {len(data) - 1} of {len(data)} bytes; check or replace"):
        verify_and_restore(tmp_path / "a", array)


@pytest.mark.parametrize("packed", [False, True])
def test_half_a_header_is_refused(tmp_path: Path, packed: bool) -> None:
    data = stored(np.ones((1, 1, 1)), "f4")[:300]
    (tmp_path / "a").write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(UnreadableImageError, match="ends within its header"):
        verify_and_restore(tmp_path / "a", np.ones((1, 1, 1)))


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_damaged_compressed_data_is_refused(tmp_path: Path, at: float) -> None:
    array = np.random.default_rng(0).integers(-1000, 1000, (20, 30, 40)).astype(np.int16)
    data = bytearray(gzip.compress(stored(array, "i2"), compresslevel=1))
    data[int(len(data) * at)] ^= 0x10
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(UnreadableImageError, match=r"'a' cannot be read: its compressed data (is damaged|ends early)"):
        verify_and_restore(tmp_path / "a", array)


@pytest.mark.parametrize("padding", [0, 5])
def test_gzip_in_members(values: npt.NDArray[np.float64], tmp_path: Path, padding: int) -> None:
    data = stored(values, "f4")
    members = [gzip.compress(data[start : start + 300]) + b"\0" * padding for start in range(0, len(data), 300)]
    (tmp_path / "a").write_bytes(b"".join(members))
    array = as_itk_reads(values.astype(np.float32))
    verify_and_restore(tmp_path / "a", array)
    np.testing.assert_array_equal(array, values)
    (tmp_path / "a").write_bytes(b"".join(members[:-1]))
    with pytest.raises(UnreadableImageError, match="it holds"):
        verify_and_restore(tmp_path / "a", array)


@pytest.mark.parametrize("inflated", [64, 1000, 1 << 22])
@pytest.mark.parametrize("block", [1, 13, 352, 1 << 20])
@pytest.mark.parametrize("packed", [False, True])
def test_voxels_are_read_in_pieces_of_any_size(
    values: npt.NDArray[np.float64],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    packed: bool,
    block: int,
    inflated: int,
) -> None:
    monkeypatch.setattr(inflate, "BLOCK_BYTES", block)
    monkeypatch.setattr(inflate, "INFLATED_BYTES", inflated)
    values[1:4] = 0  # long runs, of which a few bytes inflate to many pieces
    data = stored(values, "f4", gap=16) + b"\0after the voxels"
    (tmp_path / "a").write_bytes(gzip.compress(data) if packed else data)
    np.testing.assert_array_equal(read_stored(tmp_path / "a", (5, 6, 7)), values)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", sorted(CODES))
def test_every_type_is_read_as_stored(tmp_path: Path, dtype: str, order: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    (tmp_path / "a").write_bytes(stored(array, dtype, order))
    found = read_stored(tmp_path / "a", (2, 3, 4))
    np.testing.assert_array_equal(found, array)
    assert found is not None
    assert found.dtype == np.dtype(dtype)
    assert found.flags.writeable


@pytest.mark.parametrize(
    ("slope", "intercept", "plain"), [(1, 0, True), (0, 5, True), (1, -1024, False), (2, 0, False)]
)
def test_scaled_voxels_are_left_to_itk(tmp_path: Path, slope: float, intercept: float, plain: bool) -> None:
    (tmp_path / "a").write_bytes(stored(np.ones((2, 3, 4)), "i2", slope=slope, intercept=intercept))
    assert (read_stored(tmp_path / "a", (2, 3, 4)) is not None) is plain


@pytest.mark.parametrize("packed", [False, True])
def test_stored_voxels_that_are_missing_are_refused(tmp_path: Path, packed: bool) -> None:
    data = stored(np.ones((2, 3, 4)), "i2")
    (tmp_path / "a").write_bytes(gzip.compress(data[:-1]) if packed else data[:-1])
    with pytest.raises(UnreadableImageError, match=f"holds {len(data) - 1} of {len(data)} bytes; check or replace"):
        read_stored(tmp_path / "a", (2, 3, 4))
