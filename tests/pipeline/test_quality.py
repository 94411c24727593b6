"""Quality figures of whole cases, by hand: small CTs, stages without networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.geometry import Box
from ctcore.quality.outlier import FeatureReference
from ctcore.quality.reference import Limits, QualityReference
from ctcore.volume import Geometry, Volume
from pipeline.bundle import Bundle
from pipeline.case import CaseResult, process_case
from pipeline.clock import Clock
from pipeline.stages import Stages
from tests.pipeline.conftest import FakeLocation, FakePrediction, OneFold

SHAPE = (20, 60, 60)
GEOMETRY = Geometry(SHAPE, (1.0, 1.0, 2.0))
LABELS = {"background": 0, "lesion": 1, "veins": 2, "arteries": 3, "pancreas": 4}
ROI = Box((2, 10, 10), (18, 50, 50))
GLAND = (slice(8, 12), slice(25, 35), slice(20, 40))


def ct(**changes: Any) -> Volume:
    """Returns a CT with fat, a gland and two vessels in a portal-venous phase."""
    array = np.full(SHAPE, -100, np.int16)
    array[GLAND] = changes.get("pancreas", 100)
    array[5:15, 12:20, 12:20] = changes.get("veins", 160)
    array[5:15, 40:48, 12:20] = changes.get("arteries", 150)
    return Volume(array, changes.get("geometry", GEOMETRY))


def drawing() -> npt.NDArray[np.uint8]:
    """Returns the labels of the whole CT."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[GLAND] = LABELS["pancreas"]
    labels[5:15, 12:20, 12:20] = LABELS["veins"]
    labels[5:15, 40:48, 12:20] = LABELS["arteries"]
    return labels


@dataclass
class Locator:
    """Says where the pancreas is, whatever the CT."""

    box: Box = ROI
    mask: npt.NDArray[Any] = field(default_factory=lambda: drawing() == LABELS["pancreas"])
    flags: tuple[str, ...] = ()

    def locate(self, volume: Volume, /) -> FakeLocation:
        mask = volume.with_array(self.mask.astype(np.uint8))
        return FakeLocation(self.box, "localizer", self.flags, mask, 1.0)


@dataclass
class Predictor(OneFold):
    """Says what it is told to."""

    drawn: npt.NDArray[np.uint8] = field(default_factory=drawing)
    p: float = 0.3
    folds: tuple[float, ...] = ()
    features: npt.NDArray[np.float32] | None = None
    box: Box = ROI
    labels: dict[str, int] = field(default_factory=lambda: LABELS)
    lesion_label: int = 1

    def predict(self, roi: Volume, /) -> FakePrediction:
        return FakePrediction(
            np.zeros(roi.geometry.shape, np.float32),
            self.drawn[self.box.slices],
            {"non-PDAC": 1 - self.p, "PDAC": self.p},
            fold_probabilities=tuple({"non-PDAC": 1 - p, "PDAC": p} for p in self.folds),
            features=self.features,
        )


def run(bundle: Bundle, volume: Volume | None = None, **changes: Any) -> CaseResult:
    """Computes a case with changes to the stages (`locator`, `predictor`) or what they know."""
    segmentations = changes.pop("segmentations", True)
    stages = Stages(changes.pop("locator", Locator()), changes.pop("predictor", Predictor()), **changes)
    return process_case(volume or ct(), stages, bundle, Clock(), segmentations=segmentations)


@pytest.fixture
def fitted(make_bundle: Callable[..., Bundle]) -> Bundle:
    """A bundle with limits."""
    limits = {
        "slice_spacing_mm": Limits(low=0.5, high=5),
        "noise_hu": Limits(low=0, high=20),
        "stage_dice": Limits(low=0.5),
        "head_map_difference": Limits(high=0.5),
        "fold_spread": Limits(high=0.4),
    }
    return make_bundle(quality=QualityReference(cases=100, fitted_on="made up", limits=limits))


def test_figures_by_hand(fitted: Bundle) -> None:
    result = run(fitted, predictor=Predictor(folds=(0.2, 0.5, 0.4)))
    quality = result.quality
    assert quality.slice_spacing_mm == 2
    assert (quality.veins_hu, quality.arteries_hu, quality.pancreas_hu) == (160, 150, 100)
    assert quality.contrast_phase == "portal-venous"
    assert quality.image_border_mm == 16  # eight slices of 2 mm below, 8 above
    assert quality.roi_border_mm == 10  # columns 20 to 39 of an ROI from 10 to 49
    assert quality.metal_ml == 0
    assert quality.stage_dice == 1
    assert quality.head_map_difference == pytest.approx(0.3)
    assert quality.fold_spread == pytest.approx(0.3)
    assert result.flags == ()
    assert "unlike_training_data" in quality.unchecked
    assert result.record_fields()["quality"] == quality


@pytest.mark.parametrize(
    ("hu", "phase"),
    [
        ({"veins": 40, "arteries": 42, "pancreas": 40}, "unenhanced"),
        ({"veins": 110, "arteries": 300, "pancreas": 110}, "arterial"),
        ({"veins": 90, "arteries": 92, "pancreas": 70}, "weak or delayed"),
    ],
)
def test_another_contrast_phase_is_flagged(fitted: Bundle, hu: dict[str, int], phase: str) -> None:
    result = run(fitted, ct(**hu))
    assert result.quality.contrast_phase == phase
    assert result.flags == ("contrast_phase_not_portal_venous",)


