"""A pancreas from a label map: aligning it with a body, and its fields on the fine grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from ctcore.errors import LabelError
from ctcore.geometry import Box, crop, to_lps
from ctcore.labels import PanoramaLabel
from ctcore.phantom.body import Habitus
from ctcore.phantom.deformation import Deformation
from ctcore.phantom.draws import Draws
from ctcore.phantom.frame import Frame
from ctcore.phantom.layout import LESION_SHOWN_MM, REGION_MARGIN_MM, Layout
from ctcore.phantom.paint_region import Site
from ctcore.phantom.pancreas import Line
from ctcore.phantom.pathology import Pathology
from ctcore.phantom.region import Region, soft
from ctcore.phantom.sampling import carry
from ctcore.phantom.shapes import curve
from ctcore.volume import Volume

GLAND = (PanoramaLabel.LESION, PanoramaLabel.PANCREAS, PanoramaLabel.DUCT)
AORTA_LEFT_MM = 8.0
AORTA_GAP_MM = 2.0
AORTA_LEAST_MM2 = 80.0
GLAND_HEIGHT_MM = 2.0
WIDE_DUCT_ML, WIDE_BILE_ML = 0.5, 2.0
WALL_CLEARANCE_MM = 18.0
UPSIDE_DOWN_MM = -15.0


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A label map in LPS order, cropped to what it labels.

    Attributes:
        array: (z, y, x) uint8, values of `PanoramaLabel`.
        spacing: (x, y, z) in mm.
        stray: Values outside the label map's range -> their number of voxels (taken for background).
        turned: True where the map was upside down and has been turned upright.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    stray: dict[int, int]
    turned: bool = False

    def axes(self, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y, z coordinates of the voxel centres when voxel (0, 0, 0) lies at `shift`."""
        sizes = self.array.shape[::-1]
        x, y, z = (start + step * np.arange(size) for start, step, size in zip(shift, self.spacing, sizes, strict=True))
        return x, y, z

    def points(self, mask: np.ndarray) -> np.ndarray:
        """(n, 3) x, y, z in mm from voxel (0, 0, 0) of a mask's voxels."""
        return np.asarray(np.argwhere(mask)[:, ::-1] * np.asarray(self.spacing))

    @property
    def has_lesion(self) -> bool:
        """True where the map holds label 1."""
        return bool((self.array == PanoramaLabel.LESION).any())

    def volume_ml(self, label: int) -> float:
        """Volume of a label in ml."""
        return float(np.count_nonzero(self.array == label)) * float(np.prod(self.spacing)) / 1000.0


def label_map(volume: Volume) -> LabelMap:
    """Reads a label map from a volume of any orientation.

    Raises:
        LabelError: Values are not whole numbers, or there is no pancreas.
    """
    lps, _ = to_lps(volume)
    box = Box.of_mask(lps.array != 0)
    if box is None:
        raise LabelError("the label map is empty: leave this case out")
    labelled = crop(lps, box.expand((2, 2, 2)).clip(lps.array.shape))
    whole = np.rint(labelled.array)
    if not np.array_equal(whole, labelled.array):
        raise LabelError("the label map holds fractions: give whole numbers 0 to 6 (PANORAMA's label map)")
    values, counts = np.unique(whole, return_counts=True)
    known = {int(label) for label in PanoramaLabel}
    stray = {int(value): int(count) for value, count in zip(values, counts, strict=True) if int(value) not in known}
    array = np.where(np.isin(whole, list(known)), whole, 0).astype(np.uint8)
    if not np.isin(array, GLAND).any():
        raise LabelError("the label map holds no pancreas (labels 1, 4 or 5): leave this case out")
    held = labelled.with_array(array)
    source = LabelMap(array, held.geometry.spacing, stray)
    if not _is_upside_down(source):
        return source
    return LabelMap(np.ascontiguousarray(array[::-1]), held.geometry.spacing, stray, turned=True)


