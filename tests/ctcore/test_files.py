"""Finding cases, reading what is sound, refusing what is not, and writing files that are complete or not there."""

import itertools
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk

from ctcore.durable import write_atomic
from ctcore.errors import (
    CaseError,
    GeometryError,
    ImageDimensionError,
    IntensityError,
    OutputError,
    RequestError,
    UnreadableImageError,
)
from ctcore.files import IMAGE_SUFFIXES, CaseFile, case_id_of, discover, image_suffix, label_id_of, read, read_ct, write
from ctcore.volume import Geometry, Volume

WRITTEN = (".nii.gz", ".nii", ".mha", ".nrrd")
NIFTI = (".nii.gz", ".nii")
AXIS_ALIGNED = (
    (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0),
    (0.0, -1.0, 0.0, 0.0, 0.0, -1.0, 1.0, 0.0, 0.0),
)
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def single(values: tuple[float, ...]) -> tuple[float, ...]:
    """Values as a NIfTI file can hold them: single precision."""
    return tuple(float(np.float32(value)) for value in values)


def make_volume(
    shape: tuple[int, int, int] = (3, 4, 5),
    direction: tuple[float, ...] = AXIS_ALIGNED[0],
    dtype: npt.DTypeLike = np.int16,
) -> Volume:
    array = np.random.default_rng(0).integers(-1000, 1000, shape).astype(dtype)
    sx, sy, sz = single((0.7, 0.8, 2.5))
    x, y, z = single((-123.45, 67.89, -1000.1))
    return Volume(array, Geometry(shape, (sx, sy, sz), (x, y, z), direction))


def save(values: npt.NDArray[Any], path: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- names


@pytest.mark.parametrize(
    ("name", "suffix", "case_id", "label_id"),
    [
        ("a_0000.nii.gz", ".nii.gz", "a", "a_0000"),
        ("a_00001_0000.mha", ".mha", "a_00001", "a_00001_0000"),
        ("a.b.nii", ".nii", "a.b", "a.b"),
        ("a_0001.nrrd", ".nrrd", "a_0001", "a_0001"),
        ("A.NII.GZ", ".nii.gz", "A", "A"),
        ("a.gz", None, "a", "a"),
        ("a.json", None, "a", "a"),
        (".nii.gz", None, ".nii", ".nii"),
    ],
)
def test_names(name: str, suffix: str | None, case_id: str, label_id: str) -> None:
    path = Path("/folder.mha") / name
    assert image_suffix(path) == suffix
    assert case_id_of(path) == case_id
    assert label_id_of(path) == label_id


# --- discover


def test_discover_takes_images_alone_in_order_of_case_id(tmp_path: Path) -> None:
    for name in (
        "b_0000.nii.gz",
        "a.mha",
        "c.NRRD",
        "notes.txt",
        "clinical-information.json",
        ".hidden.nii.gz",
        "x.gz",
    ):
        (tmp_path / name).touch()
    (tmp_path / "folder.nii.gz").mkdir()
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / "d.mha").touch()
    assert discover(tmp_path) == [
        CaseFile("a", tmp_path / "a.mha"),
        CaseFile("b", tmp_path / "b_0000.nii.gz"),
        CaseFile("c", tmp_path / "c.NRRD"),
    ]


def test_discover_sorts_by_case_id_not_by_file_name(tmp_path: Path) -> None:
    for name in ("a-1_0000.mha", "a_0000.mha", "a1.mha"):
        (tmp_path / name).touch()
    assert [case.case_id for case in discover(tmp_path)] == ["a", "a-1", "a1"]


def test_discover_a_single_file(tmp_path: Path) -> None:
    path = tmp_path / "one_0000.nii.gz"
    path.touch()
    (tmp_path / "other.nii.gz").touch()
    assert discover(path) == [CaseFile("one", path)]


@pytest.mark.parametrize("pair", [("a_0000.nii.gz", "a.nii.gz"), ("a.mha", "a.nii.gz")])
def test_two_images_of_one_case_are_refused(tmp_path: Path, pair: tuple[str, str]) -> None:
    for name in pair:
        (tmp_path / name).touch()
    with pytest.raises(RequestError, match="both case 'a'; rename or remove one") as caught:
        discover(tmp_path)
    assert all(f"'{name}'" in str(caught.value) for name in pair)


