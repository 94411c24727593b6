"""Lesions drawn into glands that have none, so that few annotated lesions teach more.

A deformed ellipsoid of a drawn volume is placed at a drawn voxel of the gland and made darker than it, with a border as
blurred as drawn; the idea is that of synthetic tumours in liver CTs (Hu et al., CVPR 2023). The patch then counts as
one of the class with a lesion.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from stage2_multitask.patch_settings import SyntheticLesionSettings

Floats = npt.NDArray[np.float64]

RADII = (0.7, 1.4)
"""Semi-axes of the ellipsoid, in radii of the sphere of its volume."""
ROUGHNESS = 0.25
"""Standard deviation of the surface, in radii; it is smooth over half a radius."""
BORDER_MM = (1.0, 8.0)
"""Width of the border."""
TEXTURE_HU = 6.0
"""Standard deviation of what varies inside a lesion."""

SPREADING = 0.5
"""Share of the lesions that grow beyond the gland."""
BACKGROUND = 0


@dataclass(frozen=True)
class SyntheticLesions:
    """A transform of a sample (image (1, z, y, x), segmentation (1, z, y, x)), as batchgenerators' are.

    Attributes:
        settings: how often, and which contrast and volume.
        spacing_mm: voxel size (z, y, x).
        hu: HU of one unit of the normalised image.
        lesion: label that a lesion gets.
        real: labels that are lesion; a patch that holds one is left alone.
        gland: labels in which a lesion begins, and which it replaces; it also replaces background, half of the time.
    """

    settings: SyntheticLesionSettings
    spacing_mm: tuple[float, float, float]
    hu: float
    lesion: int
    real: Collection[int]
    gland: Collection[int]

    def __call__(self, **sample: Any) -> dict[str, Any]:
        """Returns the sample, with a lesion in some of those that hold gland and no lesion."""
        labels = sample["segmentation"][0].numpy()
        if np.random.uniform() >= self.settings.chance or np.isin(labels, list(self.real)).any():
            return sample
        gland = np.isin(labels, list(self.gland))
        if not gland.any():
            return sample
        image, labels = self.draw(sample["image"][0].numpy(), labels, gland)
        return sample | {"image": torch.from_numpy(image)[None], "segmentation": torch.from_numpy(labels)[None]}

    def draw(
        self, image: npt.NDArray[np.float32], labels: npt.NDArray[Any], gland: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
        """Returns image and labels (z, y, x) with a lesion at a drawn voxel of the gland."""
        low, high = np.log(self.settings.volume_ml)
        radius = (3 / (4 * np.pi) * 1000 * np.exp(np.random.uniform(low, high))) ** (1 / 3)
        border = min(np.random.uniform(*BORDER_MM), radius)
        contrast = np.random.uniform(*self.settings.contrast_hu) / self.hu
        voxels = np.argwhere(gland)
        centre = voxels[np.random.randint(len(voxels))]

        spacing = np.asarray(self.spacing_mm)
        reach = np.ceil((RADII[1] * radius + border) / spacing).astype(int)
        box = tuple(slice(max(c - r, 0), c + r + 1) for c, r in zip(centre, reach, strict=True))
        inside = ellipsoid(gland[box].shape, centre - [part.start for part in box], spacing, radius)
        weight = np.clip(inside * radius / border + 0.5, 0, 1)
        replaced = gland[box] | (labels[box] == BACKGROUND if np.random.uniform() < SPREADING else False)
        weight[~replaced] = 0

        level = np.median(image[box][gland[box]]) - contrast
        texture = smooth_noise(weight.shape, radius / 2 / spacing) * TEXTURE_HU / self.hu
        darker = np.where(gland[box], image[box] - contrast, level) + texture
        image, labels = image.copy(), labels.copy()
        image[box] = (1 - weight) * image[box] + weight * darker
        labels[box][weight > 0.5] = self.lesion
        return image, labels


def ellipsoid(shape: tuple[int, ...], centre: Floats, spacing_mm: Floats, radius: float) -> Floats:
    """Returns how deep (z, y, x) a voxel lies in a drawn ellipsoid: 1 at its centre, 0 on its rough surface."""
    axes = np.linalg.qr(np.random.normal(size=(3, 3)))[0]
    lengths = np.random.uniform(*RADII, size=3)
    lengths *= radius / np.prod(lengths) ** (1 / 3)
    place = (np.indices(shape).reshape(3, -1).T - centre) * spacing_mm
    distance = np.linalg.norm(place @ axes / lengths, axis=1).reshape(shape)
    return 1 - distance + ROUGHNESS * smooth_noise(shape, radius / 2 / spacing_mm)


def smooth_noise(shape: tuple[int, ...], sigma: Floats) -> Floats:
    """Returns noise (z, y, x) of mean 0 and standard deviation 1 that is smooth over `sigma` voxels."""
    noise = ndimage.gaussian_filter(np.random.normal(size=shape), sigma, mode="wrap")
    return np.asarray((noise - noise.mean()) / max(float(noise.std()), 1e-12))
