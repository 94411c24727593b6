"""CTs that are wrong on purpose: what quality flags must find is put into a phantom, or made instead of one.

What only another scan would change (contrast phase, noise, thick slices) is `Acquisition`, given to `make_phantom`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box, crop, to_lps
from ctcore.labels import PanoramaLabel, pancreas_mask
from ctcore.phantom.scanner import HIGHEST_HU
from ctcore.volume import Geometry, Volume

STENT_RADIUS_MM, STENT_WALL_MM, STENT_LENGTH_MM = 4.0, 1.2, 40.0
HEAD_MM = (150.0, 190.0, 150.0)  # z, y, x
SKULL_MM = 7.0
BRAIN_HU, SKULL_HU, SCALP_HU, AIR_HU = 34.0, 950.0, 30.0, -1000.0
BRAIN_NOISE_HU = 4.0


def with_stent(ct: Volume, labels: Volume) -> Volume:
    """Returns a CT with a metal stent, a tube along the body, in the bile duct, or else in the gland's middle.

    No streaks are drawn.

    Args:
        ct: Hounsfield units, in LPS order.
        labels: PANORAMA's label map on its grid, with a pancreas.
    """
    duct = labels.array == PanoramaLabel.BILE_DUCT
    z, y, x = np.argwhere(duct if duct.any() else pancreas_mask(labels.array)).mean(axis=0)
    sz, sy, sx = ct.geometry.spacing_zyx
    along, down, across = np.ogrid[tuple(slice(n) for n in ct.geometry.shape)]
    radius = np.hypot((down - y) * sy, (across - x) * sx)
    wall = np.abs(radius - STENT_RADIUS_MM) <= max(STENT_WALL_MM, sx, sy) / 2
    tube = wall & (np.abs(along - z) * sz <= STENT_LENGTH_MM / 2)
    return ct.with_array(np.where(tube, HIGHEST_HU, ct.array).astype(ct.array.dtype))


def cut_through_pancreas(ct: Volume, labels: Volume) -> Volume:
    """Returns the slices of a CT in LPS order up to the middle of the pancreas. Arguments: `with_stent`."""
    inside = np.flatnonzero(pancreas_mask(labels.array).any(axis=(1, 2)))
    return _slices(ct, 0, int(inside[len(inside) // 2]) + 1)


def below_pancreas(ct: Volume, labels: Volume) -> Volume:
    """Returns the slices of a CT in LPS order below the pancreas. Arguments: `with_stent`."""
    inside = np.flatnonzero(pancreas_mask(labels.array).any(axis=(1, 2)))
    return _slices(ct, 0, max(1, int(inside[0]) - 1))


def thorax_of(ct: Volume) -> Volume:
    """Returns a thorax in the make of a CT in LPS order: its own slices, with lung wherever its body has organs."""
    from scipy import ndimage

    array = ct.array.astype(np.float32)
    body = np.stack([ndimage.binary_fill_holes(each > -300) for each in array])
    depth = ndimage.distance_transform_edt(body, sampling=ct.geometry.spacing_zyx)
    lung = (depth > 35) & (array < 250)
    array[lung] = -840 + 0.3 * (array[lung] - 60)
    return ct.with_array(np.rint(array).astype(ct.array.dtype))


def head_ct(seed: int = 0, spacing_mm: float = 3.0) -> Volume:
    """Returns a head: an ellipsoid of brain in a shell of skull, in air."""
    generator = np.random.default_rng(seed)
    half = [length / 2 for length in HEAD_MM]
    shape = (
        int(1.1 * HEAD_MM[0] / spacing_mm),
        int(1.2 * HEAD_MM[1] / spacing_mm),
        int(1.4 * HEAD_MM[2] / spacing_mm),
    )
    grid = [(np.arange(n) - (n - 1) / 2) * spacing_mm for n in shape]

    def inside(shrunk: float) -> npt.NDArray[np.bool_]:
        z, y, x = ((axis / (length - shrunk)) ** 2 for axis, length in zip(np.ix_(*grid), half, strict=True))
        return np.asarray(z + y + x <= 1)

    array = np.full(shape, AIR_HU)
    for shrunk, value in ((0.0, SCALP_HU), (5.0, SKULL_HU), (5.0 + SKULL_MM, BRAIN_HU)):
        array[inside(shrunk)] = value
    array += generator.normal(0.0, BRAIN_NOISE_HU, shape)
    return Volume(np.rint(array).astype(np.int16), Geometry(shape, (spacing_mm, spacing_mm, spacing_mm)))


def _slices(ct: Volume, start: int, stop: int) -> Volume:
    _, height, width = ct.geometry.shape
    return crop(to_lps(ct)[0], Box((start, 0, 0), (stop, height, width)))
