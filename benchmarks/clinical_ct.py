"""A CT of clinical size whose pancreas has PANORAMA's median box, and where pancreas and lesions lie on any grid.

Networks with random weights find neither: every flow that is timed is told both, so that all cut out the same region,
search the same candidates and measure what looks like an anatomy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctcore.files import write
from ctcore.volume import Geometry, Volume

SCAN_MM = (360.0, 384.0, 384.0)
"""Extent (z, y, x): more slices are thinner ones, as with real scans of the abdomen."""

PANCREAS_CENTRE_MM = (4.5, 2.2, 2.2)
PANCREAS_MM = (61.0, 72.0, 117.0)
"""An ellipsoid: centre and diameters (z, y, x). With the baseline's margins its box is about PANORAMA's median ROI (65
x 232 x 428 voxels of 1.5 x 0.747 x 0.747 mm); flows round it differently, but all need twelve of its windows."""

LESIONS = (
    ((0.0, 4.0, 25.0), 7.0, 0.85),
    ((-12.0, -14.0, -30.0), 4.0, 0.45),
    ((10.0, 12.0, -10.0), 3.0, 0.40),
    ((4.0, 20.0, -45.0), 3.0, 0.10),
)
"""Smooth blobs: centre (z, y, x) from the pancreas's in mm, standard deviation in mm, highest probability."""

TUBES = {
    "veins": (("z", (-8.0, 18.0), 5.0), ("x", (14.0, 4.0), 4.0)),
    "arteries": (("z", (4.0, -6.0), 4.0),),
    "pancreatic duct": (("x", (0.0, 0.0), 1.5),),
    "common bile duct": (("z", (10.0, 48.0), 3.5),),
}
"""Round tubes along an axis: where they lie on the two others, in order, from the pancreas's centre; radius; mm."""
TUBE_MM = 50.0
"""How far they reach to both sides."""
LESION_LABEL_FROM = 0.5

AIR_HU, TISSUE_HU, PANCREAS_HU, BONE_HU = -1000, 50, 100, 500
NOISE_HU = 12
NOISE_SLICES = 8
"""Slices of noise that are made; every slice shows one of them, shifted by its own number of pixels."""


def scan_geometry(slices: int, pixels: int = 512) -> Geometry:
    """Returns the grid of a CT of so many slices of pixels x pixels, centred on (0, 0, 0)."""
    shape = (slices, pixels, pixels)
    z, y, x = (extent / length for extent, length in zip(SCAN_MM, shape, strict=True))
    spacing = (x, y, z)
    first = tuple(-s * (n - 1) / 2 for s, n in zip(spacing, shape[::-1], strict=True))
    return Geometry(shape, spacing, (first[0], first[1], first[2]))


def write_ct(path: Path, geometry: Geometry) -> None:
    """Writes the CT, the same whenever it is made: an elliptic body with a spine, the pancreas, and noise."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, NOISE_HU, (NOISE_SLICES, *geometry.shape[1:])).astype(np.int16)
    y, x = np.ogrid[-1 : 1 : geometry.shape[1] * 1j, -1 : 1 : geometry.shape[2] * 1j]
    section = np.where((y / 0.7) ** 2 + (x / 0.9) ** 2 < 1, TISSUE_HU, AIR_HU).astype(np.int16)
    section[(y - 0.5) ** 2 + x**2 < 0.1**2] = BONE_HU
    pancreas = pancreas_mask(geometry).astype(bool)
    hounsfield = np.empty(geometry.shape, np.int16)
    for z in range(geometry.shape[0]):
        hounsfield[z] = np.where(pancreas[z], PANCREAS_HU, section)
        hounsfield[z] += np.roll(noise[z % NOISE_SLICES], 7 * z, axis=1)
    write(Volume(hounsfield, geometry), path)


def pancreas_mask(geometry: Geometry) -> npt.NDArray[np.uint8]:
    """Returns the pancreas, uint8 (z, y, x), on a grid in LPS order."""
    z, y, x = (
        (2 * (position - centre) / diameter) ** 2
        for position, centre, diameter in zip(_positions(geometry), PANCREAS_CENTRE_MM, PANCREAS_MM, strict=True)
    )
    inside: npt.NDArray[np.bool_] = z[:, None, None] + y[None, :, None] + x[None, None, :] <= 1
    return inside.astype(np.uint8)


def lesion_probability(geometry: Geometry) -> npt.NDArray[np.float32]:
    """Returns the probability of a lesion, float32 (z, y, x), on a grid in LPS order."""
    probability = np.zeros(geometry.shape, np.float32)
    for offset, sigma, peak in LESIONS:
        z, y, x = (
            np.exp(-0.5 * ((position - centre - shift) / sigma) ** 2).astype(np.float32)
            for position, centre, shift in zip(_positions(geometry), PANCREAS_CENTRE_MM, offset, strict=True)
        )
        np.maximum(probability, (peak * z)[:, None, None] * (y[:, None] * x[None, :]), out=probability)
    return probability


def label_map(geometry: Geometry, values: Mapping[str, int]) -> npt.NDArray[np.uint8]:
    """Returns a segmentation, uint8 (z, y, x), on a grid in LPS order: gland, vessels, ducts and lesions.

    Args:
        geometry: the grid.
        values: value of each label by name; labels that are not named are left out.
    """
    z, y, x = (place - centre for place, centre in zip(_positions(geometry), PANCREAS_CENTRE_MM, strict=True))
    axes = {"z": z[:, None, None], "y": y[None, :, None], "x": x[None, None, :]}
    labels = np.zeros(geometry.shape, np.uint8)
    labels[pancreas_mask(geometry) != 0] = values.get("pancreas", 0)
    for name, tubes in TUBES.items():
        for along, offset, radius in tubes:
            across = [place - shift for place, shift in zip((axes[a] for a in axes if a != along), offset, strict=True)]
            inside = (across[0] ** 2 + across[1] ** 2 <= radius**2) & (np.abs(axes[along]) <= TUBE_MM)
            labels[inside] = values.get(name, 0)
    labels[lesion_probability(geometry) > LESION_LABEL_FROM] = values.get("lesion", 0)
    return labels


def _positions(geometry: Geometry) -> list[npt.NDArray[np.floating]]:
    """Returns the positions in mm of voxel centres along z, y and x."""
    axes = zip(geometry.shape, geometry.spacing_zyx, geometry.origin[::-1], strict=True)
    return [origin + spacing * np.arange(length) for length, spacing, origin in axes]