def test_nothing_to_discover(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="nowhere' does not exist"):
        discover(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RequestError, match=r"holds no image; expected files ending in \.nii\.gz"):
        discover(tmp_path)
    with pytest.raises(RequestError, match=r"notes\.txt' is not an image"):
        discover(tmp_path / "notes.txt")


# --- round trips


@pytest.mark.parametrize(("suffix", "direction"), list(itertools.product(WRITTEN, AXIS_ALIGNED)))
def test_axis_aligned_grids_come_back_bit_equal(tmp_path: Path, suffix: str, direction: tuple[float, ...]) -> None:
    volume = make_volume(direction=direction)
    write(volume, tmp_path / f"a{suffix}")
    again = read(tmp_path / f"a{suffix}")
    assert again.geometry == volume.geometry
    assert again.array.dtype == np.int16
    np.testing.assert_array_equal(again.array, volume.array)
    assert names(tmp_path) == [f"a{suffix}"]


@pytest.mark.parametrize("suffix", WRITTEN)
def test_oblique_grids_come_back_within_1e_6(tmp_path: Path, suffix: str) -> None:
    volume = make_volume(direction=OBLIQUE)
    write(volume, tmp_path / f"a{suffix}")
    assert read(tmp_path / f"a{suffix}").geometry.allclose(volume.geometry, relative=2e-6)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_double_precision_is_kept_where_the_format_has_it(tmp_path: Path, suffix: str) -> None:
    geometry = Geometry((3, 4, 5), (0.1, 1 / 3, 0.7), (-0.1, 1e3 / 7, 2 / 3), AXIS_ALIGNED[1])
    write(Volume(np.zeros((3, 4, 5), np.uint8), geometry), tmp_path / f"a{suffix}")
    assert read(tmp_path / f"a{suffix}").geometry == geometry


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_dtypes_come_back(tmp_path: Path, suffix: str, dtype: type[np.generic]) -> None:
    array = np.arange(60).reshape(3, 4, 5).astype(dtype)
    write(Volume(array, Geometry((3, 4, 5), (1.0, 1.0, 1.0))), tmp_path / f"a{suffix}")
    again = read(tmp_path / f"a{suffix}").array
    assert again.dtype == dtype
    np.testing.assert_array_equal(again, array)


@pytest.mark.parametrize(("dtype", "stored"), [(np.bool_, np.uint8), (np.float16, np.float32)])
def test_dtypes_that_no_format_has(tmp_path: Path, dtype: type[np.generic], stored: type[np.generic]) -> None:
    volume = make_volume()
    write(volume.with_array((volume.array > 0).astype(dtype)), tmp_path / "a.nii.gz")
    again = read(tmp_path / "a.nii.gz").array
    assert again.dtype == stored
    np.testing.assert_array_equal(again, volume.array > 0)


def test_a_view_is_written_as_it_looks(tmp_path: Path) -> None:
    volume = make_volume((3, 4, 5))
    flipped = volume.with_array(volume.array[:, ::-1, ::-1])
    write(flipped, tmp_path / "a.mha")
    np.testing.assert_array_equal(read(tmp_path / "a.mha").array, flipped.array)


@pytest.mark.parametrize("name", ["a.mhd", "a.txt", "a"])
def test_formats_that_are_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError, match=f"cannot write '{name}'"):
        write(make_volume(), tmp_path / name)
    assert names(tmp_path) == []


def test_a_header_with_its_data_apart_is_read(tmp_path: Path) -> None:
    volume = make_volume()
    save(volume.array, tmp_path / "a.mhd")
    assert names(tmp_path) == ["a.mhd", "a.raw"]
    np.testing.assert_array_equal(read_ct(tmp_path / "a.mhd").array, volume.array)
    assert [case.case_id for case in discover(tmp_path)] == ["a"]
    (tmp_path / "a.raw").unlink()
    with pytest.raises(UnreadableImageError, match=r"'a\.mhd' cannot be read"):
        read(tmp_path / "a.mhd")


