"""Reading detection maps: images, and NumPy files, which have no geometry."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore import files
from ctcore.errors import DatasetError, RequestError, UnreadableImageError, first_line
from ctcore.volume import Geometry

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
    found = {path.stem: path for path in arrays}
    images = [path for path in sorted(folder.glob("*")) if path.is_file() and files.image_suffix(path) is not None]
    for case_id, path in [*((path.stem, path) for path in arrays), *((files.case_id_of(p), p) for p in images)]:
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
        array = _read_numpy(path)
        if array.shape != label.shape:
            raise DatasetError(
                f"its detection map has shape {array.shape}, its label {label.shape}; nothing is resampled here, write"
                " the map on the label's grid"
            )
        return array
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


def _read_numpy(path: Path) -> npt.NDArray[Any]:
    """Reads the one array of a NumPy file."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            array = loaded
        else:
            with loaded:
                names = loaded.files
                key = names[0] if len(names) == 1 else MAP_KEY
                if key not in names:
                    raise DatasetError(
                        f"'{path.name}' holds the arrays {', '.join(names) or 'none'}; name the map '{MAP_KEY}'"
                    )
                array = loaded[key]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableImageError(f"'{path.name}' cannot be read: {first_line(error)}; check or replace it") from error
    if array.ndim != 3:
        raise DatasetError(f"'{path.name}' holds an array of shape {array.shape}; write one (z, y, x) detection map")
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise DatasetError(f"'{path.name}' holds {array.dtype} values; write confidences within 0..1")
    return array
