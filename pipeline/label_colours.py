"""One colour for each label, the same in every output."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass

from ctcore.datasets.label_names import LESION, is_lesion, project_name

RGB = tuple[int, int, int]

COLOURS: Mapping[str, RGB] = {
    LESION: (230, 60, 40),
    "veins": (70, 130, 230),
    "arteries": (200, 30, 110),
    "pancreas": (60, 210, 120),
    "pancreatic duct": (245, 205, 60),
    "common bile duct": (130, 160, 40),
}
"""Colours (red, green, blue; 0 to 255) by this project's label names."""

GOLDEN_RATIO = 0.618034
"""Steps of hue by this never come close to one another."""


@dataclass(frozen=True)
class Colour:
    """A label with its colour.

    Attributes:
        name: the label.
        value: of its voxels.
        rgb: red, green, blue; 0 to 255.
    """

    name: str
    value: int
    rgb: RGB


def coloured(labels: Mapping[str, int]) -> list[Colour]:
    """Returns the labels of a segmentation, by value, without the background; no two lesion labels look the same."""
    found = []
    lesions = 0
    for name, value in sorted(labels.items(), key=lambda item: item[1]):
        if value == 0:
            continue
        rgb = COLOURS.get(project_name(name))
        if rgb is None or (is_lesion(name) and lesions):
            rgb = _hue(value * GOLDEN_RATIO)
        lesions += is_lesion(name)
        found.append(Colour(name, value, rgb))
    return found


def _hue(hue: float) -> RGB:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue % 1.0, 0.75, 0.9))
    return red, green, blue
