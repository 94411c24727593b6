"""From logits on the network's grid to probabilities and labels on the ROI's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box, Triple
from ctcore.inference.effort import SLAB_VOXELS
from ctcore.resample import reach, resample_part


@dataclass(frozen=True, eq=False)
class GridProbabilities:
    """What the network says on the ROI's grid.

    Attributes:
        lesions: float32 (n, z, y, x), 0..1: probability of each label that was asked for.
        labels: uint8 (z, y, x), the most probable label; None where it was not asked for.
    """

    lesions: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8] | None


def to_grid(
    logits: npt.NDArray[np.float32],
    shape: Triple,
    lesion_labels: Sequence[int],
    *,
    box: Box | None = None,
    grid: Triple | None = None,
    labels: bool = True,
    slab_voxels: int = SLAB_VOXELS,
) -> GridProbabilities:
    """Takes logits to a finer grid, slab by slab, in nnU-Net's order: resample every logit, then softmax.

    Linear interpolation, the triangle widened where an axis shrinks (`ctcore.resample`), in float32: probabilities are
    within 1e-5 of those in double precision.

    Args:
        logits: (k, z, y, x) on the network's grid.
        shape: sizes (z, y, x) of the grid to reach, over the same field of view.
        lesion_labels: the n labels whose probability is kept.
        box: the part of the network's grid that the logits are of; all of it if not given. Voxels that draw on more
            than this part are background.
        grid: sizes (z, y, x) of the network's grid, where a box is given.
        labels: whether the most probable label is wanted, too.
        slab_voxels: voxels of the grid to reach that are computed at once: bounds the memory.
    """
    lesions = np.zeros((len(lesion_labels), *shape), dtype=np.float32)
    segmentation = np.zeros(shape, dtype=np.uint8) if labels else None
    depth, height, width = logits.shape[1:]
    grid = grid or (depth, height, width)
    box = box or Box.whole(grid)
    inside = reach(box, grid, shape)
    if inside is None:
        return GridProbabilities(lesions, segmentation)
    (z0, y0, x0), (z1, y1, x1) = inside.start, inside.stop
    thickness = max(1, slab_voxels // ((y1 - y0) * (x1 - x0)))
    for start in range(z0, z1, thickness):
        part = Box((start, y0, x0), (min(start + thickness, z1), y1, x1))
        slab = resample_part(logits, box, grid, shape, part)
        if segmentation is not None:
            segmentation[part.slices] = most_probable(slab)
        slab -= slab.max(axis=0)  # softmax, in place, divided only where it is kept
        np.exp(slab, out=slab)
        total = slab.sum(axis=0)
        for kept, label in zip(lesions, lesion_labels, strict=True):
            np.divide(slab[label], total, out=kept[part.slices])
    return GridProbabilities(lesions, segmentation)


def most_probable(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Returns the index of the highest of the (k, ...) logits, the first among equals, as `argmax` does but faster."""
    highest, label = logits[0].copy(), np.zeros(logits.shape[1:], np.uint8)
    for k, logit in enumerate(logits[1:], start=1):
        # Without a branch for each voxel: a label that is higher than the highest so far has the greatest number, too.
        np.maximum(label, (logit > highest).view(np.uint8) * np.uint8(k), out=label)
        np.maximum(highest, logit, out=highest)
    return label


def softmax(logits: npt.NDArray[Any], axis: int) -> npt.NDArray[np.float32]:
    """Returns the softmax along an axis, in float32."""
    values: npt.NDArray[np.float32] = logits.astype(np.float32)
    values -= values.max(axis=axis, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(axis=axis, keepdims=True)
    return values
