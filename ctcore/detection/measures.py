"""What can be said of each lesion candidate: place, size, intensity, and where it lies to the pancreas."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.detection.candidates import CandidateMap
from ctcore.diameter import longest_axial_diameter_mm
from ctcore.errors import GeometryError
from ctcore.geometry import Box
from ctcore.volume import Geometry

Point = tuple[float, float, float]


@dataclass(frozen=True)
class LpsBox:
    """A box along the patient's axes.

    Attributes:
        low: lowest coordinates (x, y, z), LPS mm.
        high: highest coordinates (x, y, z), LPS mm.
    """

    low: Point
    high: Point


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
        box_lps_mm: smallest box along the patient's axes that holds `box` from voxel edge to voxel edge.
        diameter_mm: longest axial diameter in mm (see `longest_axial_diameter_mm`).
        mean_hu: mean image value in HU, or None without an image.
        pancreas_distance_mm: shortest distance to the predicted pancreas between voxel centres, in mm; 0 if they
            overlap, None without a predicted pancreas.
        pancreas_share: share of its voxels inside the predicted pancreas, or None without one.
    """

    number: int
    confidence: float
    voxels: int
    volume_ml: float
    centroid_lps_mm: Point
    box: Box
    box_lps_mm: LpsBox
    diameter_mm: float
    mean_hu: float | None
    pancreas_distance_mm: float | None
    pancreas_share: float | None

    def as_dict(self) -> dict[str, Any]:
        """Returns the candidate as JSON types; see docs/outputs.md."""
        return {
            "number": self.number,
            "confidence": self.confidence,
            "voxels": self.voxels,
            "volume_ml": self.volume_ml,
            "centroid_lps_mm": list(self.centroid_lps_mm),
            "box": {"start": list(self.box.start), "stop": list(self.box.stop)},
            "box_lps_mm": {"low": list(self.box_lps_mm.low), "high": list(self.box_lps_mm.high)},
            "diameter_mm": self.diameter_mm,
            "mean_hu": self.mean_hu,
            "pancreas_distance_mm": self.pancreas_distance_mm,
            "pancreas_share": self.pancreas_share,
        }


def describe(
    candidates: CandidateMap,
    geometry: Geometry,
    image_array: npt.NDArray[Any] | None = None,
    pancreas: npt.NDArray[Any] | None = None,
) -> list[Candidate]:
    """Measures every candidate, from the most confident to the least.

    Args:
        candidates: the candidates on the grid of `geometry`.
        geometry: that grid.
        image_array: CT (z, y, x) on the same grid in HU, for the mean intensity.
        pancreas: predicted pancreas (z, y, x) on the same grid, non-zero inside; an empty one is as good as none.

    Raises:
        GeometryError: the candidates, the image or the pancreas do not have the grid's shape.
    """
    from skimage.measure import regionprops

    for name, array in (("candidates", candidates.labels), ("image", image_array), ("pancreas", pancreas)):
        if array is not None and array.shape != geometry.shape:
            raise GeometryError(f"{name} of shape {array.shape} on a grid of {geometry.shape}; give all on one grid")

    gland = None if pancreas is None or not candidates.confidences else _Gland.of(pancreas, geometry.spacing_zyx)
    described = []
    for region in regionprops(candidates.labels):  # type: ignore[no-untyped-call]
        z0, y0, x0, z1, y1, x1 = (int(i) for i in region.bbox)
        box = Box((z0, y0, x0), (z1, y1, x1))
        x, y, z = geometry.index_to_physical(region.centroid)
        inside = region.image
        distance, share = (None, None) if gland is None else gland.measure(inside, box)
        described.append(
            Candidate(
                number=int(region.label),
                confidence=candidates.confidences[region.label - 1],
                voxels=int(region.num_pixels),
                volume_ml=float(region.num_pixels) * geometry.voxel_volume_ml,
                centroid_lps_mm=(float(x), float(y), float(z)),
                box=box,
                box_lps_mm=_lps_box(box, geometry),
                diameter_mm=longest_axial_diameter_mm(inside, geometry),
                mean_hu=None if image_array is None else float(image_array[box.slices][inside].mean(dtype=np.float64)),
                pancreas_distance_mm=distance,
                pancreas_share=share,
            )
        )
    return described


def _lps_box(box: Box, geometry: Geometry) -> LpsBox:
    """Returns the box along the patient's axes around an index box, whose voxels reach half an index farther."""
    edges = [(a - 0.5, b - 0.5) for a, b in zip(box.start, box.stop, strict=True)]
    corners = geometry.index_to_physical(list(product(*edges)))
    (x0, y0, z0), (x1, y1, z1) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return LpsBox((x0, y0, z0), (x1, y1, z1))


class _Gland:
    """The predicted pancreas of a case, ready for questions of distance.

    Attributes:
        mask: (z, y, x) boolean.
        spacing_zyx: spacing (z, y, x) in mm.
        surface: tree of its surface voxels' centres in mm. The nearest voxel to a point outside is one of them: from
            any other, a step towards the point along an axis would stay inside and come nearer.
    """

    def __init__(self, mask: npt.NDArray[np.bool_], box: Box, spacing_zyx: tuple[float, float, float]) -> None:
        from scipy.spatial import cKDTree

        self.mask = mask
        self.spacing_zyx = spacing_zyx
        self.surface = cKDTree(_surface_mm(mask[box.slices], box, spacing_zyx))

    @classmethod
    def of(cls, pancreas: npt.NDArray[Any], spacing_zyx: tuple[float, float, float]) -> _Gland | None:
        """Returns the gland, or None if the mask is empty."""
        mask = pancreas != 0
        box = Box.of_mask(mask)
        return None if box is None else cls(mask, box, spacing_zyx)

    def measure(self, candidate: npt.NDArray[np.bool_], box: Box) -> tuple[float, float]:
        """Returns a candidate's distance in mm and its share inside; `candidate` is its mask within `box`."""
        common = np.count_nonzero(candidate & self.mask[box.slices])
        if common:
            return 0.0, float(common / np.count_nonzero(candidate))
        distances, _ = self.surface.query(_surface_mm(candidate, box, self.spacing_zyx))
        return float(np.min(distances)), 0.0


def _surface_mm(
    mask: npt.NDArray[np.bool_], box: Box, spacing_zyx: tuple[float, float, float]
) -> npt.NDArray[np.float64]:
    """Returns the centres (n, 3) in mm, in (z, y, x) order from the grid's first voxel, of a mask's surface voxels."""
    from scipy import ndimage

    surface = mask & ~ndimage.binary_erosion(mask)  # 6 neighbours; beyond the box nothing is inside
    return np.asarray((np.argwhere(surface) + box.start) * np.asarray(spacing_zyx))
