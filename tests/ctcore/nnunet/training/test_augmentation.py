"""The lighter augmentation keeps everything but the heavy transforms, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ctcore.nnunet.training.augmentation import BEND_REACH, HEAVY, light_transforms, warped_transforms


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


def test_warping_bends_without_folding() -> None:
    import numpy as np
    import torch
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

    size = (24, 20, 28)
    spatial = SpatialTransform(size, 0, False, rotation=(-0.5, 0.5), scaling=(0.7, 1.4))
    other = object()
    assert warped_transforms(Composed([spatial, other]), 1.0).transforms == [spatial, other]
    np.random.seed(0)  # noqa: NPY002 - the loader's generator
    torch.manual_seed(0)
    for _ in range(20):
        parameters = spatial.get_parameters(image=torch.zeros(1, 30, 30, 30))
        assert parameters["affine"] is not None
        offsets = parameters["elastic_offsets"].numpy()
        assert 0 < np.abs(offsets).max() <= BEND_REACH * 0.3 * max(size)
        stretch = np.stack([np.stack(np.gradient(offsets[..., axis]), -1) for axis in range(3)], -2) + np.eye(3)
        assert np.linalg.det(stretch).min() > 0


def test_a_share_of_none_warps_nothing() -> None:
    import torch
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

    spatial = SpatialTransform((4, 4, 4), 0, False, p_rotation=0.2, p_scaling=0.2)
    warped_transforms(Composed([spatial]), 0.0)
    assert spatial.get_parameters(image=torch.zeros(1, 4, 4, 4))["grid"] is None
