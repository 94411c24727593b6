"""Measurements of segmentations whose shapes are known: a straight gland, a lesion across it, a vein behind it."""

from __future__ import annotations

import logging
import math
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.errors import GeometryError
from ctcore.files import read_ct
from ctcore.geometry import Box
from ctcore.labels import PANORAMA_NAMES
from ctcore.morphometry.gland import Part
from ctcore.morphometry.measures import GlandMeasures, RegionMeasures
from ctcore.morphometry.region import Anatomy, measure_region
from ctcore.morphometry.vessels import MESENTERIC_VEIN, SPLENIC_VEIN
from ctcore.volume import Geometry, Volume
from pipeline import measurements
from pipeline.bundle import Bundle
from pipeline.case import CaseResult, process_case
from pipeline.clock import Clock
from pipeline.measurements import MOST_LESIONS, Segmented, measure, measured_or_flagged, measuring_bytes
from pipeline.measurements_record import MeasurementsRecord
from pipeline.stages import Stages
from tests.ctcore.morphometry.shapes import tube
from tests.pipeline.conftest import FakeLocalizer, FakeLocation, FakePrediction, OneFold

SHAPE, SPACING = (24, 36, 80), (2.0, 1.5, 1.5)
GEOMETRY = Geometry(SHAPE, (1.5, 1.5, 2.0))
VOXEL_ML = 2.0 * 1.5 * 1.5 / 1000
VALUES = dict(PANORAMA_NAMES)
LESION_BOX = (slice(14, 17), slice(7, 13), slice(56, 64))
"""Three slices of 9 x 12 mm, their centre 89 mm from the array's right side."""
DIAMETER_MM = math.hypot(12.0, 9.0 - 1.5)
"""Of the hull half a voxel outside the centres, in one axis at a time."""

GLAND = tube(SHAPE, SPACING, ((30.0, 14, 12), (30, 14, 106)), 9.0)
VEINS = tube(SHAPE, SPACING, ((4.0, 34, 50), (30, 34, 50)), 5.0) | tube(
    SHAPE, SPACING, ((30.0, 34, 50), (32, 36, 108)), 4.5
)


