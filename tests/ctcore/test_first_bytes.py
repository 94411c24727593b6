"""What a file is, by its first bytes; `tests/pipeline/faults` runs whole files."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ctcore.first_bytes import HEAD_BYTES, head_of, kind_of, why_not_a_file


def of_nifti(size: int, order: str, magic: bytes) -> bytes:
    return struct.pack(f"{order}i", size) + bytes(340) + magic + bytes(200)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (of_nifti(348, "<", b"n+1\0"), "NIfTI-1"),
        (of_nifti(348, ">", b"n+1\0"), "NIfTI-1"),
        (of_nifti(348, "<", b"ni1\0"), "the header of a NIfTI pair"),
        (of_nifti(348, "<", b"\0\0\0\0"), "an Analyze header"),
        (of_nifti(540, ">", b"\0\0\0\0"), "NIfTI-2"),
        (of_nifti(348, "<", b"n+1\0")[:300], None),
        (b"ObjectType = Image\nNDims = 3\n", "MetaImage"),
        (b"NDims = 3\n", "MetaImage"),
        (b"NRRD0005\n", "NRRD"),
        (bytes(128) + b"DICM" + bytes(9), "DICOM"),
        (b"\x89PNG\r\n", "a PNG picture"),
        (b"\n<html>", "a web page"),
        (bytes(400), "zeros alone"),
        ("Müller\n".encode(), "text"),
        (b"\x01\x02\x03", None),
        (b"", None),
    ],
)
def test_kinds(head: bytes, kind: str | None) -> None:
    assert kind_of(head) == kind


def test_the_head_of_a_large_file_is_short(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * (HEAD_BYTES + 1))
    assert head_of(tmp_path / "a") == b"x" * HEAD_BYTES


def test_files_and_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    assert why_not_a_file(tmp_path / "file") is None
    assert why_not_a_file(tmp_path / "link") is None
    assert why_not_a_file(tmp_path) == "it is a folder"
    assert why_not_a_file(tmp_path / "none") == "it is not there"


def test_a_place_that_may_not_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refused)
    assert why_not_a_file(tmp_path / "Jane Doe.nii") == "permission denied"
