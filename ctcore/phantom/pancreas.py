"""The plan of a pancreas: the axis of the gland, its ducts and the vessels around it, as curves with radii."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctcore.labels import PanoramaLabel
from ctcore.phantom.body import Habitus
from ctcore.phantom.draws import Draws
from ctcore.phantom.pathology import TIP_POSITION, Pathology
from ctcore.phantom.shapes import curve

# The gland's axis in the reference adult, from the lower end of the head to the tip of the tail (mm).
AXIS = np.array(
    [
        [-31.0, -26.0, -40.0],
        [-29.0, -34.0, -20.0],
        [-24.0, -43.0, -3.0],
        [-8.0, -52.0, 7.0],
        [16.0, -52.0, 12.0],
        [39.5, -38.0, 15.0],
        [61.5, -16.0, 18.0],
        [78.0, 6.0, 20.0],
    ]
)
RADII = np.array([8.0, 13.0, 12.5, 7.5, 8.0, 8.5, 8.5, 6.0])
# The body and tail are taller than thick; the factor applies along z.
HEIGHTS = np.array([1.1, 1.15, 1.1, 1.4, 1.65, 1.65, 1.6, 1.5])
# How much each part of the axis rises or falls, relative to the neck, for the common shapes of the gland.
SHAPES: dict[str, np.ndarray] = {
    "oblique": np.array([0, 0, 0, 0, 6, 14, 24, 34.0]),
    "horizontal": np.array([0, 0, 0, 0, -2, -4, -6, -8.0]),
    "sigmoid": np.array([0, 0, 0, 0, 10, 12, 2, -6.0]),
    "inverted_v": np.array([0, 0, 0, 2, 10, 2, -20, -44.0]),
    "horseshoe": np.array([0, 0, 4, 8, 6, -8, -30, -52.0]),
}
SHAPE_WEIGHTS = {"oblique": 0.46, "horizontal": 0.22, "sigmoid": 0.14, "inverted_v": 0.12, "horseshoe": 0.06}


@dataclass(frozen=True, eq=False)
class Line:
    """A curve with a radius at every point.

    Attributes:
        points: (n, 3) anatomical mm.
        position: (n,) position in units of the control points.
        radii: (n,) mm.
        stretch: (n, 3) factors on the cross-section.
    """

    points: np.ndarray
    position: np.ndarray
    radii: np.ndarray
    stretch: np.ndarray


@dataclass(frozen=True, eq=False)
class Vessel:
    """A vessel beside the pancreas.

    Attributes:
        name: What it is.
        label: Its value in the label map.
        tissue: What it holds.
        line: Its course.
        low, high: The part between these heights (z in mm) is labelled; all of it is painted.
    """

    name: str
    label: PanoramaLabel
    tissue: str
    line: Line
    low: float = -1e6
    high: float = 1e6


@dataclass(frozen=True, eq=False)
class PancreasPlan:
    """Everything of the pancreatic region as curves.

    Attributes:
        axis: The gland from head to tail.
        uncinate: The uncinate process.
        vessels: Arteries and veins.
        duct: The pancreatic duct.
        bile: The common bile duct.
        head: (3, 3) lower, middle and upper point of the head.
        head_radius: Radius of the head in mm.
    """

    axis: Line
    uncinate: Line
    vessels: tuple[Vessel, ...]
    duct: Line
    bile: Line
    head: np.ndarray
    head_radius: float


def _line(points: np.ndarray, radii: float | list[float] | np.ndarray, step: float = 2.0) -> Line:
    dense, position = curve(points, step)
    values = np.broadcast_to(np.asarray(radii, dtype=np.float64), (len(points),))
    radius = np.interp(position, np.arange(len(points)), values)
    return Line(dense, position, radius, np.ones((len(dense), 3)))


def _at(line: Line, position: float | np.ndarray) -> np.ndarray:
    """Points of a curve at positions given in control point units."""
    return np.stack([np.interp(position, line.position, line.points[:, axis]) for axis in range(3)], axis=-1)


def _gland(draws: Draws, habitus: Habitus, pathology: Pathology) -> tuple[Line, Line]:
    shape = draws.pick("gland.shape", SHAPE_WEIGHTS)
    volume = draws.lognormal("gland.volume_ml", 83.0, 0.28, 34.0, 160.0)
    length = draws.normal("gland.length", 1.0, 0.09, 0.78, 1.25)
    controls = AXIS.copy()
    controls[:, 2] += SHAPES[shape] * draws.uniform("gland.shape_amount", 0.6, 1.3)
    controls[3:, 0] = controls[3, 0] + (controls[3:, 0] - controls[3, 0]) * length
    controls[:2, 2] *= draws.uniform("gland.head_height", 0.75, 1.25)
    controls[4:6, 1] += draws.normal("gland.arch", 0.0, 5.0)
    controls = habitus.place(controls) + draws.vector("gland.offset", [5.0, 2.5, 7.0])
    controls += draws.vector("gland.jitter", 2.5, controls.size).reshape(controls.shape)
    # Radii for the drawn volume: cross-section area times length, summed over the axis.
    dense, position = curve(controls, 2.0)
    numbers = np.arange(len(controls))
    radii, heights = np.interp(position, numbers, RADII), np.interp(position, numbers, HEIGHTS)
    direction = np.gradient(dense, axis=0)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    steps = np.linalg.norm(np.diff(dense, axis=0, append=dense[-1:]), axis=1)
    across = np.sqrt((1.0 - direction[:, 2] ** 2) * heights**2 + direction[:, 2] ** 2)
    estimate = float(np.sum(np.pi * radii**2 * across * steps)) / 1000.0 + 6.0
    factor = float(np.clip(np.sqrt(volume / estimate), 0.62, 1.5))
    bulge = draws.vector("gland.bulge", 0.09, len(controls))
    radii = factor * np.interp(position, numbers, RADII * np.clip(1.0 + bulge, 0.75, 1.3))
    upstream = position > pathology.position if pathology.has_lesion else np.ones(len(position), dtype=bool)
    radii = np.where(upstream, radii * pathology.atrophy, radii)
    stretch = np.stack([np.ones_like(heights), np.ones_like(heights), heights], axis=1)
    axis = Line(dense, position, radii, stretch)
    reach = draws.uniform("gland.uncinate", 0.5, 1.15)
    root = _at(axis, 0.7)
    end = root + np.array([24.0 * reach, 7.0, -5.0]) + draws.vector("gland.uncinate_jitter", 1.5)
    hook = _line(
        np.stack([root, (root + end) / 2 + np.array([0.0, 3.0, 0.0]), end]), np.array([9.0, 7.5, 4.5]) * factor
    )
    return axis, hook


def _arteries(draws: Draws, axis: Line, extent: tuple[float, float], splenic_end: np.ndarray) -> list[Vessel]:
    radius = draws.normal("aorta.radius", 11.3, 1.6, 7.5, 16.5)
    neck = _at(axis, 3.0)
    sway = draws.vector("aorta.sway", 3.0, 5)
    front = -radius - 2.0
    heights = np.array([-230.0, -110.0, 0.0, 80.0, 230.0])
    middle = np.stack([8.0 + sway, np.full(5, front) + np.array([3.0, 0, 0, 2.0, 18.0]), heights + neck[2]], axis=1)
    aorta = _line(middle, [radius * 0.8, radius * 0.9, radius, radius * 1.05, radius * 1.15], 3.0)
    low, high = (
        extent[0] - draws.uniform("aorta.below", -2.0, 10.0),
        extent[1] + draws.uniform("aorta.above", -4.0, 9.0),
    )
    left = float(np.interp(neck[2], aorta.points[:, 2], aorta.points[:, 0]))
    surface = front - radius
    root = draws.normal("arteries.coeliac_height", 14.0, 5.0, 4.0, 28.0)
    coeliac_end = np.array([left, surface - 16.0, neck[2] + root + 3.0])
    superior = np.stack(
        [
            np.array([left, surface + 2.0, neck[2] + root - 14.0]),
            np.array([left - 1.0, surface - 9.0, neck[2] + root - 20.0]),
            np.array([left - 3.0, surface - 14.0, neck[2] - 26.0]),
            np.array([left - 6.0, surface - 22.0, neck[2] - 62.0]),
            np.array([left - 14.0, surface - 30.0, neck[2] - 100.0]),
        ]
    )
    coeliac = np.stack([np.array([left, surface + 2.0, neck[2] + root]), coeliac_end])
    route = [coeliac_end]
    for number, position in enumerate((3.9, 4.6, 5.3, 6.0, 6.6)):
        thickness = np.interp(position, axis.position, axis.radii)
        wiggle = draws.normal(f"arteries.splenic_wiggle.{number}", 0.0, 4.0)
        route.append(_at(axis, position) + np.array([0.0, 0.75 * thickness, 1.25 * thickness + 2.0 + wiggle]))
    route.append(splenic_end + np.array([0.0, -4.0, 6.0]))
    hepatic = np.stack(
        [
            coeliac_end,
            _at(axis, 3.0) + np.array([-2.0, 8.0, 17.0]),
            _at(axis, 2.2) + np.array([-14.0, 6.0, 21.0]),
            np.array([-46.0, neck[1] + 16.0, neck[2] + 28.0]),
        ]
    )
    size = draws.normal("arteries.size", 1.0, 0.15, 0.65, 1.5)
    vessels = [Vessel("aorta", PanoramaLabel.ARTERIES, "aorta", aorta, low, high)]
    for name, points, radii, step in (
        ("superior mesenteric artery", superior, [4.2, 4.0, 3.8, 3.2, 2.6], 2.0),
        ("coeliac trunk", coeliac, [4.0, 3.5], 2.0),
        ("splenic artery", np.stack(route), [3.2, 3.0, 2.9, 2.8, 2.7, 2.5, 2.0], 1.5),
        ("hepatic artery", hepatic, [3.0, 2.6, 2.4, 2.0], 1.5),
    ):
        line = _line(points, np.asarray(radii) * size, step)
        vessels.append(Vessel(name, PanoramaLabel.ARTERIES, "arteries", line, low - 3.0, high + 6.0))
    return vessels


def _veins(draws: Draws, axis: Line, extent: tuple[float, float], splenic_end: np.ndarray) -> list[Vessel]:
    size = draws.normal("veins.size", 1.16, 0.15, 0.75, 1.6)
    neck = _at(axis, 3.0)
    thickness = float(np.interp(3.0, axis.position, axis.radii))
    meeting = neck + np.array([0.0, thickness + 6.5 * size, -2.0])
    mesenteric = np.stack(
        [
            meeting,
            meeting + np.array([0.5, 1.0, -22.0]),
            meeting + np.array([2.0, -3.0, -50.0]),
            meeting + np.array([6.0, -12.0, -92.0]),
        ]
    )
    hilum = np.array([-70.0, meeting[1] + 6.0, meeting[2] + 29.0]) + draws.vector("veins.hilum", 6.0)
    portal = np.stack(
        [meeting, meeting + np.array([-17.0, 2.0, 14.0]), (meeting + hilum) / 2 + np.array([-4.0, 1.0, 4.0]), hilum]
    )
    route = [meeting]
    for position in (3.8, 4.5, 5.2, 6.0, 6.7):
        radius = float(np.interp(position, axis.position, axis.radii))
        route.append(_at(axis, position) + np.array([-1.5, 0.85 * radius + 3.0 * size, 2.0]))
    route.append(splenic_end)
    low = extent[0] - draws.uniform("veins.below", -14.0, 10.0)
    vessels = []
    for name, points, radii in (
        ("superior mesenteric vein", mesenteric, [6.4, 5.8, 5.2, 4.4]),
        ("portal vein", portal, [6.8, 7.2, 6.8, 5.0]),
        ("splenic vein", np.stack(route), [5.0, 4.6, 4.4, 4.2, 4.0, 3.8, 3.0]),
    ):
        line = _line(points, np.asarray(radii) * size)
        vessels.append(Vessel(name, PanoramaLabel.VEINS, "portal_veins", line, low))
    return vessels


def _ducts(draws: Draws, axis: Line, pathology: Pathology) -> tuple[Line, Line]:
    normal = draws.lognormal("duct.normal_radius", 0.95, 0.25, 0.5, 1.6)
    ampulla = _at(axis, 1.0) + np.array([-0.9 * float(np.interp(1.0, axis.position, axis.radii)), 4.0, -2.0])
    steps = np.arange(1.5, 6.9, 0.25)
    wobble = draws.vector("duct.wobble", 0.8, 3 * len(steps)).reshape(-1, 3)
    controls = np.concatenate([[ampulla], _at(axis, steps) + wobble])
    dense, place = curve(controls, 1.0)
    position = np.interp(place, np.arange(len(controls)), np.concatenate([[1.0], steps]))
    radii = np.full(len(dense), normal) * np.interp(position, [1.0, 6.9], [1.15, 0.7])
    if pathology.duct_dilated:
        start = pathology.position if pathology.has_lesion else 1.2
        wide = pathology.duct_radius * np.interp(position, [start, 6.9], [1.1, 0.65])
        if pathology.kind == "chronic_pancreatitis":
            wide = wide * (1.0 + 0.45 * np.sin(8.0 * position))
        rise = np.clip((position - start) / 0.3, 0.0, 1.0)
        radii = np.where(position >= start, radii * (1 - rise) + wide * rise, radii)
    duct = Line(dense, position, radii, np.ones((len(dense), 3)))
    behind = np.array([-5.0, 7.0, 0.0])
    hilum = np.array([-56.0, _at(axis, 2.4)[1] + 10.0, _at(axis, 2.6)[2] + 29.0]) + draws.vector("bile.hilum", 4.0)
    upper = _at(axis, 2.3) + np.array([-10.0, 9.0, 14.0])
    route = np.stack([hilum, upper, _at(axis, 1.7) + behind, ampulla + np.array([1.0, 2.0, 3.0])])
    width = draws.lognormal("bile.radius", 2.4, 0.22, 1.3, 4.0)
    wide = draws.lognormal("bile.wide_radius", 5.6, 0.22, 3.6, 9.5)
    dense, place = curve(route, 1.5)
    bile_radii = np.full(len(dense), width) * np.interp(place, [0, 3], [1.0, 0.75])
    if pathology.bile_dilated:
        # Narrow below the obstruction; without one, down to the ampulla.
        end = 3.1 - 0.55 * np.clip(pathology.position - 0.9, 0.0, 1.8) if pathology.has_lesion else 2.9
        fall = np.clip((end - place) / 0.35, 0.0, 1.0)
        bile_radii = bile_radii * (1 - fall) + wide * fall
    return duct, Line(dense, place, bile_radii, np.ones((len(dense), 3)))


def draw_plan(draws: Draws, habitus: Habitus, pathology: Pathology) -> PancreasPlan:
    """Draws the pancreatic region of one phantom."""
    axis, hook = _gland(draws, habitus, pathology)
    reach = axis.radii * axis.stretch[:, 2]
    extent = (float((axis.points[:, 2] - reach).min()), float((axis.points[:, 2] + reach).max()))
    tip = _at(axis, TIP_POSITION)
    splenic_end = tip + np.array([14.0, 10.0, 8.0]) + draws.vector("veins.splenic_end", 3.0)
    vessels = _arteries(draws, axis, extent, splenic_end) + _veins(draws, axis, extent, splenic_end)
    duct, bile = _ducts(draws, axis, pathology)
    head = _at(axis, np.array([0.4, 1.2, 2.0]))
    return PancreasPlan(
        axis=axis,
        uncinate=hook,
        vessels=tuple(vessels),
        duct=duct,
        bile=bile,
        head=head,
        head_radius=float(np.interp(1.0, axis.position, axis.radii)),
    )
