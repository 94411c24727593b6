"""The solid organs around the pancreas: liver, gallbladder, spleen, kidneys, adrenals, inferior vena cava."""

from __future__ import annotations

import numpy as np

from ctcore.phantom.body import Habitus, Wall, clip_to
from ctcore.phantom.canvas import Canvas
from ctcore.phantom.draws import Draws
from ctcore.phantom.frame import Window
from ctcore.phantom.shapes import Patch, curve, ellipsoid, rotation_about, tube
from ctcore.phantom.texture import cloud


def paint_liver(
    canvas: Canvas, habitus: Habitus, wall: Wall, lungs: np.ndarray, draws: Draws, bile_dilated: bool
) -> None:
    """Paints right and left lobe below the diaphragm, with veins, portal branches and, where obstructed, bile ducts."""
    frame = canvas.frame
    size = draws.normal("liver.size", 1.0, 0.09, 0.78, 1.25)
    low = draws.normal("liver.low", 0.0, 14.0, -35.0, 40.0)
    left_reach = draws.uniform("liver.left_reach", 0.5, 1.25)
    shift = habitus.place(np.array([-72.0, -14.0, 38.0 - low / 2])) + draws.vector("liver.offset", [5.0, 5.0, 6.0])
    window = frame.window((-1e4, -1e4, -95), (110, 1e4, 1e4))
    x, y, z = frame.coordinates(window)
    half = np.array([82.0, 96.0, 96.0 + low / 2]) * size
    right = np.sqrt(
        ((x - np.float32(shift[0])) / np.float32(half[0])) ** 2
        + ((y - np.float32(shift[1])) / np.float32(half[1])) ** 2
        + ((z - np.float32(shift[2])) / np.float32(half[2])) ** 2
    )
    right = (right - np.float32(1.0)) * np.float32(half.min())
    # The visceral surface looks down, left and back: a plane through the porta cuts the ellipsoid there.
    normal = np.array([0.66, 0.14, -0.54]) + draws.vector("liver.plane", 0.06)
    normal /= np.linalg.norm(normal)
    porta = habitus.place(np.array([-42.0, -30.0, 32.0])) + draws.vector("liver.porta", 4.0)
    plane = sum(np.float32(n) * (c - np.float32(p)) for n, c, p in zip(normal, (x, y, z), porta, strict=True))
    # A rounded edge where plane and ellipsoid meet (smooth maximum over 12 mm).
    blend = np.clip(np.float32(0.5) + (plane - right) / np.float32(24.0), 0.0, 1.0)
    right = right + (plane - right) * blend + np.float32(12.0) * blend * (np.float32(1.0) - blend)
    centre = habitus.place(np.array([-10.0, -72.0, 58.0]))
    left_half = np.array([78.0 * left_reach, 34.0, 44.0]) * size
    left = np.sqrt(
        ((x - np.float32(centre[0])) / np.float32(left_half[0])) ** 2
        + ((y - np.float32(centre[1])) / np.float32(left_half[1])) ** 2
        + ((z - np.float32(centre[2]) - np.float32(0.25) * (x - np.float32(centre[0]))) / np.float32(left_half[2])) ** 2
    )
    left = (left - np.float32(1.0)) * np.float32(left_half.min())
    bumps = cloud(draws.stream("liver.surface"), x.shape, frame.spacing, 45.0)
    organ = np.minimum(right, left) + np.float32(4.0) * bumps
    inside = np.maximum(organ, wall.cavity[window] + np.float32(2.0))
    distance = np.maximum(inside, -lungs[window] + np.float32(3.0))
    canvas.paint(Patch(window, distance), "liver")
    generator = draws.stream("liver.vessels")
    hub = porta + np.array([-6.0, 2.0, 14.0])
    for number in range(9):
        target = shift + generator.normal(0.0, 1.0, 3) * np.array([38.0, 42.0, 45.0])
        start = hub if number % 2 else habitus.place(np.array([-20.0, 8.0, 95.0]))
        middle = (start + target) / 2 + generator.normal(0.0, 8.0, 3)
        points, position = curve(np.stack([start, middle, target]), 3.0)
        vessel = tube(frame, points, np.interp(position, [0, 2], [4.5, 1.5]), reach=3.0)
        if vessel is not None:
            kept = np.maximum(vessel.distance, _inside(distance, window, vessel.window) + np.float32(2.0))
            canvas.paint(Patch(vessel.window, kept), "liver_vessel")
        if bile_dilated and number % 2:
            duct = tube(frame, points + 6.0, np.interp(position, [0, 2], [3.5, 1.2]), reach=3.0)
            if duct is not None:
                kept = np.maximum(duct.distance, _inside(distance, window, duct.window) + np.float32(2.0))
                canvas.paint(Patch(duct.window, kept), "bile")