def drawing(lesion: bool = True) -> npt.NDArray[np.uint8]:
    """Returns a segmentation with PANORAMA's labels."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[VEINS] = VALUES["veins"]
    labels[GLAND] = VALUES["pancreas"]
    if lesion:
        labels[LESION_BOX] = VALUES["lesion"]
    return labels


def seen(labels: npt.NDArray[np.uint8] | None, values: dict[str, int] = VALUES, **changes: Any) -> Segmented:
    shape = SHAPE if labels is None else labels.shape
    return replace(Segmented(labels, values, np.zeros(shape, np.int32), GEOMETRY), **changes)


def measured(labels: npt.NDArray[np.uint8], values: dict[str, int] = VALUES, **changes: Any) -> MeasurementsRecord:
    found = measure(seen(labels, values, **changes))
    assert found is not None
    return found


def test_a_lesion_by_hand() -> None:
    candidates = np.zeros(SHAPE, np.int32)
    candidates[15, 7:13, 56:64], candidates[16, 7:10, 56:60] = 2, 1
    found = measured(drawing(), candidates=candidates)
    assert found.gland is not None
    assert found.gland.volume_ml == pytest.approx((GLAND.sum()) * VOXEL_ML)  # the lesion lies in it
    assert found.gland.length_mm == pytest.approx(94 + 2 * 9, rel=0.08)
    assert found.gland.thickness_mm == pytest.approx(18, abs=1.5)
    assert found.lesion_ml == pytest.approx(3 * 6 * 8 * VOXEL_ML)
    (lesion,) = found.lesions
    assert found.main_lesion is lesion
    assert (lesion.number, lesion.candidate) == (1, 2)
    assert lesion.volume_ml == found.lesion_ml
    assert lesion.diameter_mm == pytest.approx(DIAMETER_MM)
    assert lesion.position_mm == pytest.approx(89 - 3, abs=5)  # the head's end is at 3 mm
    assert lesion.part in (Part.BODY, Part.TAIL)
    assert set(lesion.contact) >= {MESENTERIC_VEIN, SPLENIC_VEIN}
    assert lesion.contact[SPLENIC_VEIN].degrees == 0
    assert found.duct is None
    assert found.bile_duct is None


def test_measured_as_by_the_morphometry_itself() -> None:
    labels = drawing()
    lesion = labels == 1
    direct = measure_region(Anatomy(pancreas=GLAND, veins=labels == 2), lesion.astype(np.uint8), GEOMETRY).as_dict()
    found = measured(labels).model_dump(mode="json")
    assert found["gland"] == direct["gland"]
    assert found["lesions"] == [{**direct["lesions"][0], "candidate": None}]


def test_without_a_lesion() -> None:
    found = measured(drawing(lesion=False))
    assert found.gland is not None
    assert (found.lesion_ml, found.lesions, found.main_lesion) == (0.0, (), None)
    never_heard_of_any = measured(drawing(lesion=False), {k: v for k, v in VALUES.items() if k != "lesion"})
    assert never_heard_of_any == found


def test_without_a_pancreas() -> None:
    labels = drawing()
    labels[labels == VALUES["pancreas"]] = 0
    labels[LESION_BOX] = 0
    assert measured(labels) == MeasurementsRecord(gland=None, duct=None, bile_duct=None, lesion_ml=0.0, lesions=())
    assert measured(np.zeros(SHAPE, np.uint8)).gland is None


@pytest.mark.parametrize(
    "values",
    [{}, {"background": 0, "lesion": 1}, {"background": 0, "kidney": 4, "spleen": 2}, {"veins": 2, "lesion": 1}],
)
def test_a_segmentation_without_the_names_is_not_measured(values: dict[str, int]) -> None:
    assert measure(seen(drawing(), values)) is None
    assert measured_or_flagged(seen(drawing(), values), "a") == (None, ())


def test_no_segmentation_is_not_measured() -> None:
    assert measured_or_flagged(seen(None), "a") == (None, ())


def test_one_slice() -> None:
    labels = drawing()[15:16]
    found = measured(labels, geometry=Geometry(labels.shape, (1.5, 1.5, 2.0)))
    assert found.lesion_ml == pytest.approx(6 * 8 * VOXEL_ML)
    (lesion,) = found.lesions
    assert lesion.diameter_mm == pytest.approx(DIAMETER_MM)
    assert found.gland is not None
    assert found.gland.volume_ml == pytest.approx(GLAND[15].sum() * VOXEL_ML)


def test_lesions_are_numbered_by_size_and_small_ones_left_out() -> None:
    labels = drawing(lesion=False)
    labels[14:16, 7:11, 20:23] = 1  # 24 voxels, 0.108 ml
    labels[14:17, 7:13, 56:64] = 1  # 144 voxels
    labels[15, 9, 40:42] = 1  # 2 voxels, 0.009 ml: no lesion, and no hole in the gland
    found = measured(labels)
    assert [round(lesion.volume_ml / VOXEL_ML) for lesion in found.lesions] == [144, 24]
    assert [lesion.number for lesion in found.lesions] == [1, 2]
    assert found.lesion_ml == pytest.approx((144 + 24 + 2) * VOXEL_ML)
    assert found.gland is not None
    assert found.gland.volume_ml == pytest.approx(GLAND.sum() * VOXEL_ML)


def test_only_the_largest_of_many_are_measured() -> None:
    labels = np.zeros((9, 36, 80), np.uint8)
    for number in range(MOST_LESIONS + 2):
        labels[1 : 4 + number % 3, 2:6, 1 + 6 * number : 5 + 6 * number] = 1
    found = measured(labels, geometry=Geometry(labels.shape, (1.5, 1.5, 2.0)))
    assert [round(each.volume_ml / VOXEL_ML) for each in found.lesions] == [80] * 4 + [64] * 4 + [48] * 2


def test_all_kinds_of_lesion_count() -> None:
    labels = drawing()
    labels[14:17, 7:13, 60:64] = 7
    found = measured(labels, VALUES | {"cystic lesion": 7})
    assert found.lesions == measured(drawing()).lesions


def test_names_in_the_wild_are_known() -> None:
    wild = {"Tumor": 1, "Veins": 2, "Arteries": 3, "Pancreas": 4, "Pancreatic duct": 5, "Common bile duct": 6}
    assert measured(drawing(), wild) == measured(drawing())


def nothing_but_nan(*_: Any) -> RegionMeasures:
    return RegionMeasures(GlandMeasures(float("nan"), 1.0, None, 1.0), None, None, ())


def off_the_grid(*_: Any) -> RegionMeasures:
    raise GeometryError("not on the grid")


@pytest.mark.parametrize(("broken", "why"), [(off_the_grid, "not on the grid"), (nothing_but_nan, "finite number")])
def test_what_cannot_be_measured_is_flagged_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: Callable[..., Any], why: str
) -> None:
    monkeypatch.setattr(measurements, "measure_region", broken)
    with caplog.at_level(logging.ERROR):
        assert measured_or_flagged(seen(drawing()), "case 7") == (None, ("no_measurements",))
    assert "case 'case 7' could not be measured" in caplog.text
    assert why in caplog.text


@pytest.mark.parametrize("spacing", [(2.0, 1.5, 1.5), (1.0, 0.75, 0.75)])
def test_memory_stays_within_what_is_counted(spacing: tuple[float, float, float]) -> None:
    repeats = [round(old / new) for old, new in zip(SPACING, spacing, strict=True)]
    labels = drawing()
    for axis, repeat in enumerate(repeats):
        labels = np.repeat(labels, repeat, axis)
    geometry = Geometry(labels.shape, spacing[::-1])
    case = seen(labels, geometry=geometry)
    measure(case)  # what is imported by it is not its own
    tracemalloc.start()
    measure(case)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= measuring_bytes(geometry) + (1 << 20)


def test_bytes_by_hand() -> None:
    assert measuring_bytes(Geometry((10, 10, 10), (0.75, 1.5, 3.0))) == 1000 * 24 + 500 * 100


class Locator:
    """Finds the gland of the drawing, and an ROI that leaves out the array's last columns."""

    def locate(self, volume: Volume, /) -> FakeLocation:
        mask = volume.with_array(GLAND.astype(np.uint8))
        return FakeLocation(Box((0, 0, 0), (SHAPE[0], SHAPE[1], 78)), "localizer", (), mask, 1.0)


