"""Changes of nnU-Net's augmentation: a repeatable one, and a lighter one for small networks on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

HEAVY = ("GaussianBlurTransform", "SimulateLowResolutionTransform")
"""Transforms that cost more than a training step of a small network."""

BEND_WIDTH = (0.1, 0.3)
"""Standard deviation of an elastic field's smoothing, as a share of the patch."""
BEND_REACH = 0.4
"""Largest displacement in these standard deviations: no tissue folds over."""


def light_transforms(transforms: Any) -> Any:
    """Returns nnU-Net's composed transforms without the heavy ones.

    Args:
        transforms: what nnU-Net's `get_training_transforms` returns, a composition of transforms some of which are
            wrapped in a random application.
    """
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

    kept = [t for t in transforms.transforms if type(getattr(t, "transform", t)).__name__ not in HEAVY]
    return ComposeTransforms(kept)


def repeatable_transforms(transforms: Any) -> Any:
    """Returns nnU-Net's composed transforms with a blur whose result does not depend on the machine's load.

    nnU-Net's blur tries two algorithms that round differently and keeps the one that was faster.
    """
    for transform in transforms.transforms:
        inner = getattr(transform, "transform", transform)
        if hasattr(inner, "benchmark"):
            inner.benchmark = False
    return transforms


def warped_transforms(transforms: Any, share: float) -> Any:
    """Returns nnU-Net's composed transforms, which then turn, scale and bend patches more often.

    Args:
        transforms: what nnU-Net's `get_training_transforms` returns; changed in place.
        share: of the patches that are turned, of those that are scaled, of those that are bent; each drawn alone.
    """
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

    (spatial,) = (t for t in transforms.transforms if isinstance(t, SpatialTransform))
    spatial.p_rotation = spatial.p_scaling = spatial.p_elastic_deform = share
    spatial.elastic_deform_scale = BEND_WIDTH
    spatial.elastic_deform_magnitude = bend_magnitude
    return transforms


def bend_magnitude(*, patch_size: Sequence[int], dim: int, deformation_scale: float, **_: Any) -> float:
    """Draws the largest displacement of an elastic field along an axis, in voxels."""
    import numpy as np

    reach = np.random.uniform(0, BEND_REACH)  # noqa: NPY002 - the loader's generator
    return float(reach * deformation_scale * patch_size[dim])
