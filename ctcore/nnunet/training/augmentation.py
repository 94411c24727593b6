"""Changes of nnU-Net's augmentation: a repeatable one, and a lighter one for small networks on a CPU."""

from __future__ import annotations

from typing import Any

HEAVY = ("GaussianBlurTransform", "SimulateLowResolutionTransform")
"""Transforms that cost more than a training step of a small network."""


def light_transforms(transforms: Any) -> Any:
    """Returns nnU-Net's composed transforms without the heavy ones, and with label maps sampled at the nearest voxel.

    nnU-Net interpolates each label by itself, which costs as much again as all else together.

    Args:
        transforms: what nnU-Net's `get_training_transforms` returns, a composition of transforms some of which are
            wrapped in a random application.
    """
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

    kept = [t for t in transforms.transforms if type(getattr(t, "transform", t)).__name__ not in HEAVY]
    for transform in kept:
        if hasattr(transform, "mode_seg"):
            transform.mode_seg = "nearest"
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
