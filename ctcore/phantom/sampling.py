"""Carrying values from one axis-aligned grid to another, with blur and averaging along each axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

Axes = Sequence[np.ndarray]  # x, y and z coordinates of a grid's nodes, in mm


def kernel_weights(targets: np.ndarray, sources: np.ndarray, sigma: float, width: float) -> np.ndarray:
    """(targets, sources) weights of a Gaussian of `sigma` mm averaged over `width` mm; each row sums to 1.

    Targets beyond the sources take the value of the nearest one.
    """
    offset = sources[None, :].astype(np.float64) - np.clip(targets, sources[0], sources[-1])[:, None]
    if width > 0.0:
        root = np.sqrt(2.0) * sigma
        weights = special.erf((offset + width / 2) / root) - special.erf((offset - width / 2) / root)
    else:
        weights = np.exp(-0.5 * (offset / sigma) ** 2)
    return np.asarray(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12), dtype=np.float32)


def carry(
    array: np.ndarray, sources: Axes, targets: Axes, sigmas: Sequence[float], widths: Sequence[float] = (0.0, 0.0, 0.0)
) -> np.ndarray:
    """Samples an array at the nodes of another grid.

    Args:
        array: (z, y, x) float32 values.
        sources: The array's x, y, z coordinates in mm.
        targets: The coordinates to sample at, in mm.
        sigmas: Standard deviations of the blur along x, y, z in mm; below 0.45 of the source's spacing they no longer
            interpolate.
        widths: Lengths of the box average along x, y, z in mm.

    Returns:
        (z, y, x) float32 values on the target grid.
    """
    along_x, along_y, along_z = (
        kernel_weights(target, source, sigma, width)
        for target, source, sigma, width in zip(targets, sources, sigmas, widths, strict=True)
    )
    # Whatever makes the array smaller goes first.
    out = array
    z_first = len(along_z) <= array.shape[0]
    if z_first:
        out = (along_z @ out.reshape(out.shape[0], -1)).reshape(len(along_z), *out.shape[1:])
    out = np.matmul(along_y, out) @ along_x.T
    if not z_first:
        out = (along_z @ out.reshape(out.shape[0], -1)).reshape(len(along_z), *out.shape[1:])
    return np.asarray(out)


def expose(array: np.ndarray, sources: Axes, targets: Axes, *, blur: float, thickness: float) -> np.ndarray:
    """Samples an isotropic working grid the way a scanner does: in-plane point spread, average over the slice.

    Args:
        array: (z, y, x) float32 values on the working grid.
        sources: The working grid's x, y, z coordinates in mm.
        targets: The scan's x, y, z coordinates in mm.
        blur: Standard deviation of the in-plane point spread in mm.
        thickness: Slice thickness in mm.
    """
    spacing = float(sources[0][1] - sources[0][0])
    in_plane = max(blur, 0.45 * spacing)
    slab = max(thickness, 0.6 * spacing)
    return carry(array, sources, targets, (in_plane, in_plane, 0.35 * spacing), (0.0, 0.0, slab))
