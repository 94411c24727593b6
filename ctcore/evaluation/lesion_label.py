"""Which voxels of a label map are lesion: chosen by name or value, never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.errors import DatasetError, LabelError, RequestError
from ctcore.json_files import read_json
from ctcore.labels import LESION_NAMES, PANORAMA_NAMES, PanoramaLabel

DATASET_FILE = "dataset.json"

PANORAMA_ALWAYS = frozenset({PanoramaLabel.VEINS, PanoramaLabel.ARTERIES, PanoramaLabel.PANCREAS})
"""Labels that a set of PANORAMA label maps holds whether or not it has lesions: what it is recognised by."""

_FEW_VALUES = 32
"""Range of a plane's values up to which each is looked for by itself."""

_ANATOMY_NAMES = frozenset(PANORAMA_NAMES) - set(LESION_NAMES)


@dataclass(frozen=True)
class LesionLabel:
    """The voxel values that mean lesion.

    Attributes:
        values: one, or several if a dataset.json names a region of several.
        origin: where the choice comes from, for the report.
        assumed: whether it holds only if the labels prove to be binary or PANORAMA's (see `confirm`).
    """

    values: tuple[int, ...]
    origin: str
    assumed: bool = False

    def mask(self, labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Returns where a label array (z, y, x) holds lesion.

        Raises:
            LabelError: a value is negative or not a whole number (float arrays of whole numbers are fine).
        """
        low = labels.min()
        if np.issubdtype(labels.dtype, np.floating) and not bool((labels == np.rint(labels)).all()):
            bad = labels[labels != np.rint(labels)].flat[0]
            raise LabelError(f"the label holds {bad:g}, not a whole number; store labels without interpolation")
        if low < 0:
            raise LabelError(f"the label holds the negative value {low:g}; store labels as 0, 1, 2, ...")
        lesion: npt.NDArray[np.bool_] = labels == self.values[0]
        for value in self.values[1:]:
            lesion |= labels == value
        return lesion

    def confirm(self, present: set[int]) -> None:
        """Checks an assumed choice against all values that the labels hold.

        Raises:
            RequestError: the labels are neither binary nor PANORAMA's.
        """
        if not self.assumed or present <= {0, 1}:
            return
        if present <= set(PanoramaLabel) and present >= PANORAMA_ALWAYS:
            return
        raise RequestError(
            f"the labels hold the values {sorted(present)} and no {DATASET_FILE} beside them says which is the lesion;"
            " pass --lesion-label with its value"
        )


def choose_lesion_label(labels: Path, requested: str | None) -> LesionLabel:
    """Chooses the lesion label.

    A requested value is taken as it is; a requested name is looked up in the dataset.json in the labels' folder or
    next to that folder. Without a request it is the label there named lesion, tumor or PDAC; else 1, if the labels
    are binary or PANORAMA's.

    Args:
        labels: folder of label maps, or one label map.
        requested: a name or a value, or None.

    Raises:
        RequestError: the name is unknown, the value is not a positive whole number, or the choice is not unique.
        DatasetError: the dataset.json is damaged.
    """
    folder = labels if labels.is_dir() else labels.parent
    named = _named_labels(folder)
    listing = ", ".join(f"{name} = {'+'.join(map(str, values))}" for name, values in (named or {}).items())
    if requested is not None:
        return _requested(requested.strip(), named, listing, folder)
    if named is None:
        return LesionLabel((int(PanoramaLabel.LESION),), "1: binary or PANORAMA labels", assumed=True)

    found = [name for name in named if name.lower() in LESION_NAMES]
    if len(found) > 1:
        raise RequestError(
            f"{DATASET_FILE} names several lesion labels ({listing}); pass --lesion-label with one of them"
        )
    if found:
        return LesionLabel(named[found[0]], f"{found[0]}: {DATASET_FILE}")
    foreground = {name: values for name, values in named.items() if values != (0,)}
    if list(foreground.values()) == [(1,)] and not _ANATOMY_NAMES & {name.lower() for name in foreground}:
        return LesionLabel((1,), f"1: the only label of {DATASET_FILE}")
    raise RequestError(
        f"none of the labels of {DATASET_FILE} ({listing}) is named {', '.join(LESION_NAMES)}; pass --lesion-label with"
        " the name or value of the lesion"
    )


def label_names(labels: Path, lesion: LesionLabel) -> dict[str, tuple[int, ...]]:
    """Returns the values of every label (lower-case name) that the label maps are known to have, less the background.

    The names are those of the dataset.json beside them, or PANORAMA's where the labels are taken for PANORAMA's or
    binary. The lesion has all of `LESION_NAMES`.

    Args:
        labels: folder of label maps.
        lesion: what was chosen as lesion.
    """
    named = _named_labels(labels if labels.is_dir() else labels.parent)
    if named is None:
        named = {name: (value,) for name, value in PANORAMA_NAMES.items()} if lesion.assumed else {}
    names = {name.lower(): values for name, values in named.items() if values != (0,)}
    return {**names, **dict.fromkeys(LESION_NAMES, lesion.values)}


def values_present(labels: npt.NDArray[Any]) -> set[int]:
    """Returns the values of a label array (z, y, x) of whole numbers from 0."""
    present: set[int] = set()
    for plane in labels:
        low, high = int(plane.min()), int(plane.max())
        present |= {low, high}
        # Counting is slow: only values between them that no plane before had are looked for.
        unseen = [] if high - low > _FEW_VALUES else [value for value in range(low + 1, high) if value not in present]
        present.update(value for value in unseen if (plane == value).any())
        if high - low > _FEW_VALUES:
            present.update(np.unique(plane).astype(np.int64).tolist())
    return present


def _requested(requested: str, named: dict[str, tuple[int, ...]] | None, listing: str, folder: Path) -> LesionLabel:
    """Resolves a name or value given by the user."""
    for name, values in (named or {}).items():
        if name.lower() == requested.lower():
            if 0 in values:
                raise RequestError(f"lesion label '{name}' is the background of {DATASET_FILE}; choose of: {listing}")
            return LesionLabel(values, f"{name}: requested, {DATASET_FILE}")
    if requested.lstrip("+-").isdigit():
        if int(requested) < 1:
            raise RequestError(f"lesion label {requested} is not a positive value; 0 is the background")
        return LesionLabel((int(requested),), f"{requested}: requested")
    if named is None:
        raise RequestError(
            f"lesion label '{requested}' is a name, but neither '{folder}' nor the folder above holds a {DATASET_FILE}"
            " with labels; pass the value instead"
        )
    raise RequestError(f"lesion label '{requested}' is none of the labels of {DATASET_FILE}: {listing}")


def _named_labels(folder: Path) -> dict[str, tuple[int, ...]] | None:
    """Returns the labels (name to values) of the dataset.json in a folder or next to it, or None without one."""
    for path in (folder / DATASET_FILE, folder.resolve().parent / DATASET_FILE):
        if path.is_file():
            content = read_json(path)
            labels = content.get("labels") if isinstance(content, dict) else None
            if isinstance(labels, dict) and labels:
                return _parsed(labels, path)
    return None


def _parsed(labels: dict[str, Any], path: Path) -> dict[str, tuple[int, ...]]:
    """Reads both forms of labels: name to value(s), and the older value to name."""
    try:
        if all(str(key).isdigit() and isinstance(value, str) for key, value in labels.items()):
            return {value: (int(key),) for key, value in labels.items()}
        return {
            str(name): tuple(int(v) for v in value) if isinstance(value, list) else (int(value),)
            for name, value in labels.items()
        }
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"the labels of '{path}' are not names with whole numbers: {labels}; correct them"
        ) from error
