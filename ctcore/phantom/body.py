"""The body around the organs: its size and shape, skin, fat, muscle, lungs and heart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctcore.phantom.canvas import Canvas
from ctcore.phantom.draws import Draws
from ctcore.phantom.frame import Frame, Window
from ctcore.phantom.shapes import FAR_MM, Patch, curve, ellipsoid, rotation_about, tube

# The reference adult all anatomical positions in this package are written for.
REFERENCE_HALF_WIDTH = 130.0
REFERENCE_FRONT = 100.0
CAVITY_BACK = 66.0
DIAPHRAGM_TOP = 112.0
BACK_MUSCLE_MM = 28.0


@dataclass(frozen=True)
class Habitus:
    """Size and shape of one body; lengths in mm.

    Attributes:
        adiposity: 0 (lean) to 1 (obese).
        half_width: Half the width of the abdominal cavity.
        front: Distance from the spine's front to the cavity's front wall.
        back: Distance from the spine's front to the cavity's back wall.
        exponent: Exponent of the superellipse that the cavity's cross-section is.
        height: Factor on all vertical distances.
        fat_front, fat_side, fat_back: Thickness of the subcutaneous fat.
        muscle: Thickness of the muscular wall at the side.
        envelope: Thickness of the fat that keeps the organs around the pancreas away from it.
        spine_scale: Factor on the spine's cross-section.
    """

    adiposity: float
    half_width: float
    front: float
    back: float
    exponent: float
    height: float
    fat_front: float
    fat_side: float
    fat_back: float
    muscle: float
    envelope: float
    spine_scale: float

    def place(self, points: np.ndarray) -> np.ndarray:
        """Moves (n, 3) or (3,) points of the reference adult to this body."""
        moved = np.array(points, dtype=np.float64)
        moved[..., 0] *= self.half_width / REFERENCE_HALF_WIDTH
        depth = np.clip(-moved[..., 1] / 60.0, 0.0, 1.0)
        moved[..., 1] *= 1.0 + (self.front / REFERENCE_FRONT - 1.0) * depth
        moved[..., 2] *= self.height
        return moved

    @property
    def skin_half_width(self) -> float:
        """Half the width of the whole body, in mm."""
        return self.half_width + self.muscle + self.fat_side

    @property
    def skin_front(self) -> float:
        """Y of the front of the body, in mm."""
        return -(self.front + 0.8 * self.muscle + self.fat_front)

    @property
    def skin_back(self) -> float:
        """Y of the back of the body, in mm."""
        return self.back + self.muscle + BACK_MUSCLE_MM + self.fat_back


def draw_habitus(draws: Draws, *, wide: bool) -> Habitus:
    """Draws a body; `wide` gives leaner, fatter, smaller and larger ones."""
    spread = 1.35 if wide else 1.0
    adiposity = draws.uniform("body.adiposity", 0.0, 1.0)
    half_width = draws.normal("body.half_width", 124.0 + 14.0 * adiposity, 8.0 * spread, 96.0, 165.0)
    front = draws.normal("body.front", 78.0 + 48.0 * adiposity, 10.0 * spread, 58.0, 150.0)
    fat_front = draws.lognormal("body.fat_front", 9.0 + 16.0 * adiposity, 0.35 * spread, 3.0, 55.0)
    return Habitus(
        adiposity=adiposity,
        half_width=half_width,
        front=front,
        back=draws.normal("body.back", CAVITY_BACK, 4.0, 54.0, 78.0),
        exponent=draws.uniform("body.exponent", 2.1, 2.7),
        height=draws.normal("body.height", 1.0, 0.06 * spread, 0.82, 1.18),
        fat_front=fat_front,
        fat_side=fat_front * draws.uniform("body.fat_side_share", 0.5, 1.1),
        fat_back=fat_front * draws.uniform("body.fat_back_share", 0.5, 1.0) + 3.0,
        muscle=draws.normal("body.muscle", 15.0, 3.0, 8.0, 24.0),
        envelope=max(0.3, draws.normal("body.envelope", -1.0 + 13.0 * adiposity, 2.0 * spread, 0.3, 18.0)),
        spine_scale=draws.normal("body.spine_scale", 1.0, 0.07, 0.85, 1.18),
    )


@dataclass(frozen=True, eq=False)
class Wall:
    """The body's contours on the whole grid.

    Attributes:
        cavity: (z, y, x) signed distance to the inside of the muscular wall, in mm.
        muscle: (z, y, x) signed distance to the outside of the muscular wall, in mm.
        skin: (z, y, x) signed distance to the skin, in mm.
    """

    cavity: np.ndarray
    muscle: np.ndarray
    skin: np.ndarray


def contour_radius(habitus: Habitus, angle: np.ndarray) -> np.ndarray:
    """Distance from the cavity's middle to its wall at an angle (0 is left, 90 degrees is the back), in mm."""
    depth = (habitus.front + habitus.back) / 2.0
    # The back is flatter than the front.
    power = habitus.exponent + 0.9 * (np.sin(angle) > 0.0)
    level = np.abs(np.cos(angle) / habitus.half_width) ** power + np.abs(np.sin(angle) / depth) ** power
    return np.asarray(level ** (-1.0 / power))