# --- what cannot be used


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("shape", [(4, 5, 6), (40, 50, 60)])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, shape: tuple[int, int, int], kept: float) -> None:
    path = tmp_path / f"a{suffix}"
    write(make_volume(shape), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(UnreadableImageError, match=rf"'a{suffix}' cannot be read: .*; check or replace it") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"not an image", b"\0" * 1000])
def test_what_is_no_image_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=f"'a{suffix}' cannot be read"):
        read(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match=r"'none\.nii\.gz' cannot be read: it is not there; check or"):
        read(tmp_path / "none.nii.gz")
    (tmp_path / "folder.mha").mkdir()
    with pytest.raises(UnreadableImageError, match=r"'folder\.mha' cannot be read: it is a folder; check or"):
        read(tmp_path / "folder.mha")
    (tmp_path / "a.txt").touch()
    with pytest.raises(UnreadableImageError, match=r"'a\.txt' is not named like an image"):
        read(tmp_path / "a.txt")


def test_a_compressed_nifti_beside_an_uncompressed_one_is_refused(tmp_path: Path) -> None:
    """ITK would read the voxels of the other file."""
    save(np.ones((3, 4, 5), np.int16), tmp_path / "a.nii.gz")
    save(np.zeros((3, 4, 5), np.int16), tmp_path / "a.nii")
    with pytest.raises(UnreadableImageError, match=r"'a\.nii' lies beside 'a\.nii\.gz'; remove one"):
        read(tmp_path / "a.nii.gz")
    assert not read(tmp_path / "a.nii").array.any()


@pytest.mark.parametrize("suffix", WRITTEN)
def test_two_dimensions_are_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ImageDimensionError, match=f"'a{suffix}' has 2 dimensions of size .*; give one 3-D volume"):
        read(save(np.zeros((4, 5), np.int16), tmp_path / f"a{suffix}"))


def series(times: int) -> Any:
    image = sitk.GetImageFromArray(make_volume().array)
    image.SetSpacing((0.5, 0.75, 2.0))
    image.SetOrigin((-10.0, 5.0, 100.0))
    return sitk.JoinSeries([image] * times)