class Drawing(OneFold):
    """Draws the drawing; its map is sure of the lesion."""

    labels, lesion_label = VALUES, 1

    def predict(self, roi: Volume, /) -> FakePrediction:
        drawn = drawing()[:, :, : roi.geometry.shape[2]]
        return FakePrediction((drawn == 1).astype(np.float32), drawn, {"non-PDAC": 0.2, "PDAC": 0.8})


def test_a_case_is_measured_on_its_roi(bundle: Bundle) -> None:
    result = processed(bundle, Stages(Locator(), Drawing()))
    whole = measured(drawing())
    assert result.measurements is not None
    (lesion,), (of_whole,) = result.measurements.lesions, whole.lesions
    assert lesion == of_whole.model_copy(update={"candidate": 1})
    assert result.candidates[0]["volume_ml"] == pytest.approx(lesion.volume_ml)
    assert result.record_fields()["measurements"] == result.measurements
    assert processed(bundle, Stages(Locator(), Drawing()), segmentations=False).measurements is None


def processed(bundle: Bundle, stages: Stages, **settings: Any) -> CaseResult:
    ct = Volume(np.where(GLAND, 100, -100).astype(np.int16), GEOMETRY)
    return process_case(ct, stages, bundle, Clock(), **settings)


def test_orientation_does_not_matter(
    tmp_path: Path, make_ct: Callable[..., Path], bundle: Bundle, stages: Stages
) -> None:
    straight, turned = (
        process_case(read_ct(make_ct(tmp_path / f"{name}.nii.gz", orientation=name)), stages, bundle, Clock())
        for name in ("LPS", "RAI")
    )
    assert isinstance(stages.localizer, FakeLocalizer)
    assert straight.measurements is not None
    assert straight.measurements.lesion_ml == pytest.approx(48 * 0.7 * 0.9 * 2.5 / 1000)
    assert turned.measurements == straight.measurements