def _inside(distance: np.ndarray, window: Window, part: Window) -> np.ndarray:
    """The values of `distance` (known on `window`) on `part`; 50 mm outside it."""
    shape = tuple(piece.stop - piece.start for piece in part)
    values = np.full(shape, 50.0, dtype=np.float32)
    start = [max(a.start, b.start) for a, b in zip(part, window, strict=True)]
    stop = [min(a.stop, b.stop) for a, b in zip(part, window, strict=True)]
    if all(low < high for low, high in zip(start, stop, strict=True)):
        target = tuple(slice(a - p.start, b - p.start) for a, b, p in zip(start, stop, part, strict=True))
        source = tuple(slice(a - w.start, b - w.start) for a, b, w in zip(start, stop, window, strict=True))
        values[target] = distance[source]
    return values


def paint_gallbladder(canvas: Canvas, habitus: Habitus, draws: Draws, bile_dilated: bool) -> None:
    """Paints the gallbladder, absent in some, distended where the bile duct is obstructed."""
    present = draws.flag("gallbladder.present", 0.85)
    filling = draws.uniform("gallbladder.filling", 0.5, 1.15) * (1.25 if bile_dilated else 1.0)
    offset = draws.vector("gallbladder.offset", 6.0)
    if not present:
        return
    centre = habitus.place(np.array([-62.0, -52.0, 2.0])) + offset
    rotation = rotation_about(0, -35.0)
    patch = ellipsoid(canvas.frame, centre, np.array([14.0, 14.0, 32.0]) * filling, rotation=rotation)
    canvas.paint(patch, "bowel_wall")
    if patch is not None:
        canvas.paint(Patch(patch.window, patch.distance + np.float32(1.8)), "bile")


def paint_spleen(canvas: Canvas, habitus: Habitus, wall: Wall, lungs: np.ndarray, draws: Draws) -> None:
    """Paints the spleen against the left back wall, hollowed at the hilum."""
    size = draws.lognormal("spleen.size", 1.0, 0.16, 0.65, 1.6)
    centre = habitus.place(np.array([100.0, 30.0, 48.0])) + draws.vector("spleen.offset", [4.0, 6.0, 9.0])
    rotation = rotation_about(0, 25.0) @ rotation_about(2, draws.normal("spleen.turn", 25.0, 10.0))
    patch = ellipsoid(canvas.frame, centre, np.array([32.0, 48.0, 52.0]) * size, rotation=rotation)
    patch = clip_to(patch, wall, 2.0)
    if patch is None:
        return
    distance = np.maximum(patch.distance, -lungs[patch.window] + np.float32(3.0))
    hollow = ellipsoid(canvas.frame, centre + np.array([-36.0, -14.0, 0.0]) * size, (24.0, 34.0, 42.0), reach=60.0)
    if hollow is not None:
        distance = np.maximum(distance, -_inside(hollow.distance, hollow.window, patch.window))
    canvas.paint(Patch(patch.window, distance), "spleen")