@pytest.mark.parametrize("suffix", WRITTEN)
def test_a_series_is_refused(tmp_path: Path, suffix: str) -> None:
    sitk.WriteImage(series(2), str(tmp_path / f"a{suffix}"))
    with pytest.raises(ImageDimensionError, match=r"4 dimensions of size \(5, 4, 3, 2\)"):
        read(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_a_series_of_one_is_a_volume(tmp_path: Path, suffix: str) -> None:
    sitk.WriteImage(series(1), str(tmp_path / f"a{suffix}"))
    volume = read_ct(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(volume.array, make_volume().array)
    assert volume.geometry == Geometry((3, 4, 5), (0.5, 0.75, 2.0), (-10.0, 5.0, 100.0))


def test_a_nifti_series_of_one_is_a_volume(tmp_path: Path) -> None:
    """SimpleITK does not write the fourth axis of size 1, other programs do: number of axes at byte 40."""
    path = tmp_path / "a.nii"
    write(make_volume(), path)
    data = bytearray(path.read_bytes())
    assert int.from_bytes(data[40:42], "little") == 3
    data[40:42] = (4).to_bytes(2, "little")
    path.write_bytes(data)
    volume = read_ct(path)
    np.testing.assert_array_equal(volume.array, make_volume().array)
    assert volume.geometry == make_volume().geometry


@pytest.mark.parametrize("suffix", WRITTEN)
def test_vectors_are_refused(tmp_path: Path, suffix: str) -> None:
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True)
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    with pytest.raises(ImageDimensionError, match="3 values a voxel; give one scalar"):
        read(tmp_path / f"a{suffix}")


def test_a_sheared_grid_is_refused(tmp_path: Path) -> None:
    path = save(make_volume().array, tmp_path / "a.mha")
    head, voxels = path.read_bytes().split(b"ElementDataFile = LOCAL\n", 1)
    assert b"TransformMatrix = 1 0 0 0 1 0 0 0 1" in head
    head = head.replace(b"TransformMatrix = 1 0 0 0 1 0 0 0 1", b"TransformMatrix = 1 0 0 0.3 1 0 0 0 1")
    path.write_bytes(head + b"ElementDataFile = LOCAL\n" + voxels)
    with pytest.raises(GeometryError, match="not orthonormal"):
        read(path)


@pytest.mark.parametrize("suffix", WRITTEN)
def test_a_constant_image_is_no_ct(tmp_path: Path, suffix: str) -> None:
    path = save(np.full((3, 4, 5), -1024, np.int16), tmp_path / f"a{suffix}")
    with pytest.raises(IntensityError, match=f"'a{suffix}' holds the single value -1024"):
        read_ct(path)
    assert read(path).array.max() == -1024


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_counted(
    tmp_path: Path, suffix: str, dtype: type[np.floating[Any]], bad: float
) -> None:
    values = make_volume(dtype=dtype).array
    values[0, 0, 0] = values[2, 3, 4] = values[1, 2, 3] = bad
    path = save(values, tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read(path).array, values)
    with pytest.raises(IntensityError, match=f"'a{suffix}' holds 3 NaN or infinite voxels"):
        read_ct(path)


def test_complex_values_are_no_ct(tmp_path: Path) -> None:
    path = save(make_volume().array.astype(np.complex64), tmp_path / "a.nrrd")
    with pytest.raises(IntensityError, match=r"'a\.nrrd' holds complex64 values; give Hounsfield units"):
        read_ct(path)


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_ct_is_read(tmp_path: Path, suffix: str, dtype: type[np.generic]) -> None:
    volume = make_volume(dtype=dtype)
    write(volume, tmp_path / f"a{suffix}")
    again = read_ct(tmp_path / f"a{suffix}")
    assert again.array.dtype == dtype
    np.testing.assert_array_equal(again.array, volume.array)


def test_reading_leaves_itks_warnings_as_they_were(tmp_path: Path) -> None:
    path = save(make_volume().array, tmp_path / "a.mha")
    (tmp_path / "empty.mha").touch()
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    try:
        for shown in (True, False):
            sitk.ProcessObject.SetGlobalWarningDisplay(shown)
            read(path)
            with pytest.raises(CaseError):
                read(tmp_path / "empty.mha")
            assert sitk.ProcessObject.GetGlobalWarningDisplay() is shown
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


# --- writing


def test_partial_files_are_not_discovered(tmp_path: Path) -> None:
    found = []

    def look(partial: Path) -> None:
        partial.touch()
        (tmp_path / "other.mha").touch()
        found.extend(discover(tmp_path))

    write_atomic(tmp_path / "a.mha", look)
    assert [case.case_id for case in found] == ["other"]


def test_a_written_volume_replaces_the_old_one(tmp_path: Path) -> None:
    volume = make_volume()
    for value in (1, 2):
        write(volume.with_array(np.full(volume.array.shape, value, np.uint8)), tmp_path / "a.nii.gz")
    assert read(tmp_path / "a.nii.gz").array.max() == 2
    assert names(tmp_path) == ["a.nii.gz"]


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file can grow beyond 100 kB: a write ends early, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_what_does_not_fit_on_the_disk_is_not_left_behind(tmp_path: Path, suffix: str) -> None:
    array = np.random.default_rng(0).integers(-1000, 1000, (50, 60, 60)).astype(np.int16)
    path = tmp_path / f"a{suffix}"
    with pytest.raises(OutputError, match=rf"a{suffix}' cannot be written: .*; free space on "):
        write(Volume(array, Geometry(array.shape, (1.0, 1.0, 1.0))), path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.float16, np.float32, np.float64])
def test_every_type_that_is_written_is_whole(tmp_path: Path, suffix: str, dtype: npt.DTypeLike) -> None:
    array = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    write(Volume(array, Geometry(array.shape, (1.0, 1.0, 1.0))), tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read(tmp_path / f"a{suffix}").array, array)