def test_thick_slices_and_noise_are_flagged(fitted: Bundle) -> None:
    thick = run(fitted, ct(geometry=Geometry(SHAPE, (1.0, 1.0, 7.5))))
    assert thick.flags == ("slice_spacing_outside_training_range",)
    tissue = np.random.default_rng(0).normal(60, 30, SHAPE)
    noisy = run(fitted, Volume(np.where(drawing() > 0, ct().array, tissue.round()).astype(np.int16), GEOMETRY))
    assert noisy.quality.noise_hu == pytest.approx(30, rel=0.15)
    assert noisy.flags == ("noise_outside_training_range",)


def test_metal_beside_the_gland_is_flagged(fitted: Bundle) -> None:
    volume = ct()
    volume.array[9:12, 36:38, 30:34] = 3071
    result = run(fitted, volume)
    assert result.quality.metal_ml == pytest.approx(24 * 2 / 1000)
    assert result.flags == ("metal_near_pancreas",)


def test_a_gland_at_the_images_border_is_flagged_once(fitted: Bundle) -> None:
    cut = drawing()
    cut[12:20][:, 25:35, 20:40] = LABELS["pancreas"]  # up to the last slice
    box = Box((2, 10, 10), (20, 50, 50))
    predictor, locator = Predictor(drawn=cut, box=box), Locator(box=box, mask=cut == LABELS["pancreas"])
    result = run(fitted, predictor=predictor, locator=locator)
    assert result.quality.image_border_mm == 0
    assert result.quality.roi_border_mm == 10  # the last slice is the image's border, not the ROI's
    assert result.flags == ("field_of_view_truncated",)
    told = run(fitted, predictor=predictor, locator=replace(locator, flags=("field_of_view_truncated",)))
    assert told.flags == ("field_of_view_truncated",)


def test_a_gland_at_the_rois_border_is_flagged(fitted: Bundle) -> None:
    box = Box((2, 10, 20), (18, 50, 50))  # the gland begins at its first column
    result = run(fitted, predictor=Predictor(box=box), locator=Locator(box=box))
    assert result.quality.roi_border_mm == 0
    assert "pancreas_at_roi_border" in result.flags
    assert "field_of_view_truncated" not in result.flags


def test_stages_that_disagree_are_flagged(fitted: Bundle) -> None:
    elsewhere = np.roll(drawing() == LABELS["pancreas"], (0, 8, 5), axis=(0, 1, 2))
    result = run(fitted, locator=Locator(mask=elsewhere))
    assert result.quality.stage_dice == pytest.approx(2 * 4 * 2 * 15 / (2 * 4 * 10 * 20))
    assert result.flags == ("stages_disagree",)


def test_head_and_map_that_disagree_are_flagged(fitted: Bundle) -> None:
    result = run(fitted, predictor=Predictor(p=0.9))  # and no candidate
    assert result.quality.head_map_difference == pytest.approx(0.9)
    assert result.flags == ("head_and_map_disagree",)


def test_folds_that_disagree_are_flagged(fitted: Bundle) -> None:
    assert run(fitted, predictor=Predictor(folds=(0.1, 0.6))).flags == ("folds_disagree",)
    alone = run(fitted, predictor=Predictor(folds=(0.6,)))
    assert alone.quality.fold_spread is None
    assert "fewer than two folds" in alone.quality.unchecked["folds_disagree"]


def test_a_case_unlike_the_reference_is_flagged(fitted: Bundle) -> None:
    reference = FeatureReference(
        np.zeros(3, np.float32), np.eye(3, dtype=np.float32), np.linspace(0.1, 2, 100, dtype=np.float32)
    )
    far = run(fitted, features=reference, predictor=Predictor(features=np.array([0, 3, 4], np.float32)))
    assert (far.quality.feature_distance, far.quality.feature_percentile) == (5, 100)
    assert far.flags == ("unlike_training_data",)
    near = run(fitted, features=reference, predictor=Predictor(features=np.array([0, 1.05, 0], np.float32)))
    assert near.quality.feature_percentile == 50
    assert near.flags == ()


def test_an_older_bundle_says_what_it_does_not_check(bundle: Bundle) -> None:
    result = run(bundle, ct(geometry=Geometry(SHAPE, (1.0, 1.0, 7.5))), predictor=Predictor(p=0.9))
    assert result.flags == ()
    assert result.quality.slice_spacing_mm == 7.5
    assert set(result.quality.unchecked) == {
        "slice_spacing_outside_training_range",
        "noise_outside_training_range",
        "stages_disagree",
        "head_and_map_disagree",
        "folds_disagree",
        "unlike_training_data",
    }


def test_without_segmentations_what_they_tell_is_unchecked(fitted: Bundle) -> None:
    quality = run(fitted, segmentations=False).quality
    assert quality.contrast_phase is None
    assert quality.stage_dice is None
    assert quality.image_border_mm == 16  # of stage 1's mask
    assert {"contrast_phase_not_portal_venous", "stages_disagree", "pancreas_at_roi_border"} <= set(quality.unchecked)
