"""The lighter augmentation keeps everything but the heavy transforms, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ctcore.nnunet.training.augmentation import HEAVY, light_transforms


class GaussianBlurTransform:
    """Named like nnU-Net's."""


class SimulateLowResolutionTransform:
    """Named like nnU-Net's."""


class GammaTransform:
    """Named like nnU-Net's."""


@dataclass
class Randomly:
    transform: Any


@dataclass
class Composed:
    transforms: list[Any] = field(default_factory=list)


def test_heavy_transforms_are_left_out() -> None:
    rotate, gamma = object(), Randomly(GammaTransform())
    heavy = [GaussianBlurTransform(), Randomly(GaussianBlurTransform()), Randomly(SimulateLowResolutionTransform())]
    kept = light_transforms(Composed([rotate, *heavy, gamma]))
    assert kept.transforms == [rotate, gamma]


def test_the_names_are_nnunets() -> None:
    from batchgeneratorsv2.transforms.intensity import gaussian_noise  # noqa: F401 - the package is there
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform as Blur
    from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform as LowResolution

    assert {Blur.__name__, LowResolution.__name__} == set(HEAVY)