def paint_kidneys(canvas: Canvas, habitus: Habitus, draws: Draws) -> None:
    """Paints both kidneys (cortex, pyramids, sinus fat and pelvis) in their fat, and the adrenals above them."""
    for side, name, height in ((1.0, "left", -6.0), (-1.0, "right", -20.0)):
        present = draws.flag(f"kidney.{name}.present", 0.985)
        size = draws.normal(f"kidney.{name}.size", 1.0, 0.09, 0.75, 1.25)
        offset = draws.vector(f"kidney.{name}.offset", [4.0, 4.0, 11.0])
        cyst = draws.uniform(f"kidney.{name}.cyst", -40.0, 18.0)
        cyst_place = draws.vector(f"kidney.{name}.cyst_place", 1.0)
        adrenal = draws.uniform(f"adrenal.{name}", 2.2, 4.0)
        centre = habitus.place(np.array([side * 60.0, 34.0, height])) + offset
        limb = centre + np.array([-side * 20.0, -14.0, 58.0])
        for bend in (-12.0, 10.0):
            points, _ = curve(
                np.stack(
                    [limb, limb + np.array([side * 4.0, bend, -12.0]), limb + np.array([side * 8.0, 1.6 * bend, -22.0])]
                ),
                2.5,
            )
            canvas.paint(tube(canvas.frame, points, adrenal, reach=4.0, stretch=(0.8, 1.2, 1.5)), "adrenal")
        if not present:
            continue
        rotation = rotation_about(1, side * 14.0) @ rotation_about(0, 12.0)
        half = np.array([27.0, 25.0, 54.0]) * size
        patch = ellipsoid(canvas.frame, centre, half, rotation=rotation, reach=14.0)
        if patch is None:
            continue
        canvas.paint(Patch(patch.window, patch.distance - np.float32(2.0 + 8.0 * habitus.adiposity)), "fat")
        canvas.paint(patch, "kidney_cortex")
        x, y, z = canvas.frame.coordinates(patch.window)
        across = np.arctan2(y - np.float32(centre[1]), np.float32(side) * (x - np.float32(centre[0])))
        pattern = np.cos(across * 3.0) * np.cos((z - np.float32(centre[2])) * np.float32(2 * np.pi / 24.0))
        medulla = np.maximum(patch.distance + np.float32(6.0), np.float32(0.1) - pattern * np.float32(4.0))
        canvas.paint(Patch(patch.window, medulla), "kidney_medulla")
        inner = centre + np.array([-side * 13.0, -3.0, 0.0])
        canvas.paint(ellipsoid(canvas.frame, inner, half * np.array([0.50, 0.26, 0.45]), rotation=rotation), "fat")
        canvas.paint(
            ellipsoid(canvas.frame, inner, half * np.array([0.3, 0.15, 0.3]), rotation=rotation), "renal_pelvis"
        )
        if cyst > 4.0:
            edge = centre + half * cyst_place / max(np.linalg.norm(cyst_place), 0.1)
            canvas.paint(ellipsoid(canvas.frame, edge, (cyst, cyst, cyst)), "urine")


def paint_cava(canvas: Canvas, habitus: Habitus, draws: Draws) -> None:
    """Paints the inferior vena cava and the renal veins."""
    radius = draws.normal("cava.radius", 10.5, 1.6, 6.0, 15.0)
    flat = draws.uniform("cava.flatness", 0.65, 1.05)
    points = habitus.place(np.array([[-16, -9, -130], [-21, -10, -60], [-23, -10, 0], [-24, -14, 50], [-20, -12, 110]]))
    points[:, :2] += draws.vector("cava.offset", 2.0, 2)
    low, high = points[0] + np.array([-4.0, 4.0, -150.0]), points[-1] + np.array([0.0, 0.0, 100.0])
    dense, _ = curve(np.concatenate([[low], points, [high]]), 5.0)
    canvas.paint(tube(canvas.frame, dense, radius, stretch=(1.15, flat, 1.0)), "inferior_vena_cava")
    start = habitus.place(np.array([-20.0, -12.0, -8.0]))
    for end, tissue in (([44.0, 22.0, -8.0], "inferior_vena_cava"), ([-46.0, 20.0, -20.0], "inferior_vena_cava")):
        bend = np.array([14.0, -27.0, -8.0]) if end[0] > 0 else np.array([-34.0, 2.0, -14.0])
        route, _ = curve(np.stack([start, habitus.place(bend), habitus.place(np.array(end))]), 3.0)
        canvas.paint(tube(canvas.frame, route, 4.5, reach=4.0), tissue)


def paint_mesentery(canvas: Canvas, habitus: Habitus, draws: Draws) -> None:
    """Paints the small vessels that fan out through the mesentery and the retroperitoneal fat."""
    generator = draws.stream("mesentery.vessels")
    root = habitus.place(np.array([2.0, -34.0, -34.0]))
    for _ in range(draws.integer("mesentery.count", 10, 26)):
        start = root + generator.normal(0.0, 1.0, 3) * np.array([6.0, 4.0, 22.0])
        reach = np.array([60.0, 26.0, 38.0]) * generator.normal(0.0, 1.0, 3) + np.array([0.0, -22.0, -40.0])
        points, position = curve(
            np.stack([start, start + 0.5 * reach + generator.normal(0.0, 6.0, 3), start + reach]), 2.5
        )
        radii = np.interp(position, [0, 2], [generator.uniform(1.6, 2.6), 0.8])
        canvas.paint(tube(canvas.frame, points, radii, reach=3.0), "portal_veins")
