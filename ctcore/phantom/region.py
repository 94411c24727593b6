"""The pancreatic region on a fine grid: occupancies of everything that carries a label, whatever its source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ctcore.labels import PanoramaLabel
from ctcore.phantom.draws import Draws
from ctcore.phantom.frame import Frame
from ctcore.phantom.pancreas import Line, PancreasPlan
from ctcore.phantom.pathology import Pathology
from ctcore.phantom.shapes import Patch, tube
from ctcore.phantom.texture import cloud

FAR = np.float32(34.0)


@dataclass(frozen=True, eq=False)
class Region:
    """Fields on the fine grid; all arrays (z, y, x) float32.

    Attributes:
        frame: The fine grid.
        gland: Signed distance to the surface of the gland with everything in it, in mm.
        gland_share: Occupancy of the gland with everything in it.
        veins, arteries, duct, bile: Occupancies, 0 to 1.
        labelled: Share of `veins` and `arteries` that carries the label (the rest runs on without one).
        lesion: Occupancy of the labelled lesion; all zero where there is none.
        lesion_tint: Opacity of the lesion in the image: like `lesion` with a blurred border.
        lesion_depth: Distance inside the lesion's surface, in mm (0 outside).
        upstream: True where the gland lies upstream of the lesion.
    """

    frame: Frame
    gland: np.ndarray
    gland_share: np.ndarray
    veins: np.ndarray
    arteries: np.ndarray
    duct: np.ndarray
    bile: np.ndarray
    labelled: np.ndarray
    lesion: np.ndarray
    lesion_tint: np.ndarray
    lesion_depth: np.ndarray
    upstream: np.ndarray


def plan_bounds(frame_lines: list[Line]) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner (x, y, z in mm) of a set of curves with their radii."""
    reach = [line.radii[:, None] * np.maximum(line.stretch, 1.0) for line in frame_lines]
    low = np.min([(line.points - size).min(axis=0) for line, size in zip(frame_lines, reach, strict=True)], axis=0)
    high = np.max([(line.points + size).max(axis=0) for line, size in zip(frame_lines, reach, strict=True)], axis=0)
    return low, high


def _merge(target: np.ndarray, patch: Patch | None) -> None:
    if patch is not None:
        np.minimum(target[patch.window], patch.distance, out=target[patch.window])


def soft(distance: np.ndarray, spacing: float) -> np.ndarray:
    """Occupancy, 0 to 1, that falls linearly over `spacing` mm around a surface."""
    return np.asarray(np.clip(np.float32(0.5) - distance * np.float32(1.0 / spacing), 0.0, 1.0))


def _line_tube(frame: Frame, line: Line, *, with_nearest: bool = False, reach: float = 4.0) -> Patch | None:
    return tube(frame, line.points, line.radii, stretch=line.stretch, with_nearest=with_nearest, reach=reach)