def cavity_middle(habitus: Habitus) -> float:
    """Y of the middle of the abdominal cavity, in mm."""
    return (habitus.back - habitus.front) / 2.0


def build_wall(frame: Frame, habitus: Habitus) -> Wall:
    """Computes the contours: a superellipse for the cavity, and from it outward muscle and fat by direction."""
    x, y = frame.x, frame.y - np.float32(cavity_middle(habitus))
    # The waist is narrower than the chest and the hips.
    relative = frame.axes[2] / np.float32(habitus.height)
    waist = 1.0 - 0.05 * np.exp(-(((relative + 60.0) / 60.0) ** 2)) - 0.10 * np.clip((relative - 90.0) / 120.0, 0, 1)
    x = x / waist.astype(np.float32)[:, None, None]
    rho = np.sqrt(x * x + y * y) + np.float32(1e-3)
    # The radius is a smooth function of the angle: look it up instead of taking powers at every node.
    angle = np.arctan2(y, x)
    table = np.linspace(-np.pi, np.pi, 721)
    nodes = (angle + np.float32(np.pi)) * np.float32(720 / (2 * np.pi))
    index = np.clip(nodes.astype(np.int32), 0, 720)
    cavity = rho - contour_radius(habitus, table).astype(np.float32)[index]
    sine = np.sin(table)
    back = np.clip(sine, 0.0, None) ** 3
    front = np.clip(-sine, 0.0, None) ** 2
    # The muscles beside the spine, with the furrow between them.
    erector = np.clip(sine, 0.0, None) ** 7 - 0.25 * np.exp(-((np.cos(table) / 0.11) ** 2)) * (sine > 0)
    muscle = habitus.muscle * (1.0 - 0.2 * front) + BACK_MUSCLE_MM * erector
    fat = habitus.fat_side + (habitus.fat_front - habitus.fat_side) * front
    fat = fat + (habitus.fat_back - habitus.fat_side) * back
    outer = cavity - muscle.astype(np.float32)[index]
    return Wall(cavity=cavity, muscle=outer, skin=outer - fat.astype(np.float32)[index])


def paint_wall(canvas: Canvas, habitus: Habitus, wall: Wall, draws: Draws) -> None:
    """Paints skin, subcutaneous fat, muscle and the fat that fills the cavity."""
    marbling = draws.uniform("muscle.marbling", 1.2, 4.0)
    whole: Window = (slice(None), slice(None), slice(None))
    for distance, tissue in (
        (wall.skin, "skin"),
        (wall.skin + np.float32(2.0), "subcutaneous_fat"),
        (wall.muscle, "muscle"),
    ):
        canvas.paint(Patch(whole, distance), tissue)
    # Fat between the layers of the wall, and in the muscles of the fat and the old.
    thickness = np.float32(habitus.muscle)
    for depth in (0.34, 0.68):
        seam = np.abs(wall.cavity - np.float32(depth) * thickness) - np.float32(0.1 + 0.6 * habitus.adiposity)
        side = np.abs(canvas.frame.x) - np.float32(0.5 * habitus.half_width)
        canvas.paint(Patch(whole, np.maximum(seam, -side)), "fat")
    streaks = np.clip(canvas.coarse + np.float32(0.8) * canvas.fine - np.float32(marbling), 0.0, 0.8)
    within = canvas.occupancy(wall.muscle) * (wall.cavity > 0.0)
    canvas.blend(whole, streaks * within, canvas.palette["fat"])
    canvas.paint(Patch(whole, wall.cavity), "fat")