def _is_upside_down(source: LabelMap) -> bool:
    """True where a map's slices run from head to foot although its header says the opposite.

    About one in eight of PANORAMA's maps is stored so. The portal vein, the part of the veins farthest to the right,
    lies well above the head of the pancreas in every upright map and well below it in these (measured on 190 maps:
    +5 to +70 mm and -28 to -61 mm, nothing between).
    """
    veins = source.points(source.array == PanoramaLabel.VEINS)
    gland = source.points(np.isin(source.array, GLAND))
    if len(veins) == 0:
        return False
    portal = veins[veins[:, 0] <= np.percentile(veins[:, 0], 8)]
    head = gland[gland[:, 0] <= np.percentile(gland[:, 0], 25)]
    return bool(portal[:, 2].mean() - head[:, 2].mean() < UPSIDE_DOWN_MM)


def _aorta(source: LabelMap) -> np.ndarray:
    """(n, 4) x, y, z and radius (mm from voxel 0) of the aorta: the largest artery of each slice."""
    area = source.spacing[0] * source.spacing[1]
    rows = []
    for index in range(source.array.shape[0]):
        pieces, number = ndimage.label(source.array[index] == PanoramaLabel.ARTERIES)
        if number == 0:
            continue
        sizes = np.bincount(pieces.ravel())[1:] * area
        best = int(np.argmax(sizes))
        if sizes[best] < AORTA_LEAST_MM2:
            continue
        middle = np.argwhere(pieces == best + 1).mean(axis=0)
        radius = float(np.sqrt(sizes[best] / np.pi))
        rows.append((middle[1] * source.spacing[0], middle[0] * source.spacing[1], index * source.spacing[2], radius))
    return np.asarray(rows).reshape(-1, 4)


def _shift(source: LabelMap, aorta: np.ndarray) -> np.ndarray:
    """Where voxel (0, 0, 0) goes, so that the aorta lies in front of the spine and the gland at its height."""
    gland = source.points(np.isin(source.array, GLAND))
    middle = (gland.min(axis=0) + gland.max(axis=0)) / 2.0
    if len(aorta):
        x, y, radius = np.median(aorta[:, 0]), np.median(aorta[:, 1]), np.median(aorta[:, 3])
        return np.array([AORTA_LEFT_MM - x, -(radius + AORTA_GAP_MM) - y, GLAND_HEIGHT_MM - middle[2]])
    return np.asarray(np.array([14.0, -26.0, GLAND_HEIGHT_MM]) - middle)


def _slab_end(source: LabelMap, label: PanoramaLabel, axis: int, *, last: bool) -> np.ndarray | None:
    """(3,) centroid of a label's first or last few voxels along an axis (0 is x); None without the label."""
    points = source.points(source.array == label)
    if len(points) == 0:
        return None
    along = points[:, axis]
    edge = along > along.max() - 3.0 if last else along < along.min() + 3.0
    return np.asarray(points[edge].mean(axis=0))


def _extension(start: np.ndarray, steps: Sequence[Sequence[float]], radii: Sequence[float]) -> Line:
    points = np.stack([start, *(start + np.asarray(step) for step in steps)])
    dense, position = curve(points, 2.0)
    return Line(dense, position, np.interp(position, range(len(points)), radii), np.ones((len(dense), 3)))


