"""The detection map of a case and what can be said of each candidate in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.detection.candidates import CandidateMap
from ctcore.errors import GeometryError
from ctcore.geometry import Box
from ctcore.volume import Geometry


@dataclass(frozen=True)
class Candidate:
    """One lesion candidate, measured on its grid.

    Attributes:
        number: its value in the candidate labels; 1 is the most confident.
        confidence: 0..1.
        voxels: number of voxels.
        volume_ml: volume in millilitres.
        centroid_lps_mm: mean position of its voxels (x, y, z), LPS mm.
        box: index box (z, y, x) of the grid.
        diameter_mm: longest axial diameter in mm (see `longest_axial_diameter_mm`).
        mean_hu: mean image value in HU, or None without an image.
    """

    number: int
    confidence: float
    voxels: int
    volume_ml: float
    centroid_lps_mm: tuple[float, float, float]
    box: Box
    diameter_mm: float
    mean_hu: float | None

    def as_dict(self) -> dict[str, Any]:
        """Returns the candidate as JSON types; the box becomes `{"start": [z, y, x], "stop": [z, y, x]}`."""
        return {
            "number": self.number,
            "confidence": self.confidence,
            "voxels": self.voxels,
            "volume_ml": self.volume_ml,
            "centroid_lps_mm": list(self.centroid_lps_mm),
            "box": {"start": list(self.box.start), "stop": list(self.box.stop)},
            "diameter_mm": self.diameter_mm,
            "mean_hu": self.mean_hu,
        }


def detection_map(candidates: CandidateMap) -> npt.NDArray[np.float32]:
    """Returns the (z, y, x) map in which each candidate's voxels hold its confidence, and all else 0."""
    values = np.array((0.0, *candidates.confidences), dtype=np.float32)
    painted: npt.NDArray[np.float32] = values[candidates.labels]
    return painted


def describe(
    candidates: CandidateMap, geometry: Geometry, image_array: npt.NDArray[Any] | None = None
) -> list[Candidate]:
    """Measures every candidate, from the most confident to the least.

    Args:
        candidates: the candidates on the grid of `geometry`.
        geometry: that grid.
        image_array: CT (z, y, x) on the same grid in HU, for the mean intensity.

    Raises:
        GeometryError: the candidates or the image do not have the grid's shape.
    """
    from skimage.measure import regionprops

    if candidates.labels.shape != geometry.shape:
        raise GeometryError(f"candidates of shape {candidates.labels.shape} do not lie on a grid of {geometry.shape}")
    if image_array is not None and image_array.shape != geometry.shape:
        raise GeometryError(f"an image of shape {image_array.shape} does not lie on a grid of {geometry.shape}")

    described = []
    for region in regionprops(candidates.labels):  # type: ignore[no-untyped-call]
        z0, y0, x0, z1, y1, x1 = (int(i) for i in region.bbox)
        box = Box((z0, y0, x0), (z1, y1, x1))
        x, y, z = geometry.index_to_physical(region.centroid)
        inside = region.image
        described.append(
            Candidate(
                number=int(region.label),
                confidence=candidates.confidences[region.label - 1],
                voxels=int(region.num_pixels),
                volume_ml=float(region.num_pixels) * geometry.voxel_volume_ml,
                centroid_lps_mm=(float(x), float(y), float(z)),
                box=box,
                diameter_mm=longest_axial_diameter_mm(inside, geometry),
                mean_hu=None if image_array is None else float(image_array[box.slices][inside].mean(dtype=np.float64)),
            )
        )
    return described


def longest_axial_diameter_mm(mask: npt.NDArray[np.bool_], geometry: Geometry) -> float:
    """Returns the largest in-plane Feret diameter over the axial planes, in mm.

    The diameter is that of one connected section (8 neighbours), measured on the outline of its convex hull half a
    voxel outside the voxel centres, so that a single voxel measures one spacing (scikit-image's definition). Axial
    planes are those across the index axis nearest to the patient's head-foot axis.

    Args:
        mask: (z, y, x) voxels, on the spacing and direction of `geometry` (any part of its grid).
        geometry: gives spacing and direction.
    """
    from skimage.measure import label, regionprops

    across = 2 - int(np.argmax(np.abs(geometry.matrix[2])))  # array axis (z, y, x) nearest to LPS z
    spacing = tuple(s for axis, s in enumerate(geometry.spacing_zyx) if axis != across)
    longest = 0.0
    for plane in np.moveaxis(mask, across, 0):
        sections = label(plane, connectivity=2)  # type: ignore[no-untyped-call]
        for section in regionprops(sections, spacing=spacing):  # type: ignore[no-untyped-call]
            rows, columns = section.image.shape
            if math.hypot(rows * spacing[0], columns * spacing[1]) > longest:  # else it cannot be longer: skip the hull
                longest = max(longest, float(section.feret_diameter_max))
    return longest
