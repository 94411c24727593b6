"""Synthetic lesions: where they lie, how dark and how large they are, and what is left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError

from stage2_multitask.patch_settings import SyntheticLesionSettings
from stage2_multitask.synthetic_lesions import RADII, SyntheticLesions, ellipsoid, smooth_noise

LESION, VEIN, PANCREAS, DUCT = 1, 2, 4, 5
SPACING = (3.0, 2.0, 2.0)
HU = 50.0
GLAND = (slice(4, 16), slice(6, 26), slice(6, 26))


def settings(**changes: Any) -> SyntheticLesionSettings:
    given = {"share": 1, "class_name": "PDAC", "contrast_hu": (40, 40), "volume_ml": (4, 4)} | changes
    return SyntheticLesionSettings.model_validate(given)


def transform(**changes: Any) -> SyntheticLesions:
    return SyntheticLesions(settings(**changes), SPACING, HU, LESION, (LESION,), (PANCREAS, DUCT))


def sample() -> dict[str, torch.Tensor]:
    """A gland of 1.0 beside fat of -3.0, a vein of 3.0 through it, and a border that is not image."""
    image, labels = np.full((20, 32, 32), -3.0, np.float32), np.zeros((20, 32, 32), np.int16)
    image[GLAND], labels[GLAND] = 1.0, PANCREAS
    image[:, 14:17, 14:17], labels[:, 14:17, 14:17] = 3.0, VEIN
    labels[:, :2] = -1
    return {"image": torch.from_numpy(image)[None], "segmentation": torch.from_numpy(labels)[None]}


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every patch gets a lesion."""
    monkeypatch.setattr(SyntheticLesionSettings, "chance", 1.0)


def arrays(given: dict[str, Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    return given["image"][0].numpy(), given["segmentation"][0].numpy()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    np.random.seed(0)


@pytest.mark.usefixtures("always")
def test_lesions_are_darker_gland_and_stop_at_vessels() -> None:
    spread = 0
    for _ in range(30):
        old_image, old_labels = arrays(sample())
        image, labels = arrays(transform()(**sample()))
        lesion, kept = labels == LESION, labels == old_labels
        assert lesion.any() and (lesion | kept).all()
        assert not np.isin(old_labels[lesion], (VEIN, -1)).any()
        untouched = np.isin(old_labels, (VEIN, -1))
        assert (image[untouched] == old_image[untouched]).all()
        inner = lesion & (old_labels == PANCREAS)
        assert 0.05 < image[inner].mean() < 0.55  # 1 - 40 / HU = 0.2 within, half as dark at the border
        spread += bool((old_labels[lesion] == 0).any())
    assert 0 < spread < 30


@pytest.mark.usefixtures("always")
def test_the_sample_itself_is_not_changed() -> None:
    given = sample()
    transform()(**given)
    assert all(torch.equal(value, sample()[name]) for name, value in given.items())


def test_volumes_are_those_asked_for() -> None:
    image, labels = np.zeros((40, 60, 60), np.float32), np.full((40, 60, 60), PANCREAS, np.int16)
    middle = np.zeros(labels.shape, bool)
    middle[20, 30, 30] = True
    voxel_ml = np.prod(SPACING) / 1000
    drawn = transform(volume_ml=(8, 8))
    volumes = []
    for _ in range(20):
        _, found = drawn.draw(image, np.where(middle, PANCREAS, 0).astype(np.int16), middle)
        assert (found == LESION).sum() >= 1
        _, found = drawn.draw(image, labels, labels == PANCREAS)
        volumes.append((found == LESION).sum() * voxel_ml)
    assert np.quantile(volumes, 0.75) == pytest.approx(8, rel=0.4)  # many reach beyond the patch


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("label", [LESION, 0])
def test_patches_with_a_lesion_or_without_gland_are_left_alone(label: int) -> None:
    given = sample()
    if label == LESION:
        given["segmentation"][0, 10, 10, 10] = LESION
    else:
        given["segmentation"][:] = 0
    changed = transform()(**given)
    assert all(changed[name] is value for name, value in given.items())


def test_the_share() -> None:
    drawn = transform(share=0.5)
    lesions = sum(bool((drawn(**sample())["segmentation"] == LESION).any()) for _ in range(300))
    assert 70 < lesions < 130  # a third


def test_depth_without_roughness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stage2_multitask.synthetic_lesions.ROUGHNESS", 0.0)
    spacing = np.array([2.0, 1.0, 1.0])
    for _ in range(5):
        depth = ellipsoid((21, 41, 41), np.array([10, 20, 20]), spacing, 8.0)
        assert depth[10, 20, 20] == 1
        assert (depth > 0).sum() * 2 == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.05)
        ratio = RADII[1] / RADII[0]
        distances = np.linalg.norm((np.argwhere(depth > 0) - [10, 20, 20]) * spacing, axis=1)
        assert 8 * 0.95 < distances.max() <= 8 * ratio


def test_smooth_noise() -> None:
    noise = smooth_noise((12, 14, 16), np.array([1.0, 2.0, 2.0]))
    assert (noise.mean(), noise.std()) == (pytest.approx(0, abs=1e-12), pytest.approx(1))
    assert np.abs(np.diff(noise, axis=1)).mean() < 0.6
    assert smooth_noise((1, 1, 1), np.array([1.0, 1.0, 1.0])) == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"share": 0}, "greater than 0"),
        ({"volume_ml": (3, 2)}, r"volume_ml \[3.0, 2.0\] begins above its end"),
        ({"contrast_hu": (0, 2)}, "greater than 0"),
    ],
)
def test_impossible_settings(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        settings(**changes)