def draw_lesion(
    frame: Frame,
    gland: np.ndarray,
    blocked: np.ndarray,
    centre: np.ndarray,
    pathology: Pathology,
    draws: Draws,
) -> tuple[np.ndarray, np.ndarray]:
    """Grows an irregular mass of the drawn volume around a point.

    The mass is a level set of (distance to an ellipsoid + noise + a penalty outside the gland); the level is the one
    that holds the drawn volume, so that the volume is met without a search.

    Args:
        frame: The fine grid.
        gland: Signed distance to the gland, in mm.
        blocked: Occupancy of what the mass does not enter (vessels).
        centre: (3,) anatomical mm.
        pathology: The drawn pathology, with the volume.
        draws: Source of randomness.

    Returns:
        Signed distance to the mass, about, in mm, on the whole grid; and its boolean mask (one connected piece).
    """
    size = float((3000.0 * pathology.volume_ml / (4.0 * np.pi)) ** (1.0 / 3.0))
    axes = np.exp(draws.vector("lesion.axes", 0.22))
    axes = size * axes / float(np.prod(axes)) ** (1.0 / 3.0)
    roughness = draws.uniform("lesion.roughness", 0.12, 0.34)
    firmness = draws.uniform("lesion.firmness", 0.4, 1.6) / (1.0 + 0.06 * max(size - 9.0, 0.0))
    generator = draws.stream("lesion.shape")
    squares = [
        ((coordinate - np.float32(middle)) / np.float32(axis)) ** 2
        for coordinate, middle, axis in zip((frame.x, frame.y, frame.z), centre, axes, strict=True)
    ]
    field = (np.sqrt(squares[0] + squares[1] + squares[2]) - np.float32(1.0)) * np.float32(size)
    field += np.float32(roughness * size) * cloud(generator, frame.shape, frame.spacing, max(0.9 * size, 4.0))
    field += np.float32(0.07 * size) * cloud(generator, frame.shape, frame.spacing, max(0.35 * size, 3.0))
    field += np.float32(firmness) * np.clip(gland - np.float32(0.5), 0.0, None)
    field += np.float32(40.0) * blocked
    count = int(np.clip(round(1000.0 * pathology.volume_ml / frame.spacing**3), 8, field.size // 2))
    level = float(np.partition(field, count, axis=None)[count])
    inside = field < level
    pieces, number = ndimage.label(inside)
    if number > 1:
        inside = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    distance = np.where((field < level) & ~inside, np.float32(1.0), field - np.float32(level))
    return distance.astype(np.float32), inside


def region_from_plan(frame: Frame, plan: PancreasPlan, pathology: Pathology, draws: Draws) -> Region:
    """Evaluates a plan on the fine grid, grows the lesion, and settles who owns which voxel."""
    spacing = frame.spacing
    gland = np.full(frame.shape, FAR, dtype=np.float32)
    position = np.zeros(frame.shape, dtype=np.float32)
    main = _line_tube(frame, plan.axis, with_nearest=True, reach=12.0)
    if main is not None and main.nearest is not None:
        _merge(gland, main)
        position[main.window] = plan.axis.position.astype(np.float32)[main.nearest]
    _merge(gland, _line_tube(frame, plan.uncinate, reach=12.0))
    # Far from the gland, every fourth point of its axis is enough.
    sparse = slice(None, None, 4)
    outline = tube(
        frame, plan.axis.points[sparse], plan.axis.radii[sparse], stretch=plan.axis.stretch[sparse], reach=float(FAR)
    )
    _merge(gland, outline)
    lobules = draws.uniform("gland.lobulation", 0.3, 2.2)
    generator = draws.stream("gland.surface")
    gland += np.float32(lobules) * cloud(generator, frame.shape, spacing, 8.0)
    gland += np.float32(0.4 * lobules) * cloud(generator, frame.shape, spacing, 3.5)

    vessels: dict[int, np.ndarray] = {}
    labelled = np.zeros(frame.shape, dtype=np.float32)
    for label in (PanoramaLabel.VEINS, PanoramaLabel.ARTERIES):
        occupancy = np.zeros(frame.shape, dtype=np.float32)
        for vessel in plan.vessels:
            patch = _line_tube(frame, vessel.line) if vessel.label == label else None
            if patch is None:
                continue
            share = soft(patch.distance, spacing)
            occupancy[patch.window] = np.maximum(occupancy[patch.window], share)
            height = frame.z[patch.window]
            named = (height > np.float32(vessel.low)) & (height < np.float32(vessel.high)) & (share > 0)
            labelled[patch.window] = np.maximum(labelled[patch.window], named)
        vessels[label] = occupancy
    fields = {}
    for name, line in (("duct", plan.duct), ("bile", plan.bile)):
        distance = np.full(frame.shape, FAR, dtype=np.float32)
        _merge(distance, _line_tube(frame, line))
        fields[name] = soft(distance, spacing)

    upstream = position > np.float32(pathology.position)
    lesion = tint = depth = np.zeros(frame.shape, dtype=np.float32)
    if pathology.has_lesion:
        radius = float(np.interp(pathology.position, plan.axis.position, plan.axis.radii))
        middle = np.array([np.interp(pathology.position, plan.axis.position, plan.axis.points[:, a]) for a in range(3)])
        centre = middle + draws.vector("lesion.offset", 0.35 * radius)
        blocked = np.maximum(vessels[PanoramaLabel.VEINS], vessels[PanoramaLabel.ARTERIES])
        distance, inside = draw_lesion(frame, gland, blocked, centre, pathology, draws)
        lesion = soft(distance, spacing) * (ndimage.binary_dilation(inside) if inside.any() else inside)
        lesion = lesion.astype(np.float32)
        tint = soft(distance, pathology.border_mm)
        depth = np.clip(-distance, 0.0, None)
        gland = np.minimum(gland, distance)
        for name in ("duct", "bile"):
            fields[name] = fields[name] * (1.0 - lesion)
    return Region(
        frame=frame,
        gland=gland,
        gland_share=soft(gland, spacing),
        veins=vessels[PanoramaLabel.VEINS],
        arteries=vessels[PanoramaLabel.ARTERIES],
        duct=fields["duct"],
        bile=fields["bile"],
        labelled=labelled,
        lesion=lesion,
        lesion_tint=tint,
        lesion_depth=depth,
        upstream=upstream,
    )
