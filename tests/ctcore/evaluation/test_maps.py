"""Detection maps from images and from NumPy files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctcore import files
from ctcore.errors import DatasetError, RequestError, UnreadableImageError
from ctcore.evaluation.maps import discover_maps, read_map
from ctcore.volume import Geometry, Volume

SHAPE = (2, 3, 4)
GRID = Geometry(SHAPE, (0.8, 0.8, 2.0), (-50.0, -40.0, 900.0))


def a_map() -> np.ndarray[Any, np.dtype[np.float32]]:
    array = np.zeros(SHAPE, dtype=np.float32)
    array[1, 2, 3] = 0.5
    return array


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.npy", "a.npz", "several.npz"])
def test_the_values_are_those_that_were_stored(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "several.npz":
        np.savez(path, detection_map=a_map(), other=np.ones(3))
    elif name.endswith(".npz"):
        np.savez_compressed(path, anything=a_map())
    elif name.endswith(".npy"):
        np.save(path, a_map())
    else:
        files.write(Volume(a_map(), GRID), path)
    np.testing.assert_array_equal(read_map(path, GRID), a_map())


def test_cases_are_found_whatever_their_format(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", a_map())
    np.savez(tmp_path / "c.npz", a_map())
    files.write(Volume(a_map(), GRID), tmp_path / "a_0000.nii.gz")
    (tmp_path / "notes.txt").write_text("no map")
    assert [(case.case_id, case.path.name) for case in discover_maps(tmp_path)] == [
        ("a", "a_0000.nii.gz"),
        ("b", "b.npy"),
        ("c", "c.npz"),
    ]


@pytest.mark.parametrize("other", ["a.npz", "a.nii.gz"])
def test_two_maps_of_one_case_are_refused(tmp_path: Path, other: str) -> None:
    np.save(tmp_path / "a.npy", a_map())
    (tmp_path / other).touch()
    with pytest.raises(RequestError, match="are both case 'a'; rename or remove one"):
        discover_maps(tmp_path)


def test_another_grid_is_refused(tmp_path: Path) -> None:
    files.write(Volume(a_map(), Geometry(SHAPE, (0.8, 0.8, 2.0), (-50.0, -40.0, 901.0))), tmp_path / "a.mha")
    with pytest.raises(DatasetError, match=r"lies on another grid than its label .*origin \(-50.0, -40.0, 901.0\)"):
        read_map(tmp_path / "a.mha", GRID)
    np.save(tmp_path / "a.npy", a_map()[:, :, :3])
    with pytest.raises(DatasetError, match=r"has shape \(2, 3, 3\), its label \(2, 3, 4\); nothing is resampled"):
        read_map(tmp_path / "a.npy", GRID)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2, 3, 4)), r"array of shape \(2, 2, 3, 4\); write one \(z, y, x\)"),
        (np.zeros(SHAPE, complex), "holds complex128 values"),
        (np.full(SHAPE, "x"), "holds <U1 values"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path: Path, array: Any, message: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DatasetError, match=message):
        read_map(tmp_path / "a.npy", GRID)


def test_no_pickle_is_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UnreadableImageError, match=r"'a.npy' cannot be read"):
        read_map(tmp_path / "a.npy", GRID)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array at all"])
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_damaged_file_says_so(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableImageError, match=f"'{name}' cannot be read: .*; check or replace it"):
        read_map(tmp_path / name, GRID)


def test_several_arrays_without_a_name_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", softmax=a_map(), other=a_map())
    with pytest.raises(DatasetError, match="holds the arrays softmax, other; name the map 'detection_map'"):
        read_map(tmp_path / "a.npz", GRID)
