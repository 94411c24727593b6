"""Bundles of models that see cases as they are stored: the stages do, and everything else stays in LPS order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.files import read, read_ct
from ctcore.geometry import to_lps
from ctcore.inference.effort import Effort
from ctcore.volume import Geometry, Volume
from pipeline.as_stored import as_stored
from pipeline.bundle import Bundle
from pipeline.case import process_case
from pipeline.clock import Clock
from pipeline.stages import Stages
from tests.pipeline.conftest import LESION_PROBABILITY, FakeFolds, FakeLocalizer, FakePrediction, FakePredictor

ORIENTATIONS = ("LPS", "RAS", "SAR", "AIL")


class Watching(FakePredictor):
    """A predictor that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.rois: list[Volume] = []
        self.masks: list[npt.NDArray[Any]] = []
        self.grids: list[Geometry] = []

    def begin(self, roi: Volume, pancreas: npt.NDArray[Any], effort: Effort, /) -> FakeFolds:
        self.rois.append(roi)
        self.masks.append(pancreas)
        return super().begin(roi, pancreas, effort)

    def predict(self, roi: Volume, /) -> FakePrediction:
        return super().predict(roi)

    def calls(self, geometry: Geometry, pancreas: npt.NDArray[Any], effort: Effort, /) -> int:
        assert pancreas.shape == geometry.shape
        self.grids.append(geometry)
        return 1


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_stages_see_the_stored_order(
    tmp_path: Path, make_bundle: Callable[..., Bundle], make_ct: Callable[..., Path], orientation: str
) -> None:
    path = make_ct(tmp_path / "ct.nii.gz", orientation=orientation)
    stored = read_ct(path)
    localizer, predictor = FakeLocalizer(), Watching()
    stages = Stages(localizer, predictor)
    result = process_case(stored, stages, make_bundle(orientation="as-stored"), Clock())
    assert localizer.seen == [stored.geometry]
    roi = predictor.rois[0]
    box = result.reorientation.restore_box(result.box)
    np.testing.assert_array_equal(roi.array, stored.array[box.slices])
    np.testing.assert_allclose(roi.geometry.origin, stored.geometry.index_to_physical(box.start), atol=1e-3)
    np.testing.assert_allclose(roi.geometry.direction, stored.geometry.direction, atol=1e-6)
    assert roi.geometry.spacing == pytest.approx(stored.geometry.spacing)
    np.testing.assert_array_equal(predictor.masks[0] > 0, roi.array >= 100)
    assert predictor.grids[0].shape == roi.geometry.shape

    detection = result.detection_inset().whole()
    assert detection.geometry == stored.geometry
    np.testing.assert_array_equal(detection.array, np.where(stored.array >= 200, np.float32(LESION_PROBABILITY), 0))
    segmentation = result.segmentation_inset()
    assert segmentation is not None
    np.testing.assert_array_equal(segmentation.whole().array == 1, stored.array >= 200)
    # In LPS order the rest of a run is as with any other bundle.
    plain = process_case(stored, Stages(FakeLocalizer(), FakePredictor()), make_lps(make_bundle, tmp_path), Clock())
    assert result.record_fields()["candidates"] == plain.record_fields()["candidates"]
    assert result.record_fields()["roi"] == plain.record_fields()["roi"]
    np.testing.assert_array_equal(result.pancreas, plain.pancreas)


def make_lps(make_bundle: Callable[..., Bundle], tmp_path: Path) -> Bundle:
    """A bundle beside the one that is there."""
    (tmp_path / "bundle").rename(tmp_path / "first")
    (tmp_path / "exported").rename(tmp_path / "first exported")
    return make_bundle()


def test_one_class_maps_and_folds_alone_are_turned_too(tmp_path: Path, make_ct: Callable[..., Path]) -> None:
    class ByClass(FakePredictor):
        def predict(self, roi: Volume, /) -> FakePrediction:
            told = super().predict(roi)
            return FakePrediction(
                told.lesion_probability, told.segmentation, told.class_probabilities, {"a": told.lesion_probability}
            )

    stored = read(make_ct(tmp_path / "ct.nii.gz", orientation="SAR"))
    lps, way = to_lps(stored)
    predictor = as_stored(Stages(FakeLocalizer(), ByClass()), way).predictor
    running = predictor.begin(lps, np.zeros(lps.array.shape), Effort(1, False, "exact"))
    assert running.folds_left == 1
    alone = running.add_apart()
    lesion = lps.array >= 200
    np.testing.assert_array_equal(alone.class_lesion_probabilities["a"] > 0, lesion)
    np.testing.assert_array_equal(alone.segmentation == 1, lesion)
    assert predictor.memory(lps.geometry, np.zeros(lps.array.shape), predictor.effort, False) == 0
    assert predictor.labels["lesion"] == predictor.lesion_label == 1
    assert predictor.warm_up() == 0
