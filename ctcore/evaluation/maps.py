"""Reading detection maps: images, and NumPy files, which have no geometry."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ctcore import files
from ctcore.errors import DatasetError, RequestError, UnreadableImageError, first_line
from ctcore.text import safe_id
from ctcore.volume import Geometry

ZIP_MAGIC = b"PK\x03\x04"
NUMPY_SUFFIXES = (".npy", ".npz")
MAP_KEY = "detection_map"
"""Array of an `.npz` file with several."""

GRID_TOLERANCE = 1e-3
"""How far map and label may differ: spacing relative, direction absolute, origin in voxels. Formats store the same grid
with differences of 1e-4 mm at most; a shift that could change an overlap is larger."""


def discover_maps(folder: Path) -> list[files.CaseFile]:
    """Finds the detection maps of a folder, sorted by case id: images as `files.discover` does, `.npy` and `.npz`.

    Raises:
        RequestError: the folder is missing, holds none, or two of one case.
    """
    arrays = [path for path in sorted(folder.glob("*")) if path.is_file() and _is_numpy(path)]
    if not arrays:
        return files.discover(folder)
    found = {safe_id(path.stem): path for path in arrays}
    images = [path for path in sorted(folder.glob("*")) if path.is_file() and files.image_suffix(path) is not None]
    for case_id, path in [
        *((safe_id(path.stem), path) for path in arrays),
        *((files.case_id_of(p), p) for p in images),
    ]:
        if found.setdefault(case_id, path) != path:
            raise RequestError(
                f"'{path.name}' and '{found[case_id].name}' in '{folder}' are both case '{case_id}'; rename or"
                " remove one"
            )
    return [files.CaseFile(case_id, found[case_id]) for case_id in sorted(found)]


def read_map(path: Path, label: Geometry) -> npt.NDArray[Any]:
    """Reads a detection map (z, y, x) and checks that it lies on its label's grid; nothing is resampled.

    Args:
        path: the map. NumPy files state no spacing, origin or direction: of them only the shape is compared.
        label: the label's grid.

    Raises:
        UnreadableImageError: the file is damaged.
        DatasetError: it is not one 3-D array of numbers, or lies on another grid.
    """
    if _is_numpy(path):
        return _read_numpy(path, label.shape)
    volume = files.read(path)
    mine = volume.geometry
    if not mine.allclose(label, GRID_TOLERANCE):
        raise DatasetError(
            f"its detection map lies on another grid than its label (map: shape {mine.shape}, spacing {mine.spacing},"
            f" origin {mine.origin}; label: shape {label.shape}, spacing {label.spacing}, origin {label.origin});"
            " nothing is resampled here, write the map on the label's grid"
        )
    return volume.array


def _is_numpy(path: Path) -> bool:
    return path.suffix.lower() in NUMPY_SUFFIXES and not path.name.startswith(".")


def _read_numpy(path: Path, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Reads the one array of a NumPy file, after its header has been judged: what has another shape is never made."""
    try:
        with _array_stream(path) as stream:
            version = np.lib.format.read_magic(stream)
            read_header = _HEADERS.get(version)
            if read_header is None:
                raise ValueError(f"version {version} of the format holds no numbers")
            found, _, dtype = read_header(stream)
            _check_array(path, found, dtype, shape)
        with _array_stream(path) as stream:
            array: npt.NDArray[Any] = np.load(stream, allow_pickle=False)
    except DatasetError:
        raise
    except Exception as error:  # NumPy reads a header as Python's tokens, and raises whatever they lead to
        raise UnreadableImageError(f"'{path.name}' cannot be read: {first_line(error)}; check or replace it") from error
    return array


_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@contextmanager
def _array_stream(path: Path) -> Iterator[IO[bytes]]:
    """Opens the array of a `.npy`, or the map in a `.npz`, at its beginning."""
    with path.open("rb") as file:
        if file.read(len(ZIP_MAGIC)) != ZIP_MAGIC:
            file.seek(0)
            yield file
            return
        with zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            key = names[0] if len(names) == 1 else MAP_KEY
            if key not in names:
                raise DatasetError(
                    f"'{path.name}' holds the arrays {', '.join(names)[:200] or 'none'}; name the map '{MAP_KEY}'"
                )
            with archive.open(archive.infolist()[names.index(key)]) as member:
                yield member


def _check_array(path: Path, found: tuple[int, ...], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not opened")
    if len(found) != 3:
        raise DatasetError(f"'{path.name}' holds an array of shape {found}; write one (z, y, x) detection map")
    if not (np.issubdtype(dtype, np.floating) or np.issubdtype(dtype, np.integer)):
        raise DatasetError(f"'{path.name}' holds {dtype} values; write confidences within 0..1")
    if found != shape:
        raise DatasetError(
            f"its detection map has shape {found}, its label {shape}; nothing is resampled here, write the map on the"
            " label's grid"
        )
