"""MetaImage and NRRD headers: what scanners' exports and ITK write passes; what could mislead a reader does not."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctcore.errors import ImageDimensionError, PipelineError, UnreadableImageError
from ctcore.files import read, read_header
from ctcore.metaimage import read_metaimage_header
from ctcore.nrrd import read_nrrd_header

META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "-1.5 2e2 .5",
    "ElementSpacing": "0.7 0.7 2.5",
    "DimSize": "4 3 2",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "4 3 2",
    "space directions": "(0.7,0,0) (0,0.7,0) (0,0,2.5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(-1.5,200,0.5)",
}
VOXELS = np.arange(24, dtype="<i2").tobytes()


def meta(path: Path, **changes: str | None) -> Path:
    fields = {key: value for key, value in (META | changes).items() if value is not None}
    fields["ElementDataFile"] = fields.pop("ElementDataFile")
    path.write_bytes("".join(f"{k} = {v}\n" for k, v in fields.items()).encode("latin-1") + VOXELS)
    return path


def nrrd(path: Path, extra: str = "", **changes: str | None) -> Path:
    fields = {key: value for key, value in (NRRD | changes).items() if value is not None}
    text = "NRRD0004\n" + "".join(f"{k}: {v}\n" for k, v in fields.items()) + extra + "\n"
    path.write_bytes(text.encode("latin-1") + VOXELS)
    return path


def test_both_say_the_same(tmp_path: Path) -> None:
    one, other = read(meta(tmp_path / "a.mha")), read(nrrd(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(one.array, np.arange(24).reshape(2, 3, 4))
    np.testing.assert_array_equal(one.array, other.array)
    assert one.geometry.allclose(other.geometry, 1e-12)
    assert one.geometry.origin == (-1.5, 200.0, 0.5)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd"])
@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.int64, np.float32, np.float64])
def test_what_itk_writes_passes(tmp_path: Path, name: str, kind: type[np.generic], compressed: bool) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(kind)
    image = sitk.GetImageFromArray(values)
    image.SetMetaData("0010|0010", "Doe^Jane")
    image.SetMetaData("a note", "with = and : and (brackets)")
    sitk.WriteImage(image, str(tmp_path / name), compressed)
    header = read_header(tmp_path / name)
    assert header.size == (4, 3, 2)
    assert header.voxel_bytes == values.itemsize
    assert header.deflated is compressed
    np.testing.assert_array_equal(read(tmp_path / name).array, values)


@pytest.mark.parametrize(
    "changes",
    [
        {"NDims": "1000"},
        {"NDims": "-1"},
        {"NDims": None},
        {"DimSize": "4 3"},
        {"DimSize": "4 -3 2"},
        {"DimSize": "4 0 2"},
        {"DimSize": "4 3 99999999999999999999"},
        {"DimSize": "4 3 2\nDimSize = 4 3 2"},
        {"TransformMatrix": "1 0 0"},
        {"TransformMatrix": "1 0 0 0 1 0 0 0 nan"},
        {"Offset": "1e99999 0 0"},
        {"ElementSpacing": "x y z"},
        {"ElementType": "MET_OTHER"},
        {"ElementType": "MET_SHORT_ARRAY"},
        {"ElementNumberOfChannels": "1000000000"},
        {"ElementNumberOfChannels": "0"},
        {"BinaryData": "False"},
        {"HeaderSize": "-1"},
        {"HeaderSize": "99999999999"},
        {"CompressedDataSize": "-1"},
        {"Comment": "x" * 5000},
        {"Comment": " " * 100 + "x"},
        {"Comment": "a\0b"},
        {"ElementDataFile": "/etc/passwd"},
        {"ElementDataFile": "../a.raw"},
        {"ElementDataFile": "..\\a.raw"},
        {"ElementDataFile": "LIST"},
        {"ElementDataFile": "LIST 2D"},
        {"ElementDataFile": "%d.raw 1 100000 1"},
        {"ElementDataFile": "none.raw"},
        {"ElementDataFile": ".."},
        {"ElementDataFile": "\xd8" * 200},
    ],
)  # fmt: skip
def test_metaimage_headers_that_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableImageError, match=r"'a\.mha' cannot be read: .*; check or replace it"):
        read_metaimage_header(meta(tmp_path / "a.mha", **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"dimension": "1000"},
        {"dimension": None},
        {"sizes": "4 3"},
        {"sizes": "4 0 2"},
        {"type": "block"},
        {"encoding": "hex"},
        {"encoding": "ascii"},
        {"encoding": "bzip2"},
        {"encoding": None},
        {"line skip": "1"},
        {"byte skip": "-1"},
        {"kinds": "domain" + " " * 1000},
        {"space": "left-posterior-superior-time"},
        {"space origin": "(nan,0,0)"},
        {"space directions": "(1,0,0) (0,1,0)"},
        {"data file": "/etc/passwd"},
        {"data file": "LIST"},
        {"data file": "%d.raw 1 100000 1"},
        {"surprise": "1"},
    ],
)  # fmt: skip
def test_nrrd_headers_that_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableImageError, match=r"'a\.nrrd' cannot be read: .*; check or replace it"):
        read_nrrd_header(nrrd(tmp_path / "a.nrrd", **changes))


@pytest.mark.parametrize("name", ["Größe 1.mhd", "膵臓.mhd"])
def test_voxels_in_a_file_of_any_name(tmp_path: Path, name: str) -> None:
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / name))
    np.testing.assert_array_equal(read(tmp_path / name).array, values)


def test_notes_are_passed_over(tmp_path: Path) -> None:
    read(nrrd(tmp_path / "a.nrrd", extra="# a comment\nPatientName:=Doe^Jane\n"))
    read(meta(tmp_path / "a.mha", Comment="Doe, Jane (1950)"))


def test_text_of_another_suffix_is_not_tried(tmp_path: Path) -> None:
    """Left to choose, ITK reads a file by its content: any format it knows, by whatever library."""
    image = sitk.GetImageFromArray(np.zeros((4, 5), np.uint8))
    sitk.WriteImage(image, str(tmp_path / "a.png"))
    for suffix in (".nii", ".mha", ".nrrd"):
        (tmp_path / f"b{suffix}").write_bytes((tmp_path / "a.png").read_bytes())
        with pytest.raises(UnreadableImageError, match="cannot be read"):
            read(tmp_path / f"b{suffix}")


@given(data=st.binary(max_size=300), at=st.integers(0, 300), name=st.sampled_from(["a.mha", "a.nrrd"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_end_in_a_volume_or_one_line(tmp_path: Path, data: bytes, at: int, name: str) -> None:
    whole = (meta if name == "a.mha" else nrrd)(tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:at] + data + whole[at + len(data) // 2 :])
    with contextlib.suppress(PipelineError):
        read_header(tmp_path / name)


def test_a_vector_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = meta(tmp_path / "a.mha", ElementNumberOfChannels="3", DimSize="2 2 2")
    with pytest.raises(ImageDimensionError, match="3 values a voxel"):
        read(path)
