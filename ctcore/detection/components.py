"""Connected components of a probability, and the one place that asks report-guided-annotation about them.

Source: Bosma et al., "Semisupervised Learning with Report-guided Pseudo Labels for Deep Learning-based Prostate Cancer
Detection Using Biparametric MRI", Radiology: Artificial Intelligence 5(5), 2023; package report-guided-annotation.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Aggregation = Literal["max", "mean"]
"""How a component's confidence is made of its voxels."""

NEIGHBOURS = np.ones((3, 3, 3), dtype=np.int8)
"""Connectivity of components: 26 neighbours, as in the package."""

Index = tuple[int, int, int]
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Component:
    """A connected component of the voxels that pass a threshold.

    Attributes:
        start: first index (z, y, x) of its box in the array it was looked for in.
        values: float32 (z, y, x) probabilities within the box, 0 outside the component.
        peak: the highest of them.
    """

    start: Index
    values: npt.NDArray[np.float32]
    peak: np.float32

    def confidence(self, threshold: np.float32, min_voxels: int, aggregation: Aggregation) -> np.float64 | None:
        """Returns what the package says of the component; None where it says that it is no candidate."""
        _, confidences, _ = _package().extract_lesion_candidates_static(
            self.values,
            threshold=threshold,
            min_voxels_detection=min_voxels,
            max_prob_round_decimals=None,
            lesion_confidence_aggregation=np.mean if aggregation == "mean" else np.max,
        )
        return np.float64(confidences[0][1]) if confidences else None


@dataclass(frozen=True, eq=False)
class Blob:
    """A connected component that the package takes for a lesion candidate.

    Attributes:
        confidence: its highest or mean probability.
        start: first index (z, y, x) of its box in the array it was looked for in.
        mask: its voxels, (z, y, x) within the box.
    """

    confidence: float
    start: Index
    mask: npt.NDArray[np.bool_]

    @property
    def slices(self) -> Slices:
        """The box as an index of the array that the blob was looked for in."""
        z, y, x = (slice(a, a + n) for a, n in zip(self.start, self.mask.shape, strict=True))
        return z, y, x

    @property
    def first_voxel(self) -> Index:
        """Index (z, y, x) of its first voxel in scan order."""
        offset = np.unravel_index(int(self.mask.argmax()), self.mask.shape)
        z, y, x = (int(a + b) for a, b in zip(self.start, offset, strict=True))
        return z, y, x

    def moved(self, start: Index) -> Blob:
        """Returns the blob as seen from an array in which its array starts at `start` (z, y, x)."""
        z, y, x = (a + b for a, b in zip(self.start, start, strict=True))
        return Blob(self.confidence, (z, y, x), self.mask)


def passing(probability: npt.NDArray[np.float32], threshold: np.float32) -> npt.NDArray[np.bool_]:
    """Returns the voxels at or above a threshold and above 0, which is what the package labels."""
    return np.asarray(probability >= threshold if threshold > 0 else probability > 0)


def components(probability: npt.NDArray[np.float32], threshold: np.float32, min_voxels: int) -> list[Component]:
    """Returns the components of more than `min_voxels` voxels, in the scan order of their first voxels.

    SciPy numbers components in that order, on any box, so that ties are broken as on the whole volume.

    Args:
        probability: (z, y, x), 0..1.
        threshold: voxels below it, and voxels of probability 0, belong to no component.
        min_voxels: of smaller components the package would be asked in vain.
    """
    from scipy import ndimage

    labels = np.empty(probability.shape, dtype=np.int32)
    if not ndimage.label(passing(probability, threshold), structure=NEIGHBOURS, output=labels):
        return []
    sizes = np.bincount(labels.ravel())
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if sizes[number] > min_voxels:
            values = np.where(labels[box] == number, probability[box], np.float32(0))
            found.append(Component((box[0].start, box[1].start, box[2].start), values, values.max()))
    return found


@cache
def _package() -> Any:
    """Loads the package's extraction module alone.

    Importing the package itself prints a citation notice (the citation is above) and loads image readers that are not
    needed here; its extraction module depends on NumPy and SciPy only.
    """
    package = importlib.util.find_spec("report_guided_annotation")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(
            "report-guided-annotation is not installed; run 'pip install report-guided-annotation'"
        )
    path = Path(package.submodule_search_locations[0]) / "extract_lesion_candidates.py"
    spec = importlib.util.spec_from_file_location("_report_guided_annotation_extraction", path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"'{path}' cannot be loaded; reinstall report-guided-annotation")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
