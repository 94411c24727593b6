"""CTs on object storage: the cases that a folder of the same names has, read alike, and nothing left on the disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from ctcore.cts import find_cts, read_case
from ctcore.errors import RequestError, UnreadableImageError
from ctcore.files import CaseFile, write
from ctcore.named_cts import FaultyCase
from ctcore.object_store import ObjectFolder
from ctcore.stored_cts import StoredCase
from ctcore.volume import Geometry, Volume
from tests.object_server import ObjectServer

PREAMBLE = bytes(128) + b"DICM" + bytes(8)


@pytest.fixture
def folder(object_server: ObjectServer) -> ObjectFolder:
    """A folder of an empty bucket."""
    return object_server.new_bucket() / "cts"


@pytest.fixture
def image(tmp_path: Path) -> bytes:
    """The bytes of a small CT as NIfTI."""
    values = np.random.default_rng(0).integers(-1000, 1500, (12, 8, 10)).astype(np.int16)
    write(Volume(values, Geometry(values.shape, (0.7, 0.9, 2.5), (-31.25, 17.0, -250.5))), tmp_path / "ct.nii.gz")
    return (tmp_path / "ct.nii.gz").read_bytes()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's place for temporary files, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def told(cases: tuple[CaseFile, ...]) -> list[tuple[str, str, str]]:
    """Returns id, image and fault of every case."""
    return [(case.case_id, case.image, str(case.fault) if isinstance(case, FaultyCase) else "") for case in cases]


def test_the_cases_of_a_folder_on_a_disk(folder: ObjectFolder, object_server: ObjectServer, tmp_path: Path) -> None:
    names = [
        "a_0000.nii.gz", "b.MHA", "same.mha", "same_0000.nii.gz", "A.nrrd", "a.nii", ".hidden.nii.gz", "notes.txt",
        "-x.nii", "pair.hdr", "pair.img", "old.mnc", "Grün 1.nrrd", "folder.nii.gz/inside.txt",
    ]  # fmt: skip
    object_server.put(folder, dict.fromkeys(names, b"x"))
    disk = tmp_path / "disk"
    for name in names:
        (disk / name).parent.mkdir(parents=True, exist_ok=True)
        (disk / name).write_bytes(b"x")
    here, there = find_cts(disk).cases, find_cts(folder).cases
    assert told(there) == told(here)
    assert sum(isinstance(case, StoredCase) for case in there) == 3
    assert [case.stamp for case in there if isinstance(case, StoredCase)] == [(1, 0)] * 3


def test_a_ct_is_read_alike_and_leaves_nothing(
    folder: ObjectFolder, object_server: ObjectServer, image: bytes, tmp_path: Path, temporary: Path
) -> None:
    object_server.put(folder, {"ct.nii.gz": image})
    (one,) = find_cts(folder).cases
    (same,) = find_cts(folder / "ct.nii.gz").cases
    assert one == same
    volume, expected = read_case(one), read_case(CaseFile("ct", tmp_path / "ct.nii.gz"))
    np.testing.assert_array_equal(volume.array, expected.array)
    assert volume.geometry == expected.geometry
    assert list(temporary.iterdir()) == []


def test_damage_is_that_cases_alone(
    folder: ObjectFolder, object_server: ObjectServer, image: bytes, temporary: Path
) -> None:
    object_server.put(folder, {"cut.nii.gz": image[:-40], "gone.nii.gz": image, "new.nii.gz": image})
    cut, gone, new = find_cts(folder).cases
    with pytest.raises(UnreadableImageError, match=r"'cut.nii.gz' cannot be read: its compressed data ends early"):
        read_case(cut)
    object_server.put(folder, {"new.nii.gz": image + b"more"})
    with pytest.raises(UnreadableImageError, match=r"^'new.nii.gz' changed since it was found; run again when it is"):
        read_case(new)
    folder.remove(["gone.nii.gz"])
    with pytest.raises(
        UnreadableImageError, match=r"^'gone.nii.gz' cannot be read: there is no such bucket, or nothing"
    ):
        read_case(gone)
    assert list(temporary.iterdir()) == []


def test_a_ct_that_comes_in_part(
    folder: ObjectFolder, object_server: ObjectServer, image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    object_server.put(folder, {"ct.nii.gz": image})
    (case,) = find_cts(folder).cases
    monkeypatch.setattr(ObjectFolder, "fetch", lambda self, name, path: path.write_bytes(image[:100]))
    with pytest.raises(UnreadableImageError, match=rf"'ct.nii.gz' cannot be read: 100 of {len(image)} bytes came"):
        read_case(case)


def test_a_header_without_voxels(folder: ObjectFolder, object_server: ObjectServer) -> None:
    object_server.put(folder, {"ct.mhd": b"ObjectType = Image", "ct.raw": b""})
    (case,) = find_cts(folder).cases
    with pytest.raises(UnreadableImageError, match=r"'ct.mhd' has its voxels in another object; convert it to '.mha'"):
        read_case(case)


@pytest.mark.parametrize(
    "name", ["1.dcm", "study.ZIP", "DICOMDIR", "IM000001", "1.2.840.1", "patient/study/1.dcm", "patient/study/IM1"]
)
def test_dicom_is_refused(folder: ObjectFolder, object_server: ObjectServer, name: str) -> None:
    object_server.put(folder, {"ct.nii.gz": b"x", "README": b"y" * 200, name: PREAMBLE})
    expected = rf"'{folder / name}' is DICOM or an archive, which are read from a disk alone; copy them to one"
    with pytest.raises(RequestError, match=expected):
        find_cts(folder)


def test_inputs_that_are_nothing(folder: ObjectFolder, object_server: ObjectServer) -> None:
    object_server.put(folder, {"notes.txt": b"x", "1.dcm": b"x", "below/ct.nii.gz": b"x"})
    with pytest.raises(RequestError, match=r"there is no such bucket, or nothing of this name in it; check the name"):
        find_cts(folder.parent / "elsewhere")
    with pytest.raises(RequestError, match=r"notes.txt' is not an image; give an object ending in .nii.gz"):
        find_cts(folder / "notes.txt")
    with pytest.raises(RequestError, match=r"1.dcm' is DICOM"):
        find_cts(folder / "1.dcm")
    folder.remove(["1.dcm"])
    with pytest.raises(RequestError, match=r"holds no image; expected objects ending in .*, in no subfolder"):
        find_cts(folder)
