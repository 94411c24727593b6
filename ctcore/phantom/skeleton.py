"""Bones: spine, ribs, pelvis, and the arms of those who cannot raise them."""

from __future__ import annotations

import numpy as np

from ctcore.phantom.body import Habitus, cavity_middle, contour_radius
from ctcore.phantom.canvas import Canvas
from ctcore.phantom.draws import Draws
from ctcore.phantom.shapes import Patch, curve, ellipsoid, tube

VERTEBRA_PERIOD = 34.0
ARM_RADIUS_MM = 42.0


def _bone(canvas: Canvas, patch: Patch | None, shell: float, *, shift: float = 0.0) -> None:
    """Paints a bone: a cortical shell around cancellous bone."""
    if patch is None:
        return
    canvas.paint(patch, "cortical_bone", shift=shift)
    canvas.paint(Patch(patch.window, patch.distance + np.float32(shell)), "cancellous_bone", shift=0.4 * shift)


def paint_spine(canvas: Canvas, habitus: Habitus, draws: Draws) -> None:
    """Paints vertebrae with discs, canal and processes over the grid's whole height."""
    frame = canvas.frame
    phase = draws.uniform("spine.phase", 0.0, VERTEBRA_PERIOD)
    density = draws.normal("spine.density", 0.0, 60.0, -140.0, 160.0)
    scale = habitus.spine_scale
    window = frame.window((-62, -8, -1e4), (62, 112, 1e4))
    x, y, z = frame.coordinates(window)
    period = np.float32(VERTEBRA_PERIOD * habitus.height)
    level = np.mod(z + np.float32(phase), period) / period
    waist = np.float32(1.0) - np.float32(0.10) * np.sin(np.pi * level)
    half_x, half_y = np.float32(22.5 * scale), np.float32(16.5 * scale)
    radial = np.sqrt((x / half_x) ** 2 + ((y - half_y) / half_y) ** 2)
    body = (radial - waist) * half_y
    endplate = (np.abs(level - np.float32(0.5)) - np.float32(0.38)) * period
    canvas.paint(Patch(window, body), "disc")
    _bone(canvas, Patch(window, np.maximum(body, endplate)), 1.8, shift=density)
    canal_y = np.float32(2 * 16.5 * scale + 8.0)
    ring = np.sqrt((x / np.float32(1.25)) ** 2 + (y - canal_y) ** 2)
    arch = np.maximum(np.abs(ring - np.float32(12.5 * scale)) - np.float32(4.0), endplate - np.float32(3.0))
    spinous_height = (np.abs(level - np.float32(0.38)) - np.float32(0.30)) * period
    spinous = np.maximum.reduce(
        [np.abs(x) - np.float32(3.8), np.abs(y - canal_y - np.float32(26.0)) - np.float32(17.0), spinous_height]
    )
    transverse_height = (np.abs(level - np.float32(0.55)) - np.float32(0.13)) * period
    transverse = np.maximum.reduce(
        [
            np.abs(y - canal_y - np.float32(0.12) * np.abs(x)) - np.float32(4.0),
            np.abs(np.abs(x) - np.float32(28.0)) - np.float32(17.0),
            transverse_height,
        ]
    )
    facets = np.maximum(
        np.sqrt((np.abs(x) - np.float32(19.0)) ** 2 + (y - canal_y - np.float32(5.0)) ** 2) - np.float32(8.0),
        (np.abs(np.mod(level + np.float32(0.5), 1.0) - np.float32(0.5)) - np.float32(0.30)) * period,
    )
    _bone(canvas, Patch(window, np.minimum.reduce([arch, spinous, transverse, facets])), 1.6, shift=density)
    canal = np.sqrt((x / np.float32(1.25)) ** 2 + (y - canal_y) ** 2) - np.float32(8.0 * scale)
    canvas.paint(Patch(window, canal), "spinal_canal")


def paint_ribs(canvas: Canvas, habitus: Habitus, draws: Draws) -> None:
    """Paints the ribs, which run down along the wall from the spine to the front, with cartilage at the end."""
    shift = draws.uniform("ribs.shift", -12.0, 12.0)
    drop = draws.uniform("ribs.drop", 70.0, 110.0)
    middle = cavity_middle(habitus)
    for number, (start, reach) in enumerate([(34, 55), (64, 95), (94, 140), (122, 155), (150, 160), (178, 165)]):
        for side in (-1.0, 1.0):
            turn = np.radians(np.linspace(14.0, reach, 40))
            angle = np.pi / 2 - turn
            radius = contour_radius(habitus, angle) + 0.45 * habitus.muscle + 3.0 * np.clip(np.sin(angle), 0, 1)
            share = turn / np.radians(150.0)
            points = np.stack(
                [
                    side * radius * np.cos(angle),
                    middle + radius * np.sin(angle),
                    (start + shift - drop * share**1.2) * habitus.height,
                ],
                axis=1,
            )
            cartilage = np.degrees(turn) > 118.0
            if np.any(~cartilage):
                bone, _ = curve(points[~cartilage], 2.5)
                patch = tube(canvas.frame, bone, 3.6, stretch=(1.0, 1.0, 1.7), reach=4.0)
                _bone(canvas, patch, 1.3)
            if np.count_nonzero(cartilage) > 2 and number > 0:
                soft, _ = curve(points[cartilage], 2.5)
                canvas.paint(tube(canvas.frame, soft, 4.0, stretch=(1.0, 1.0, 1.5), reach=4.0), "cartilage")


