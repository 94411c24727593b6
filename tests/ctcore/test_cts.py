"""CTs of every format are found together and read alike."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ctcore.cts import DicomCase, find_cts, look_for_cts, read_case
from ctcore.errors import RequestError
from ctcore.files import write
from ctcore.volume import Geometry, Volume
from tests.ctcore.dicom.series_on_disk import write_series


@pytest.fixture
def ct() -> Volume:
    values = np.random.default_rng(0).integers(-1000, 1500, (12, 8, 10)).astype(np.int16)
    return Volume(values, Geometry(values.shape, (0.7, 0.9, 2.5), (-31.25, 17.0, -250.5)))


def test_all_formats_side_by_side(tmp_path: Path, ct: Volume) -> None:
    for name in ("a_0000.nii.gz", "b.nii", "c.nrrd", "d_0000.mha"):
        write(ct, tmp_path / name)
    capitals = {"a_0000.nii.gz": "e_0000.NII.GZ", "b.nii": "f.NII", "c.nrrd": "g.NRRD", "d_0000.mha": "h.MHA"}
    for name, upper in capitals.items():
        (tmp_path / upper).write_bytes((tmp_path / name).read_bytes())
    for path in write_series(tmp_path / "slices", ct, study="1"):
        with zipfile.ZipFile(tmp_path / "study.zip", "a") as archive:
            archive.write(path, path.name)
        path.unlink()
    write_series(tmp_path / "nested" / "series", ct, study="2")
    found = find_cts(tmp_path)
    assert [case.case_id for case in found.cases if not isinstance(case, DicomCase)] == list("abcdefgh")
    assert sum(isinstance(case, DicomCase) for case in found.cases) == 2
    for case in found.cases:
        volume = read_case(case)
        np.testing.assert_array_equal(volume.array, ct.array)
        assert volume.geometry.allclose(ct.geometry, 1e-5), case
        size, modified = case.stamp
        assert size > 0
        assert modified > 0


def test_a_single_file_of_any_kind(tmp_path: Path, ct: Volume) -> None:
    write(ct, tmp_path / "a.nii.gz")
    assert [case.image for case in find_cts(tmp_path / "a.nii.gz").cases] == ["a.nii.gz"]
    path = write_series(tmp_path / "series", ct)[0]
    with pytest.raises(RequestError, match="1 slices, fewer than 10"):
        find_cts(path)
    (case,) = find_cts(tmp_path / "series").cases
    assert isinstance(case, DicomCase)
    assert case.image == f"DICOM series {case.series.digest}"
    assert case.case_id == f"ct-{case.series.digest}"


def test_looking_finds_nothing_without_a_fault(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("words")
    assert look_for_cts(tmp_path).cases == ()
    with pytest.raises(RequestError, match="does not exist"):
        look_for_cts(tmp_path / "nowhere")
    with pytest.raises(RequestError, match="is not an image"):
        find_cts(tmp_path / "readme.txt")


def test_inputs_that_are_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RequestError, match="pipe' is neither a file nor a folder"):
        find_cts(tmp_path / "pipe")
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    with pytest.raises(RequestError, match="has bytes in its name that are no text"):
        find_cts(tmp_path / os.fsdecode(b"caf\xe9"))


def test_folders_that_may_not_be_read(tmp_path: Path, ct: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subfolder is told and passed over; the input itself is a wrong request."""
    write(ct, tmp_path / "a.nii.gz")
    (tmp_path / "closed").mkdir()
    listed = Path.iterdir
    closed = {tmp_path / "closed"}

    def refusing(path: Path) -> Iterator[Path]:
        if path in closed:
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refusing)
    found = find_cts(tmp_path)
    assert [case.case_id for case in found.cases] == ["a"]
    assert [each.reason for each in found.unreadable] == [
        "folder 'closed' cannot be read: permission denied; change its permissions"
    ]
    closed.add(tmp_path)
    with pytest.raises(RequestError, match="cannot be read: permission denied; change its permissions"):
        find_cts(tmp_path)


def test_a_folder_of_slices_may_be_named_like_an_image(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path / "scan.nii.gz", ct)
    (case,) = find_cts(tmp_path).cases
    assert isinstance(case, DicomCase)
