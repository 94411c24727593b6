"""How much memory an ROI takes on its way through the network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ctcore.geometry import Box, Triple
from ctcore.inference.batches import windows_at_once
from ctcore.inference.cover import hull

if TYPE_CHECKING:
    from stage2_multitask.model import MultiTaskModel

FLOAT_BYTES = 4
SLAB_ARRAYS = 3
"""Arrays of a slab's logits that exist at once, at most, while it is resampled and turned into probabilities."""
DOUBLE_ARRAYS = 6
"""Arrays of the ROI's grid that exist at once, at most, while nnU-Net resamples: in units of float32."""
PREPARED_ARRAYS = 4
"""The same of the network's grid, while the image is resampled and normalised."""


def bytes_of(
    model: MultiTaskModel,
    roi: Triple,
    low: Triple,
    windows: Sequence[Box],
    blends: int,
    mirrors: int,
    slab_voxels: int,
) -> int:
    """Returns the most bytes that exist at once, beside the networks and the ROI itself.

    Args:
        model: labels and patch.
        roi: sizes (z, y, x) of the ROI's grid.
        low: sizes (z, y, x) of the network's grid.
        windows: where they lie in the padded image.
        blends: arrays of logits on the windows' hull.
        mirrors: how many axes are mirrored.
        slab_voxels: voxels of the ROI's grid that are computed at once.
    """
    voxels, image, covered = math.prod(roi), math.prod(low), hull(windows).voxels
    padded = math.prod(max(n, p) for n, p in zip(low, model.patch_size, strict=True))
    labels, lesions = model.output_channels, 1 + len(model.lesion_labels)
    batch = labels * math.prod(model.patch_size) * windows_at_once(model.patch_size)
    preparing = 2 * voxels + PREPARED_ARRAYS * image
    held = image + padded + (blends * labels + 2) * covered
    outputs = (2 if mirrors == 0 else 4) * batch
    to_grid = (1 + lesions) * voxels + SLAB_ARRAYS * labels * min(slab_voxels, voxels)
    if model.processing is not None:  # nnU-Net resamples whole arrays, in double precision
        preparing = (2 + DOUBLE_ARRAYS) * voxels + PREPARED_ARRAYS * image
        to_grid = (1 + lesions + labels + DOUBLE_ARRAYS) * voxels + 3 * labels * image
    return FLOAT_BYTES * max(preparing, held + max(outputs, to_grid))
