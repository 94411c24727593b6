"""The hollow organs: stomach, duodenum, small bowel and colon, with what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ctcore.phantom.body import Habitus, Wall, cavity_middle
from ctcore.phantom.canvas import Canvas, Painter
from ctcore.phantom.draws import Draws
from ctcore.phantom.shapes import FAR_MM, Patch, curve, tube

STOMACH_FILLING = {"bowel_fluid": 0.38, "chyme": 0.30, "oral_contrast": 0.12, "collapsed": 0.20}
SMALL_BOWEL_FILLING = {"bowel_fluid": 0.34, "chyme": 0.28, "oral_contrast": 0.10, "collapsed": 0.28}
COLON_FILLING = {"stool": 0.70, "bowel_fluid": 0.12, "chyme": 0.18}
STOOL_GAS_LEVEL = 0.9
STOOL_GAS_HU = -420.0


@dataclass(frozen=True, eq=False)
class Loop:
    """A piece of bowel.

    Attributes:
        points: (n, 3) centreline in anatomical mm.
        radii: (n,) outer radii in mm.
        wall: Wall thickness in mm.
        filling: Tissue inside.
        gas: Share of the lumen's depth that is gas, 0 to 1; gas lies in front.
        shift: Added to the filling's mean HU.
        stretch: Factors of the cross-section along x, y, z.
    """

    points: np.ndarray
    radii: np.ndarray
    wall: float
    filling: str
    gas: float
    shift: float
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)


def paint_loop(painter: Painter, loop: Loop, wall: Wall | None = None) -> Patch | None:
    """Paints a piece of bowel; with `wall` it stays inside the abdominal cavity."""
    patch = tube(painter.frame, loop.points, loop.radii, stretch=loop.stretch, with_nearest=True)
    if patch is None or patch.nearest is None:
        return None
    distance = patch.distance
    if wall is not None:
        distance = np.minimum(np.maximum(distance, wall.cavity[patch.window] + np.float32(2.0)), np.float32(FAR_MM))
    window = patch.window
    painter.paint(Patch(window, distance), "bowel_wall")
    if loop.filling == "collapsed":
        return Patch(window, distance, patch.nearest)
    lumen = distance + np.float32(loop.wall)
    hu = painter.tissue(loop.filling, window, shift=loop.shift)
    if loop.filling == "stool":
        hu += np.float32(STOOL_GAS_HU) * (painter.fine[window] + painter.coarse[window] > np.float32(STOOL_GAS_LEVEL))
    painter.blend(window, painter.occupancy(lumen), hu)
    if loop.gas > 0.0:
        # Gas rises to the front: the level is horizontal in a patient lying on the back.
        offset = (2.0 * loop.gas - 1.0) * loop.radii * loop.stretch[1]
        level = (loop.points[:, 1] + offset).astype(np.float32)[patch.nearest]
        above = painter.frame.y[window] - level
        painter.paint(Patch(window, np.maximum(lumen, above)), "gas")
    return Patch(window, distance, patch.nearest)


def _contents(
    draws: Draws, name: str, options: Mapping[str, float], gas: float, most: float = 0.8
) -> tuple[str, float, float]:
    """(filling, share of gas, shift in HU) of a piece of bowel."""
    filling = draws.pick(f"{name}.filling", options)
    share = draws.uniform(f"{name}.gas", 0.1, most) if draws.flag(f"{name}.has_gas", gas) else 0.0
    spread = 60.0 if filling == "oral_contrast" else 8.0
    return filling, share, draws.normal(f"{name}.shift", 0.0, spread, -2 * spread, 2 * spread)


def draw_stomach(draws: Draws, habitus: Habitus) -> Loop:
    """Draws the stomach from the fundus under the left dome to the pylorus."""
    filling, gas, shift = _contents(draws, "stomach", STOMACH_FILLING, 0.75, 0.7)
    points = habitus.place(
        np.array([[62, 14, 92], [72, -18, 68], [62, -58, 38], [30, -76, 14], [-4, -74, 4], [-30, -62, 6]])
    )
    sag = draws.uniform("stomach.sag", -8.0, 34.0)
    points[2:5, 2] -= np.array([0.5, 1.0, 0.7]) * sag
    points += draws.vector("stomach.offset", 5.0) + draws.vector("stomach.jitter", 5.0, 18).reshape(6, 3)
    full = draws.uniform("stomach.fullness", 0.55, 1.2) * (0.7 if filling == "collapsed" else 1.0)
    dense, position = curve(points, 4.0)
    radii = np.interp(position, range(6), np.array([34.0, 38.0, 32.0, 23.0, 17.0, 9.0]) * full)
    return Loop(dense, radii, draws.uniform("stomach.wall", 2.5, 5.0), filling, gas, shift, (1.0, 1.0, 1.1))


def draw_duodenum(draws: Draws, head: np.ndarray, head_radius: float, pylorus: np.ndarray) -> Loop:
    """Draws the duodenum: from the pylorus around the head of the pancreas and back under it to the jejunum.

    Args:
        draws: Source of randomness.
        head: (3, 3) lower, middle and upper point of the head's axis, in mm.
        head_radius: Radius of the head, in mm.
        pylorus: (3,) end of the stomach, in mm.
    """
    filling, gas, shift = _contents(draws, "duodenum", SMALL_BOWEL_FILLING, 0.3, 0.5)
    radius = draws.normal("duodenum.radius", 11.0, 2.0, 7.0, 17.0)
    gap = draws.uniform("duodenum.gap", -2.0, 3.0)
    side = head_radius + radius + gap
    low, middle, high = head
    points = np.stack(
        [
            pylorus,
            high + np.array([-0.7 * side, -4.0, 8.0]),
            middle + np.array([-side, 5.0, 6.0]),
            low + np.array([-side, 10.0, 4.0]),
            low + np.array([-0.5 * side, 15.0, -side * 0.8]),
            np.array([-4.0, -17.0 - 0.4 * radius, low[2] - side * 0.75]),
            np.array([26.0, -24.0, low[2] - 0.3 * side]),
            np.array([40.0, -34.0, low[2] + 6.0]),
        ]
    )
    points += draws.vector("duodenum.jitter", 2.0, points.size).reshape(points.shape)
    dense, position = curve(points, 3.0)
    radii = np.interp(position, range(8), np.array([0.8, 1.15, 1.05, 1.0, 1.0, 0.75, 0.9, 1.0]) * radius)
    return Loop(dense, radii, draws.uniform("duodenum.wall", 1.8, 3.2), filling, gas, shift)


def draw_small_bowel(draws: Draws, habitus: Habitus, floor: float) -> list[Loop]:
    """Draws winding loops below and in front of the pancreas, down to `floor` (z in mm)."""
    loops: list[Loop] = []
    count = draws.integer("small_bowel.loops", 14, 26)
    middle = cavity_middle(habitus)
    for number in range(count):
        name = f"small_bowel.{number}"
        filling, gas, shift = _contents(draws, name, SMALL_BOWEL_FILLING, 0.22)
        generator = draws.stream(f"{name}.path")
        radius = draws.normal(f"{name}.radius", 11.5, 2.0, 7.0, 19.0)
        low = min(max(floor, -235.0), -60.0)
        height = generator.uniform(low, -32.0) if number > 6 else generator.uniform(-80.0, -30.0)
        start = np.array(
            [
                generator.uniform(-0.65, 0.75) * habitus.half_width,
                generator.uniform(-0.75 * habitus.front, middle),
                height,
            ]
        )
        if number < 4:
            # The first loops of the jejunum lie on the left under the tail and beside the body of the pancreas.
            start = np.array(
                [
                    generator.uniform(0.25, 0.7) * habitus.half_width,
                    generator.uniform(-0.6, -0.3) * habitus.front,
                    generator.uniform(-45.0, 0.0),
                ]
            )
        points, heading = [start], generator.normal(0.0, 1.0, 3)
        for _ in range(generator.integers(5, 10)):
            heading = 0.55 * heading + generator.normal(0.0, 1.0, 3) * np.array([1.0, 0.7, 0.7])
            step = points[-1] + 26.0 * heading / np.linalg.norm(heading)
            step[0] = np.clip(step[0], -0.72 * habitus.half_width, 0.80 * habitus.half_width)
            step[1] = np.clip(step[1], -0.86 * habitus.front, min(-22.0, middle + 30.0))
            step[2] = np.clip(step[2], -240.0, 4.0 if number < 4 and step[0] > 24.0 else -24.0)
            points.append(step)
        dense, position = curve(np.stack(points), 4.0)
        wave = 1.0 + 0.12 * np.sin(2.1 * position + generator.uniform(0, 6.3))
        loops.append(Loop(dense, radius * wave, generator.uniform(1.5, 3.2), filling, gas, shift))
    return loops


def draw_colon(draws: Draws, habitus: Habitus) -> list[Loop]:
    """Draws ascending, transverse and descending colon, each with its own contents."""
    reach, front = habitus.half_width, habitus.front
    sag = draws.uniform("colon.sag", 0.0, 85.0)
    spleen_side = draws.uniform("colon.splenic_height", 4.0, 48.0)
    parts = {
        "ascending": np.array(
            [[-0.72 * reach, 4, -165], [-0.80 * reach, 14, -110], [-0.80 * reach, 8, -55], [-0.66 * reach, -18, -24]]
        ),
        "transverse": np.array(
            [
                [-0.66 * reach, -20, -24],
                [-0.48 * reach, -0.70 * front, -34 - 0.4 * sag],
                [0.02 * reach, -0.80 * front, -22 - sag],
                [0.46 * reach, -0.72 * front, -14 - 0.5 * sag],
                [0.74 * reach, -0.50 * front, 0.55 * spleen_side],
                [0.80 * reach, -24, spleen_side],
            ]
        ),
        "descending": np.array(
            [
                [0.80 * reach, -22, spleen_side],
                [0.84 * reach, 20, -36],
                [0.82 * reach, 18, -105],
                [0.66 * reach, -6, -170],
                [0.2 * reach, 4, -205],
            ]
        ),
    }
    loops = []
    for name, controls in parts.items():
        filling, gas, shift = _contents(draws, f"colon.{name}", COLON_FILLING, 0.6, 0.95)
        points = controls + draws.vector(f"colon.{name}.jitter", 6.0, controls.size).reshape(controls.shape)
        points[:, 2] *= habitus.height
        radius = draws.normal(f"colon.{name}.radius", 19.0 if name != "descending" else 14.0, 4.0, 9.0, 30.0)
        dense, _ = curve(points, 5.0)
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))])
        haustra = 1.0 + 0.16 * np.sin(2 * np.pi * along / 32.0) + 0.06 * np.sin(2 * np.pi * along / 71.0 + 1.0)
        loops.append(Loop(dense, radius * haustra, 2.2, filling, gas, shift))
    return loops


def paint_bowel(canvas: Canvas, wall: Wall, loops: list[Loop]) -> None:
    """Paints several pieces of bowel inside the cavity."""
    for loop in loops:
        paint_loop(canvas, loop, wall)
