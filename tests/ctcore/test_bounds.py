"""What is too large is refused before anything of its size is made, and the largest CTs pass."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from ctcore.bounds import MAX_VOXELS, check_extent, check_resampled, check_stored
from ctcore.errors import CaseError, GeometryError, ImageDimensionError, UnreadableImageError
from ctcore.files import read, read_ct, write
from ctcore.inflate import inflated
from ctcore.resample import shape_for_spacing
from ctcore.volume import Geometry, Volume


def nifti(size: tuple[int, int, int], voxels: bytes = b"") -> bytes:
    """A NIfTI-1 file of int16 whose header says a size."""
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *size, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 4, 16)
    struct.pack_into("<4f", head, 76, 1, 1, 1, 1)
    struct.pack_into("<f", head, 108, 352)
    head[344:348] = b"n+1\0"
    return bytes(head) + voxels


def metaimage(size: tuple[int, int, int], voxels: bytes = b"", *, compressed: bool = False) -> bytes:
    head = f"NDims = 3\nDimSize = {size[0]} {size[1]} {size[2]}\nCompressedData = {compressed}\n"
    return (head + "ElementType = MET_SHORT\nElementDataFile = LOCAL\n").encode() + voxels


def nrrd(size: tuple[int, int, int], voxels: bytes = b"", *, encoding: str = "raw") -> bytes:
    head = f"NRRD0004\ntype: short\ndimension: 3\nsizes: {size[0]} {size[1]} {size[2]}\nendian: little\n"
    head += f"encoding: {encoding}\n\n"
    return head.encode() + voxels


HUGE = (65535, 65535, 65535)
HOSTILE = {
    "largest.nii": nifti((32767, 32767, 32767)),
    "largest.nii.gz": gzip.compress(nifti((32767, 32767, 32767))),
    "huge.mha": metaimage(HUGE),
    "huge.nrrd": nrrd(HUGE),
    "huge_compressed.mha": metaimage(HUGE, zlib.compress(b""), compressed=True),
    "huge_compressed.nrrd": nrrd(HUGE, gzip.compress(b""), encoding="gzip"),
    "empty.nii": nifti((512, 512, 1600)),
    "empty.nii.gz": gzip.compress(nifti((512, 512, 1600))),
    "empty.mha": metaimage((512, 512, 1600)),
    "empty.nrrd": nrrd((512, 512, 1600)),
    "empty_compressed.mha": metaimage((512, 512, 1600), zlib.compress(b"x"), compressed=True),
    "empty_compressed.nrrd": nrrd((512, 512, 1600), gzip.compress(b"x"), encoding="gzip"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_header_that_claims_more_than_there_is(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by the header alone: neither ITK nor NumPy is asked for room."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("room was made")

    monkeypatch.setattr(np, "empty", never)
    monkeypatch.setattr("ctcore.files._image_reader", never)
    (tmp_path / name).write_bytes(HOSTILE[name])
    with pytest.raises((ImageDimensionError, UnreadableImageError), match=r"says it has|cannot be read") as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_a_bomb_is_not_inflated_to_its_end(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MiB follow 60 voxels; no more than a few pieces of them are made."""
    made = []

    def counted(handle: BinaryIO, *, members: bool = True) -> Iterator[bytes]:
        for block in inflated(handle, members=members):
            made.append(len(block))
            yield block

    monkeypatch.setattr("ctcore.nifti.inflated", counted)
    monkeypatch.setattr("ctcore.compressed.inflated", counted)
    bomb = np.arange(60, dtype=np.int16).tobytes() + bytes(64 << 20)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(
        gzip.compress(nifti((3, 4, 5), bomb), 1)
        if suffix == ".nii.gz"
        else metaimage((3, 4, 5), zlib.compress(bomb, 1), compressed=True)
        if suffix == ".mha"
        else nrrd((3, 4, 5), gzip.compress(bomb, 1), encoding="gzip")
    )
    with pytest.raises(UnreadableImageError, match=r"more .*than.* its header says|holds more than the"):
        read(path)
    assert sum(made) < 8 << 20


def test_the_longest_ct_passes() -> None:
    """1,600 slices of 512 x 512 voxels at 0.5 mm, compressed as well as DEFLATE can."""
    check_stored("a", (512, 512, 1600), 2, 512 * 512 * 1600 * 2 // 1000, deflated=True)
    check_stored("a", (1024, 1024, 1571), 4, 1024 * 1024 * 1571 * 4, deflated=False)
    geometry = Geometry((1600, 512, 512), (0.5, 0.5, 0.5))
    check_extent(geometry, "a")
    assert shape_for_spacing(geometry, (1.5, 0.747, 0.747)) == (533, 343, 343)


def test_more_voxels_than_allowed() -> None:
    with pytest.raises(ImageDimensionError, match=r"'a' says it has 2048 x 1024 x 1025 voxels of 1 bytes"):
        check_stored("a", (2048, 1024, 1025), 1, 1 << 40, deflated=False)
    assert MAX_VOXELS == 2048 * 1024 * 1024
    check_stored("a", (2048, 1024, 1024), 1, 1 << 40, deflated=False)
    with pytest.raises(ImageDimensionError, match="8 GiB"):
        check_stored("a", (2048, 1024, 1024), 8, 1 << 40, deflated=False)
    with pytest.raises(ImageDimensionError, match="16384 a side"):
        check_stored("a", (16385, 1, 1), 1, 1 << 40, deflated=False)


def test_a_spacing_of_500_mm(tmp_path: Path) -> None:
    volume = Volume(np.random.default_rng(0).integers(-1000, 1000, (8, 9, 10)).astype(np.int16),
                    Geometry((8, 9, 10), (500.0, 500.0, 500.0)))  # fmt: skip
    write(volume, tmp_path / "a.nii.gz")
    with pytest.raises(GeometryError, match=r"'a\.nii\.gz' has voxels of 500 x 500 x 500 mm .* a side of 5000 mm"):
        read_ct(tmp_path / "a.nii.gz")
    with pytest.raises(GeometryError, match=r"would have 80000 x 180000 x 200000 voxels"):
        shape_for_spacing(Geometry((80, 90, 100), (500.0, 500.0, 500.0)), (0.5, 0.25, 0.25))


def test_resampled_grids_are_bounded_by_their_product() -> None:
    check_resampled((512, 1024, 1024), (1.0, 1.0, 1.0))
    with pytest.raises(CaseError, match="would have 513 x 1024 x 1024 voxels"):
        check_resampled((513, 1024, 1024), (1.0, 1.0, 1.0))
