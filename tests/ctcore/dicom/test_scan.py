"""DICOM objects are found by their content, wherever they lie; archives are judged before they are decompressed."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from ctcore.dicom import archive
from ctcore.dicom import scan as scanning
from ctcore.dicom.archive import members
from ctcore.dicom.choose import judge
from ctcore.dicom.header import is_dicom, tag_of
from ctcore.dicom.read import read_series
from ctcore.dicom.scan import scan
from ctcore.dicom.source import MAX_OBJECT_BYTES, DicomSource, Opener
from ctcore.dicom.stack import stacks_of
from ctcore.errors import RequestError, UnreadableImageError
from ctcore.volume import Volume
from tests.ctcore.dicom.series_on_disk import slice_of, uid, write_series

TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def zipped(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def test_slices_are_found_in_all_folders_whatever_they_are_called(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path / "a" / "deep" / "er", ct, series="one")
    write_series(tmp_path / "b", ct, series="two", name="{}.DCM")
    write_series(tmp_path, ct, series="three", name="1.2.840.{}")
    write_series(tmp_path / ".hidden", ct, series="four")
    for name, content in {"readme.txt": b"words", "empty": b"", "short": b"D", "scan.nii.gz": b"no image"}.items():
        (tmp_path / name).write_bytes(content)
    found = scan(tmp_path)
    assert {header.series for header in found.headers} == {uid("Doe^Jane", "study", s) for s in ("one", "two", "three")}
    assert len(found.headers) == 36
    assert found.unreadable == ()


def test_header_of_a_slice(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path, ct, number=7, slope=2, intercept=-1024)
    header = next(
        h
        for h in scan(tmp_path, tag_of("AccessionNumber")).headers
        if h.instance.endswith(uid("Doe^Jane", "study", "series", 3))
    )
    assert (header.modality, header.number, header.image_type) == ("CT", 7, ("ORIGINAL", "PRIMARY", "AXIAL"))
    assert (header.rows, header.columns, header.bits, header.frames) == (8, 10, 16, 1)
    assert (header.slope, header.intercept, header.rescale_type) == (2.0, -1024.0, "HU")
    assert header.spacing == (0.9, 0.7)
    assert header.position == pytest.approx((-31.25, 17.0, -250.5 + 3 * 2.5))
    assert header.case_tag == "A1"


def test_a_linked_folder_is_read_once(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path / "a", ct)
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert len(scan(tmp_path).headers) == 12


def test_objects_without_preamble_and_lists_of_files(tmp_path: Path, ct: Volume) -> None:
    for path in write_series(tmp_path, ct):
        content = path.read_bytes()
        path.write_bytes(content[content.index(b"\x08\x00\x08\x00") :])  # from group 0008 on
    (tmp_path / "DICOMDIR").write_bytes((TEST_FILES / "dicomdirtests" / "DICOMDIR").read_bytes())
    found = scan(tmp_path)
    assert [header.rows for header in found.headers] == [8] * 12
    assert found.unreadable == ()
    (series,) = judge(stacks_of(found.headers))
    np.testing.assert_array_equal(read_series(series).array, ct.array)


@pytest.mark.parametrize("head", [b"", b"DICM", bytes(128) + b"DICX", b"\x08\x00\xff\xff" + bytes(128), b"PK\x03\x04"])
def test_what_is_no_dicom(head: bytes) -> None:
    assert not is_dicom(head)


def test_damaged_objects_are_named_with_the_reason(tmp_path: Path, ct: Volume) -> None:
    path = write_series(tmp_path, ct)[0]
    path.write_bytes(path.read_bytes()[:200])
    (tmp_path / "IM0001").write_bytes((TEST_FILES / "image_dfl.dcm").read_bytes())
    found = scan(tmp_path)
    assert len(found.headers) == 10
    assert [each.name for each in found.unreadable] == ["IM0000", "IM0001"]
    assert "ends within its DICOM header" in found.unreadable[0].reason
    assert "deflated" in found.unreadable[1].reason  # its size is unknown until it is inflated


def test_no_endless_folders_or_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "MAX_DEPTH", 2)
    (tmp_path / "1" / "2" / "3").mkdir(parents=True)
    with pytest.raises(RequestError, match="more than 2 deep"):
        scan(tmp_path)
    monkeypatch.setattr(scanning, "MAX_FILES", 3)
    for name in "abcd":
        (tmp_path / "1" / name).write_bytes(b"")
    with pytest.raises(RequestError, match=r"more than 3 files|2 deep"):
        scan(tmp_path / "1")


@pytest.mark.parametrize(
    ("text", "tag"), [("PatientID", 0x00100020), ("0010,0020", 0x00100020), ("(0010,0020)", 0x00100020)]
)
def test_tags(text: str, tag: int) -> None:
    assert tag_of(text) == tag


@pytest.mark.parametrize("text", ["Patient", "", "0010,00zz"])
def test_unknown_tags(text: str) -> None:
    with pytest.raises(RequestError, match="is no DICOM tag"):
        tag_of(text)


# --- archives


def test_an_archive_is_read_without_extracting_it(tmp_path: Path, ct: Volume) -> None:
    slices = write_series(tmp_path / "s", ct)
    files = {f"study/{path.name}": path.read_bytes() for path in slices}
    path = zipped(tmp_path / "Study.ZIP", files | {"study/readme.txt": b"words", "__MACOSX/._x": b"", "folder/": b""})
    before = set(tmp_path.rglob("*"))
    found = scan(path)
    assert len(found.headers) == 12
    assert {header.source.member for header in found.headers} == set(files)
    assert set(tmp_path.rglob("*")) == before
    source = found.headers[0].source
    with Opener() as opener, opener.open(source) as handle:
        assert handle.read() == files[str(source.member)]


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:evil"])
def test_names_outside_an_archive(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "a.zip", {name: b"words"})
    with pytest.raises(UnreadableImageError, match="outside itself"):
        members(path)
    assert [each.name for each in scan(tmp_path).unreadable] == ["a.zip"]
    assert not (tmp_path.parent / "evil").exists()


def test_a_bomb_is_seen_before_it_is_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FREE_BYTES", 1 << 20)
    path = zipped(tmp_path / "bomb.zip", {"zeros": bytes(2 << 20)})
    assert path.stat().st_size < 4096
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with pytest.raises(UnreadableImageError, match="2097152 bytes, decompressed: more than any study"):
        members(path)


def test_an_object_larger_than_any_slice_is_not_read(tmp_path: Path) -> None:
    with Opener() as opener, pytest.raises(UnreadableImageError, match="has 65 MiB"):
        opener.open(DicomSource(tmp_path, "x", MAX_OBJECT_BYTES + (1 << 20), 0))


def test_a_large_file_is_judged_by_its_header(tmp_path: Path, ct: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctcore.dicom.source.MAX_OBJECT_BYTES", 100)
    write_series(tmp_path, ct)
    assert len(scan(tmp_path).headers) == 12
    (series,) = judge(stacks_of(scan(tmp_path).headers))
    with pytest.raises(UnreadableImageError, match="'IM0011' has 0 MiB, more than"):
        read_series(series)


def test_a_member_cannot_be_longer_than_its_directory_says(tmp_path: Path, ct: Volume) -> None:
    """A false length is found by the checksum; no more than it is ever decompressed."""
    path = zipped(tmp_path / "a.zip", {"slice": bytes(128) + b"DICM" + bytes(5000)})
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02") + 24
    path.write_bytes(content[:at] + struct.pack("<I", 200) + content[at + 4 :])
    (source,) = members(path)
    with Opener() as opener, pytest.raises(UnreadableImageError, match="cannot be read"):
        opener.open(source)


def test_archives_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = zipped(tmp_path / "a.zip", {"a": b"words", "b": b"words"}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    with pytest.raises(UnreadableImageError, match="is not a ZIP archive"):
        members(tmp_path / "cut.zip")
    encrypted = bytearray(whole)
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "secret.zip").write_bytes(encrypted)
    with pytest.raises(UnreadableImageError, match="is encrypted"):
        members(tmp_path / "secret.zip")
    zipped(tmp_path / "lzma.zip", {"a": b"words"}, zipfile.ZIP_LZMA)
    with pytest.raises(UnreadableImageError, match="packed by method 14"):
        members(tmp_path / "lzma.zip")
    monkeypatch.setattr(archive, "MAX_MEMBERS", 1)
    with pytest.raises(UnreadableImageError, match="holds 2 files, 1 are allowed"):
        members(tmp_path / "a.zip")


def test_an_archive_in_an_archive_is_not_opened(tmp_path: Path, ct: Volume) -> None:
    inner = zipped(tmp_path / "inner.zip", {p.name: p.read_bytes() for p in write_series(tmp_path / "s", ct)})
    outer = zipped(tmp_path / "outer.zip", {"inner.zip": inner.read_bytes()})
    found = scan(outer)
    assert (found.headers, found.unreadable) == ((), ())


def test_a_damaged_member_is_named(tmp_path: Path, ct: Volume) -> None:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, slice_of(ct, 0), enforce_file_format=True)
    path = zipped(tmp_path / "a.zip", {"x/slice": buffer.getvalue()}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[600] ^= 0xFF
    path.write_bytes(content)
    (each,) = scan(path).unreadable
    assert each.name == "slice"
    assert "CRC" in each.reason


def test_no_damage_stops_a_scan(tmp_path: Path, ct: Volume) -> None:
    """Whatever the bytes say, objects are read or named with a reason of one line."""
    files = {path.name: path.read_bytes() for path in write_series(tmp_path / "s", ct)}
    whole = zipped(tmp_path / "a.zip", files).read_bytes()
    rng, faults = np.random.default_rng(0), 0
    for _ in range(40):
        for name, content in {"a.zip": whole, "s/IM0003": files["IM0003"]}.items():
            damaged = bytearray(content)
            for at in rng.integers(len(content), size=4):
                damaged[at] = rng.integers(256)
            (tmp_path / name).write_bytes(damaged)
        found = scan(tmp_path)
        faults += len(found.unreadable)
        assert all("\n" not in each.reason for each in found.unreadable)
        judge(stacks_of(found.headers))
    assert faults > 40