def _extensions(source: LabelMap, aorta: np.ndarray, shift: np.ndarray) -> list[tuple[Line, str]]:
    """Vessels continued beyond the labelled part, in grid coordinates."""
    lines: list[tuple[Line, str]] = []
    if len(aorta) >= 3:
        low, high = aorta[0], aorta[-1]
        lines.append(
            (_extension(low[:3] + shift, [[-2, 2, -60], [-2, 8, -220]], [low[3], low[3], 0.8 * low[3]]), "aorta")
        )
        lines.append((_extension(high[:3] + shift, [[1, 5, 50], [2, 20, 220]], [high[3]] * 3), "aorta"))
    for label, axis, last, steps, radii, tissue in (
        (PanoramaLabel.VEINS, 2, False, [[3, -5, -30], [6, -14, -80]], [5.0, 4.5, 3.5], "portal_veins"),
        (PanoramaLabel.VEINS, 0, False, [[-12, 2, 8], [-26, 6, 20]], [6.0, 5.0, 3.5], "portal_veins"),
        (PanoramaLabel.VEINS, 0, True, [[8, 5, 3], [18, 10, 8]], [3.5, 3.0, 2.0], "portal_veins"),
        (PanoramaLabel.BILE_DUCT, 2, True, [[-5, 1, 8], [-12, 2, 18]], [3.0, 2.5, 2.0], "bile"),
    ):
        end = _slab_end(source, label, axis, last=last)
        if end is not None:
            lines.append((_extension(end + shift, steps, radii), tissue))
    return lines


def _to_anatomical(deformation: Deformation, points: np.ndarray) -> np.ndarray:
    return np.asarray(points + deformation.at(np.atleast_2d(points)).reshape(points.shape))


def _head(points: np.ndarray) -> tuple[np.ndarray, float]:
    """(3, 3) lower, middle, upper point and the radius of the head: the right-hand third of the gland."""
    edge = np.percentile(points[:, 0], 2)
    width = 0.33 * (np.percentile(points[:, 0], 98) - edge)
    head = points[points[:, 0] < edge + width]
    cuts = np.percentile(head[:, 2], [12, 50, 88])
    rows = [head[np.abs(head[:, 2] - cut) < max(4.0, 0.15 * np.ptp(head[:, 2]))].mean(axis=0) for cut in cuts]
    return np.stack(rows), float(np.clip(0.5 * width, 9.0, 20.0))


def _signed_distance(mask: np.ndarray, frame: Frame) -> np.ndarray:
    """Signed distance to a mask in mm; computed on every second node, which is enough for fat and borders."""
    coarse = mask[::2, ::2, ::2]
    step = 2.0 * frame.spacing
    if not coarse.any():
        return np.full(frame.shape, 1e3, dtype=np.float32)
    outside = ndimage.distance_transform_edt(~coarse, sampling=step)
    inside = ndimage.distance_transform_edt(coarse, sampling=step)
    signed = np.where(coarse, step / 2 - inside, outside - step / 2).astype(np.float32)
    axes = tuple(axis[::2] for axis in frame.axes)
    return carry(signed, axes, frame.axes, (0.5 * step,) * 3)


def region_from_map(source: LabelMap, shift: np.ndarray, pathology: Pathology, frame: Frame) -> Region:
    """Samples a label map on the fine grid."""
    axes = source.axes(shift)
    sigmas = [0.5 * max(step, 0.9 * frame.spacing) for step in source.spacing]
    share = {
        label: carry((source.array == label).astype(np.float32), axes, frame.axes, sigmas)
        for label in PanoramaLabel
        if label != PanoramaLabel.BACKGROUND
    }
    # Beyond the map's edge `carry` repeats the border, which is background where the map was padded; make sure.
    for axis, (known, nodes) in enumerate(zip(axes, frame.axes, strict=True)):
        beyond = (nodes < known[0] - source.spacing[axis]) | (nodes > known[-1] + source.spacing[axis])
        for occupancy in share.values():
            np.moveaxis(occupancy, 2 - axis, 0)[beyond] = 0.0
    gland = np.minimum(share[PanoramaLabel.LESION] + share[PanoramaLabel.PANCREAS] + share[PanoramaLabel.DUCT], 1.0)
    lesion = share[PanoramaLabel.LESION]
    distance = _signed_distance(lesion > 0.5, frame)
    right = frame.x < np.float32(pathology.position)
    return Region(
        frame=frame,
        gland=_signed_distance(gland > 0.5, frame),
        gland_share=gland,
        veins=share[PanoramaLabel.VEINS],
        arteries=share[PanoramaLabel.ARTERIES],
        duct=share[PanoramaLabel.DUCT],
        bile=share[PanoramaLabel.BILE_DUCT],
        labelled=np.ones(frame.shape, dtype=np.float32),
        lesion=lesion,
        lesion_tint=np.maximum(soft(distance, pathology.border_mm), 0.0) if lesion.max() > 0 else lesion,
        lesion_depth=np.clip(-distance, 0.0, None),
        upstream=~right,
    )