def paint_pelvis(canvas: Canvas, habitus: Habitus, draws: Draws) -> None:
    """Paints iliac wings, sacrum, hip joints, gluteal muscles and bladder where the grid reaches down."""
    top = draws.uniform("pelvis.top", -125.0, -90.0)
    if canvas.frame.axes[2][0] > (top + 20.0) * habitus.height:
        return
    frame, width = canvas.frame, habitus.half_width
    for side in (-1.0, 1.0):
        for offset, tissue in (((0.62, 62.0, -75.0), "muscle"), ((0.78, 20.0, -95.0), "muscle")):
            centre = np.array([side * offset[0] * width, offset[1], (top + offset[2]) * habitus.height])
            canvas.paint(ellipsoid(frame, centre, (36.0, 36.0, 75.0)), tissue)
        rows = []
        for share in np.linspace(0.0, 1.0, 17):
            back = np.array([0.34 * width, 62.0, top - 30.0 - 60.0 * share])
            crest = np.array([(0.86 - 0.16 * share) * width, 8.0 + 12.0 * share, top - 6.0 - 75.0 * share])
            front = np.array([(0.90 - 0.14 * share) * width, -28.0 + 30.0 * share, top - 28.0 - 70.0 * share])
            line, _ = curve(np.stack([back, crest, front]) * np.array([side, 1.0, habitus.height]), 6.0)
            rows.append(line)
        _bone(canvas, tube(frame, np.concatenate(rows), 4.6, reach=4.0), 1.8)
        joint = np.array([side * 0.66 * width, 6.0, (top - 115.0) * habitus.height])
        _bone(canvas, ellipsoid(frame, joint, (33.0, 31.0, 34.0)), 3.0)
        canvas.paint(ellipsoid(frame, joint + np.array([side * 4.0, 0.0, -4.0]), (25.5, 25.5, 25.5)), "cartilage")
        _bone(canvas, ellipsoid(frame, joint + np.array([side * 4.0, 0.0, -4.0]), (23.0, 23.0, 23.0)), 2.0)
        neck, _ = curve(np.stack([joint, joint + np.array([side * 32.0, 12.0, -22.0])]), 6.0)
        _bone(canvas, tube(frame, neck, 15.0), 2.5)
        shaft = joint + np.array([side * 34.0, 14.0, -30.0])
        points, _ = curve(np.stack([shaft, shaft + np.array([-side * 6.0, -4.0, -160.0])]), 8.0)
        _bone(canvas, tube(frame, points, 17.0), 5.0)
        ramus, _ = curve(
            np.stack([joint + np.array([-side * 18.0, -18.0, -14.0]), np.array([side * 8.0, -30.0, joint[2] - 48.0])]),
            5.0,
        )
        _bone(canvas, tube(frame, ramus, 9.0), 2.0)
    sacrum = np.array([[0, 34, top - 12.0], [0, 56, top - 60.0], [0, 66, top - 110.0]]) * np.array(
        [1, 1, habitus.height]
    )
    points, position = curve(sacrum, 5.0)
    radii = np.interp(position, range(3), [20.0, 17.0, 9.0])
    _bone(canvas, tube(frame, points, radii, stretch=(2.0, 0.9, 1.0)), 2.0)
    filling = draws.uniform("pelvis.bladder", 0.55, 1.25)
    bladder = np.array([0.0, -28.0, (top - 118.0) * habitus.height])
    patch = ellipsoid(frame, bladder, (42.0 * filling, 32.0 * filling, 30.0 * filling))
    canvas.paint(patch, "muscle")
    if patch is not None:
        canvas.paint(Patch(patch.window, patch.distance + np.float32(4.0)), "urine")


def paint_arms(canvas: Canvas, habitus: Habitus, draws: Draws) -> None:
    """Paints both arms beside the body, for a patient who cannot raise them."""
    for side, name in ((-1.0, "right"), (1.0, "left")):
        gap, depth = draws.uniform(f"arms.{name}.gap", 4.0, 30.0), draws.uniform(f"arms.{name}.depth", -30.0, 50.0)
        x = side * (habitus.skin_half_width + ARM_RADIUS_MM + gap)
        points, _ = curve(np.array([[x, depth, 260.0], [1.04 * x, depth + 5.0, -40.0], [x, depth - 20.0, -320.0]]), 8.0)
        for radius, tissue in ((0.0, "subcutaneous_fat"), (3.0 + 6.0 * habitus.adiposity, "muscle")):
            canvas.paint(tube(canvas.frame, points, ARM_RADIUS_MM - radius), tissue)
        _bone(canvas, tube(canvas.frame, points, 11.0), 4.0)
