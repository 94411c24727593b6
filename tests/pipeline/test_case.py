"""The way of one case: everything comes back on the input's own grid, in whatever orientation it was stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctcore.detection.calibration import Calibration, IsotonicCurve, OperatingPoint
from ctcore.detection.candidates import FLAG_NOT_GATED, CandidateSettings
from ctcore.detection.fusion import FusionSettings
from ctcore.files import read_ct
from ctcore.resample import resampled_geometry
from ctcore.volume import Volume
from pipeline.bundle import Bundle
from pipeline.case import process_case
from pipeline.clock import Clock
from pipeline.stages import LocatorStage, PancreasLocation, Stages


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "LAI", "PIR", "SAL"])
def test_maps_lie_where_the_ct_has_the_lesion(
    tmp_path: Path, make_ct: Callable[..., Path], bundle: Bundle, stages: Stages, orientation: str
) -> None:
    ct = read_ct(make_ct(tmp_path / "case.nii.gz", orientation=orientation))
    result = process_case(ct, stages, bundle, Clock())

    detection, labels = result.detection_inset().whole(), result.segmentation_inset()
    assert labels is not None
    segmentation = labels.whole()
    assert detection.geometry == ct.geometry
    assert segmentation.geometry == ct.geometry
    assert (detection.array.dtype.name, segmentation.array.dtype.name) == ("float32", "uint8")
    np.testing.assert_array_equal(detection.array, np.where(ct.array == 200, np.float32(0.75), 0))
    np.testing.assert_array_equal(segmentation.array, np.select([ct.array == 200, ct.array == 100], [1, 4], 0))

    roi = result.record_fields()["roi"]
    bright = np.argwhere(ct.array >= 100)
    assert roi.start == tuple(bright.min(axis=0) - 1)
    assert roi.stop == tuple(bright.max(axis=0) + 2)
    (candidate,) = result.candidates
    lesion = np.argwhere(ct.array == 200)
    assert candidate["box"] == {"start": lesion.min(axis=0).tolist(), "stop": (lesion.max(axis=0) + 1).tolist()}
    np.testing.assert_allclose(
        candidate["centroid_lps_mm"], ct.geometry.index_to_physical(lesion.mean(axis=0)), atol=1e-3
    )
    assert candidate["mean_hu"] == 200
    assert candidate["voxels"] == 3 * 4 * 4
    corners = ct.geometry.index_to_physical(np.array([lesion.min(axis=0) - 0.5, lesion.max(axis=0) + 0.5]))
    np.testing.assert_allclose(candidate["box_lps_mm"]["low"], corners.min(axis=0), atol=1e-3)
    np.testing.assert_allclose(candidate["box_lps_mm"]["high"], corners.max(axis=0), atol=1e-3)
    assert (candidate["pancreas_distance_mm"], candidate["pancreas_share"]) == (0.0, 1.0)


def test_what_happened_to_the_networks_is_a_flag(
    tmp_path: Path, make_ct: Callable[..., Path], bundle: Bundle, stages: Stages
) -> None:
    ct = read_ct(make_ct(tmp_path / "case.nii.gz"))
    told = replace(stages, flags=lambda: ("gpu_out_of_memory", "gpu_out_of_memory"))
    assert process_case(ct, told, bundle, Clock()).flags.count("gpu_out_of_memory") == 1
    assert "gpu_out_of_memory" not in process_case(ct, stages, bundle, Clock()).flags


def test_stages_see_lps(tmp_path: Path, make_ct: Callable[..., Path], bundle: Bundle, stages: Stages) -> None:
    process_case(read_ct(make_ct(tmp_path / "case.nii.gz", orientation="RAS")), stages, bundle, Clock())
    (seen,) = stages.localizer.seen  # type: ignore[attr-defined]
    np.testing.assert_array_equal(seen.matrix, np.eye(3))


def test_score_by_hand(tmp_path: Path, make_ct: Callable[..., Path], bundle: Bundle, stages: Stages) -> None:
    clock = Clock()
    result = process_case(read_ct(make_ct(tmp_path / "case.nii.gz")), stages, bundle, clock)
    fields = result.record_fields()
    assert fields["score"] == pytest.approx(0.5 * 0.9 + 0.5 * 0.75)
    assert fields["scores"]["non-PDAC"] == pytest.approx(0.5 * 0.1 + 0.5 * 0.25)
    assert fields["label"] == "PDAC"
    assert fields["detection_max"] == 0.75
    assert fields["pancreas_ml"] == pytest.approx(6 * 7 * 13 * 0.7 * 0.9 * 2.5 / 1000, rel=1e-5)
    assert list(clock.seconds) == ["locate", "predict", "detect", "measure"]


def test_a_score_is_told_against_the_operating_points(
    tmp_path: Path, make_ct: Callable[..., Path], make_bundle: Callable[..., Bundle], stages: Stages
) -> None:
    points = [
        OperatingPoint(target="sensitivity", value=v, threshold=t, sensitivity=v, specificity=0.5)
        for v, t in ((0.8, 0.9), (0.95, 0.825))
    ]
    curve = IsotonicCurve(scores=(0.8, 0.85), probabilities=(0.6, 0.8))
    calibration = Calibration(cases=4, positive=2, fitted_on="four", isotonic=curve, operating_points=tuple(points))
    made = make_bundle(calibration=calibration)
    fields = process_case(read_ct(make_ct(tmp_path / "a.nii.gz")), stages, made, Clock()).record_fields()
    assert fields["score"] == pytest.approx(0.825)
    assert fields["calibrated_probability"] == pytest.approx(0.7)
    assert fields["operating_points"]["sensitivity 0.8"] is False
    assert "sensitivity 0.95" in fields["operating_points"]
    assert "- sensitivity 0.8: score >= 0.9000, sensitivity 0.800" in (made.folder / "MODEL_CARD.md").read_text()


def test_candidates_weighed_by_the_class(
    tmp_path: Path, make_ct: Callable[..., Path], make_bundle: Callable[..., Bundle], stages: Stages
) -> None:
    ct = read_ct(make_ct(tmp_path / "case.nii.gz"))
    weighed = process_case(ct, stages, make_bundle(fusion=FusionSettings(weigh_candidates=True)), Clock())
    assert weighed.fused.terms["detection_max"] == 0.75
    assert weighed.fused.score == pytest.approx((0.9 + 0.75) / 2)  # made before
    assert weighed.detection_max == pytest.approx(0.9 * 0.75)
    assert weighed.candidates[0]["confidence"] == pytest.approx(0.9 * 0.75)


def test_case_without_pancreas_is_scored_and_flagged(
    tmp_path: Path, make_ct: Callable[..., Path], make_bundle: Callable[..., Bundle], stages: Stages
) -> None:
    array = np.full((12, 20, 24), -1000, dtype=np.int16)
    array[2:9] = 30
    ct = read_ct(make_ct(tmp_path / "case.nii.gz", array=array))
    result = process_case(ct, stages, make_bundle(demo=True), Clock())
    assert result.flags == ("pancreas_not_found", "roi_fallback", "demo_model")
    assert result.record_fields()["score"] == pytest.approx(0.5 * 0.2)
    assert result.candidates == ()
    assert result.detection_inset().array.max() == 0


@dataclass
class CoarseLocalizer:
    """Answers the fake localizer's ROI with a pancreas of some voxels on a grid of half as many along every axis."""

    inner: LocatorStage
    voxels: tuple[tuple[int, int, int], ...]

    def locate(self, ct: Volume, /) -> PancreasLocation:
        z, y, x = (size // 2 for size in ct.geometry.shape)
        mask = np.zeros((z, y, x), dtype=np.uint8)
        for voxel in self.voxels:
            mask[voxel] = 1
        found: Any = self.inner.locate(ct)
        location: PancreasLocation = replace(found, pancreas=Volume(mask, resampled_geometry(ct.geometry, (z, y, x))))
        return location


def test_the_pancreas_is_taken_from_the_localizers_grid(
    tmp_path: Path, make_ct: Callable[..., Path], bundle: Bundle, stages: Stages
) -> None:
    ct = read_ct(make_ct(tmp_path / "case.nii.gz", orientation="RAS"))
    # the lesion fills z 4..6, y 6..9, x 5..8 of the LPS grid; coarse voxel (2, 3, 3) fills z 4..5, y 6..7, x 6..7
    for voxel, distance, share in (((2, 3, 3), 0.0, 8 / 48), ((2, 3, 6), 4 * 0.7, 0.0)):
        coarse = Stages(CoarseLocalizer(stages.localizer, (voxel,)), stages.predictor)
        (candidate,) = process_case(ct, coarse, bundle, Clock()).candidates
        assert candidate["pancreas_distance_mm"] == pytest.approx(distance, rel=1e-5)
        assert candidate["pancreas_share"] == pytest.approx(share)


def test_a_bundle_may_gate_candidates_by_the_pancreas(
    tmp_path: Path, make_ct: Callable[..., Path], make_bundle: Callable[..., Bundle], stages: Stages
) -> None:
    bundle = make_bundle(candidates=CandidateSettings(pancreas_gate_mm=2.0))
    ct = read_ct(make_ct(tmp_path / "case.nii.gz"))
    away = Stages(CoarseLocalizer(stages.localizer, ((2, 3, 6),)), stages.predictor)
    result = process_case(ct, away, bundle, Clock())
    assert (result.candidates, result.flags) == ((), ())
    nowhere = Stages(CoarseLocalizer(stages.localizer, ()), stages.predictor)
    result = process_case(ct, nowhere, bundle, Clock())
    assert result.flags == (FLAG_NOT_GATED,)
    (candidate,) = result.candidates
    assert (candidate["pancreas_distance_mm"], candidate["pancreas_share"]) == (None, None)
