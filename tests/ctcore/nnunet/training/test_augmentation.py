"""The lighter augmentation keeps everything but the heavy transforms, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

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


def test_label_maps_are_turned_without_new_values() -> None:
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

    spatial = SpatialTransform((8, 8), 0, random_crop=False, p_rotation=1.0, rotation=0.5)
    kept = light_transforms(Composed([spatial]))
    labels = torch.zeros(1, 8, 8, dtype=torch.int16)
    labels[:, 2:6, 2:6] = 4
    turned = kept(image=torch.zeros(1, 8, 8), segmentation=labels)["segmentation"]
    assert kept.transforms[0].mode_seg == "nearest"
    assert turned.shape == labels.shape
    assert not torch.equal(turned, labels)
    assert set(turned.unique().tolist()) == {0, 4}


def test_the_names_are_nnunets() -> None:
    from batchgeneratorsv2.transforms.intensity import gaussian_noise  # noqa: F401 - the package is there
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform as Blur
    from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform as LowResolution

    assert {Blur.__name__, LowResolution.__name__} == set(HEAVY)