def paint_back_muscles(canvas: Canvas, habitus: Habitus, draws: Draws) -> None:
    """Paints psoas, quadratus lumborum and the crura of the diaphragm."""
    bulk = draws.normal("muscle.bulk", 1.0, 0.15, 0.6, 1.5)
    for side in (-1.0, 1.0):
        points = habitus.place(np.array([[30, 16, 10], [36, 14, -40], [46, 8, -100], [62, -8, -170], [80, -30, -250]]))
        points = points * np.array([side, 1.0, 1.0])
        dense, position = curve(points, 6.0)
        radii = np.interp(position, range(5), np.array([7.0, 15.0, 20.0, 20.0, 16.0]) * bulk)
        canvas.paint(tube(canvas.frame, dense, radii, stretch=(0.9, 1.1, 1.0)), "muscle")
        points = habitus.place(np.array([[64, 46, 30], [72, 48, -30], [80, 44, -90]])) * np.array([side, 1.0, 1.0])
        dense, _ = curve(points, 5.0)
        canvas.paint(tube(canvas.frame, dense, 8.0 * bulk, stretch=(1.7, 1.0, 1.0)), "muscle")
        points = habitus.place(np.array([[12, -3, -10], [14, -8, 40], [22, -4, 90]])) * np.array([side, 1.0, 1.0])
        dense, _ = curve(points, 4.0)
        canvas.paint(tube(canvas.frame, dense, 3.5, stretch=(1.0, 2.2, 1.0)), "muscle")


def diaphragm_distance(frame: Frame, window: Window, habitus: Habitus, top: float, reach: float) -> np.ndarray:
    """Signed distance, about, to the lungs above the two domes of the diaphragm, in mm (negative in the lungs)."""
    x, y, z = frame.coordinates(window)
    half = np.float32(habitus.half_width)
    right = (x + np.float32(0.5) * half) / (np.float32(0.62) * half)
    left = (x - np.float32(0.5) * half) / (np.float32(0.58) * half)
    depth = (y - np.float32(cavity_middle(habitus))) / np.float32((habitus.front + habitus.back) / 2.0)
    right_top = np.float32(top) - np.float32(reach) * (right**2 + np.float32(0.8) * depth**2)
    left_top = np.float32(top - 14.0) - np.float32(reach) * (left**2 + np.float32(0.8) * depth**2)
    centre_top = np.float32(top - 16.0) - np.float32(reach) * (
        np.square(np.square(x / (np.float32(0.55) * half))) + depth**2
    )
    dome = np.maximum(np.maximum(right_top, left_top), np.maximum(centre_top, np.float32(top - 1.7 * reach)))
    return np.asarray((dome - z) * np.float32(0.75))


def paint_lungs(canvas: Canvas, wall: Wall, lungs: np.ndarray, habitus: Habitus, draws: Draws) -> None:
    """Paints the lungs where the grid reaches above the diaphragm, and the heart between them.

    Args:
        canvas: What to paint on.
        wall: The body's contours.
        lungs: (z, y, x) signed distance to the space above the diaphragm, in mm.
        habitus: The body.
        draws: Source of randomness.
    """
    whole: Window = (slice(None), slice(None), slice(None))
    if lungs.min() >= 0.0:
        return
    x, y = canvas.frame.x, canvas.frame.y
    mediastinum = np.sqrt((x / np.float32(42.0)) ** 2 + ((y - np.float32(10.0)) / np.float32(42.0)) ** 2)
    distance = np.maximum.reduce(
        [lungs, wall.cavity + np.float32(3.0), (np.float32(1.0) - mediastinum) * np.float32(30.0)]
    )
    canvas.paint(Patch(whole, np.maximum(lungs, wall.cavity + np.float32(1.0))), "fat")
    canvas.paint(Patch(whole, distance), "lung")
    centre = habitus.place(np.array([22.0, -62.0, 148.0])) + draws.vector("heart.offset", 6.0)
    canvas.paint(ellipsoid(canvas.frame, centre, (58.0, 48.0, 40.0), rotation=rotation_about(1, 20.0)), "heart")


def clip_to(patch: Patch | None, wall: Wall, inset: float) -> Patch | None:
    """Keeps a shape `inset` mm away from the muscular wall."""
    if patch is None:
        return None
    inside = wall.cavity[patch.window] + np.float32(inset)
    return Patch(patch.window, np.minimum(np.maximum(patch.distance, inside), np.float32(FAR_MM)), patch.nearest)