def _site(region: Region, draws: Draws) -> Site:
    """A random place in the gland, with the way out to its surface."""
    generator = draws.stream("finding.place")
    inside = np.argwhere(region.gland < -0.6 * float(np.clip(-region.gland.min(), 1.0, 8.0)))
    place = inside[generator.integers(len(inside))]
    frame = region.frame
    centre = np.array([float(field[tuple(place)]) for field in (frame.x, frame.y, frame.z)])
    window = tuple(slice(max(p - 1, 0), p + 2) for p in place)
    slopes = np.gradient(region.gland[window])
    outward = np.array([float(slope.mean()) for slope in slopes[::-1]]) + generator.normal(0.0, 0.15, 3)
    outward /= max(float(np.linalg.norm(outward)), 1e-3)
    return Site(centre=centre, surface=centre - float(region.gland[tuple(place)]) * outward, outward=outward)


def anatomy_layout(
    draws: Draws, habitus: Habitus, pathology: Pathology, deformation: Deformation, source: LabelMap
) -> Layout:
    """Builds the layout of a label map: the body is adapted to it, the map stays as it is."""
    aorta = _aorta(source)
    shift = _shift(source, aorta) + draws.vector("anatomy.offset", [1.5, 0.7, 5.0])
    draws.note("anatomy.shift", [float(value) for value in shift])
    draws.note("anatomy.stray_labels", {str(value): count for value, count in source.stray.items()})
    draws.note("anatomy.turned_upright", source.turned)
    points = source.points(np.isin(source.array, GLAND)) + shift
    everything = source.points(source.array > 0) + shift
    front = max(habitus.front, -float(points[:, 1].min()) + WALL_CLEARANCE_MM)
    side = max(habitus.half_width, float(np.abs(points[:, 0]).max()) + WALL_CLEARANCE_MM)
    habitus = replace(habitus, front=front, half_width=side)
    must_show = None
    lesion = source.points(source.array == PanoramaLabel.LESION) + shift
    if len(lesion):
        middle = lesion.mean(axis=0)
        must_show = (float(middle[2]) - LESION_SHOWN_MM, float(middle[2]) + LESION_SHOWN_MM)
        # Here the position is the lesion's x: upstream is what lies to its left.
        pathology = replace(
            pathology,
            position=float(middle[0]),
            volume_ml=source.volume_ml(PanoramaLabel.LESION),
        )
    pathology = replace(
        pathology,
        duct_dilated=source.volume_ml(PanoramaLabel.DUCT) > WIDE_DUCT_ML,
        bile_dilated=source.volume_ml(PanoramaLabel.BILE_DUCT) > WIDE_BILE_ML,
    )
    head, radius = _head(points)
    vessels = tuple(
        (replace(line, points=_to_anatomical(deformation, line.points)), tissue)
        for line, tissue in _extensions(source, aorta, shift)
    )
    return Layout(
        habitus=habitus,
        pathology=pathology,
        extent=(float(points[:, 2].min()), float(points[:, 2].max())),
        must_show=must_show,
        head=_to_anatomical(deformation, head),
        head_radius=radius,
        low=everything.min(axis=0) - REGION_MARGIN_MM,
        high=everything.max(axis=0) + REGION_MARGIN_MM,
        vessels=vessels,
        region=lambda frame, _: region_from_map(source, shift, pathology, frame),
        site=_site,
    )
