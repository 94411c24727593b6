"""One case: shares, Dice and volumes, by hand and by counting voxels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.errors import GeometryError
from ctcore.files import write
from ctcore.geometry import Box
from ctcore.nnunet.preparation.dataset import TrainingCase
from ctcore.volume import Geometry, Volume
from stage1_localizer.localizer import Localization
from stage1_localizer.measure import CaseMasks, case_roi, compare, dice, figures_of, locate_case
from tests.stage1_localizer.threshold_localizer import ThresholdLocalizer

GEOMETRY = Geometry((10, 20, 20), (2.0, 2.0, 5.0))


def located(found: Box | None, fallback: Box | None = None) -> Localization:
    """A localizer's answer on the CT's own grid."""
    mask = np.zeros(GEOMETRY.shape, np.uint8)
    if found is not None:
        mask[found.slices] = 1
    box = found or fallback
    assert box is not None
    answer = Localization(Volume(mask, GEOMETRY), box, "localizer", (), float(mask.sum()) * 0.02)
    return replace(answer, source="fallback") if found is None else answer


def masks(pancreas: Box | None, lesion: Box | None, found: Box | None) -> CaseMasks:
    arrays = [np.zeros(GEOMETRY.shape, bool) for _ in range(3)]
    for array, box in zip(arrays, (pancreas, lesion, found), strict=True):
        if box is not None:
            array[box.slices] = True
    return CaseMasks(Volume(np.zeros(GEOMETRY.shape, np.int16), GEOMETRY), *arrays)


FOUND, PANCREAS, LESION = Box((4, 6, 6), (6, 10, 10)), Box((3, 6, 6), (6, 12, 10)), Box((3, 9, 7), (4, 12, 9))


def test_by_hand() -> None:
    case = compare("a", "0", located(FOUND), masks(PANCREAS, LESION, FOUND), 0.5)
    assert case.box == FOUND
    # The lesion begins one slice below the mask (5 mm) and ends two rows behind it (4 mm).
    assert case.need.lesion_mm == (5.0, 4.0, 0.0)
    assert case.need.pancreas_mm == (5.0, 4.0, 0.0)
    assert case.dice == pytest.approx(2 * 32 / (32 + 72))
    none = figures_of(case, (0.0, 0.0, 0.0))
    assert none.lesion_in_roi == 0.0  # it lies in the one slice outside
    assert none.pancreas_in_roi == pytest.approx(32 / 72)
    assert none.roi_to_tightest == pytest.approx(32 / 72)
    part = figures_of(case, (5.0, 2.0, 0.0))  # z 3-7, y 5-11, x 6-10
    assert part.lesion_in_roi == pytest.approx(2 / 3)
    assert part.pancreas_in_roi == pytest.approx(60 / 72)
    assert part.roi_to_tightest == pytest.approx((4 * 6 * 4) / (5 * 8 * 4))
    assert part.roi_of_scan == pytest.approx(96 / 4000)
    assert (part.roi_ml, part.pancreas_ml, part.lesion_ml) == pytest.approx((1.92, 1.44, 0.12))
    assert figures_of(case, (5.0, 4.0, 0.0)).lesion_in_roi == 1.0


def test_the_fallback_roi_gets_no_margin() -> None:
    fallback = Box((2, 2, 2), (6, 11, 18))
    case = compare("a", "", located(None, fallback), masks(PANCREAS, LESION, None), 0.1)
    assert not case.found
    assert case_roi(case, (50.0, 50.0, 50.0)) == fallback
    figures = figures_of(case, (50.0, 50.0, 50.0))
    assert figures.lesion_in_roi == pytest.approx(2 / 3)
    assert figures.roi_to_tightest == pytest.approx(fallback.voxels / 4000)
    assert figures.dice == 0.0


def test_without_pancreas_or_lesion() -> None:
    empty = compare("a", "", located(FOUND), masks(None, None, FOUND), 0.1)
    figures = figures_of(empty, (5.0, 5.0, 5.0))
    assert (figures.dice, figures.lesion_in_roi, figures.pancreas_in_roi, figures.roi_to_tightest) == (None,) * 4
    assert (figures.lesion_beyond_mm, figures.pancreas_beyond_mm, figures.pancreas_ml) == (None, None, 0.0)
    assert empty.lost_mm == 0.0


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    starts = [draw(st.integers(0, n - 1)) for n in GEOMETRY.shape]
    stops = [draw(st.integers(a + 1, n)) for a, n in zip(starts, GEOMETRY.shape, strict=True)]
    return Box((starts[0], starts[1], starts[2]), (stops[0], stops[1], stops[2]))


@settings(max_examples=80)
@given(boxes(), boxes(), boxes(), st.tuples(*[st.floats(0, 30)] * 3))
def test_figures_count_voxels(found: Box, pancreas: Box, lesion: Box, margin: tuple[float, float, float]) -> None:
    truth = masks(pancreas, lesion, found)
    case = compare("a", "", located(found), truth, 0.1)
    roi = case_roi(case, margin)
    figures = figures_of(case, margin)
    assert figures.lesion_in_roi == pytest.approx(truth.lesion[roi.slices].sum() / truth.lesion.sum())
    assert figures.pancreas_in_roi == pytest.approx(truth.pancreas[roi.slices].sum() / truth.pancreas.sum())
    tightest = pancreas.expand_mm(margin, GEOMETRY.spacing_zyx).clip(GEOMETRY.shape)
    assert figures.roi_to_tightest == pytest.approx(roi.voxels / tightest.voxels)


def test_dice() -> None:
    one, other = np.array([[[1, 1, 0, 0]]], bool), np.array([[[0, 1, 1, 0]]], bool)
    assert dice(one, other) == 0.5
    assert dice(one, np.zeros_like(one)) is None
    assert dice(np.zeros_like(one), one) == 0.0


def write_case(folder: Path, label_spacing: float = 2.0) -> TrainingCase:
    image, label = np.full((16, 24, 24), -80, np.int16), np.zeros((16, 24, 24), np.uint8)
    label[4:12, 8:16, 4:20] = 4
    label[4:6, 8:12, 4:8] = 1
    image[4:12, 8:16, 4:16] = 120  # the last four columns of the pancreas cannot be told from fat
    write(Volume(image, Geometry(image.shape, (2.0, 2.0, 2.0))), folder / "a_0000.nii.gz")
    write(Volume(label, Geometry(label.shape, (label_spacing, 2.0, 2.0))), folder / "a.nii.gz")
    return TrainingCase("a", folder / "a_0000.nii.gz", folder / "a.nii.gz", None)


def test_from_files(tmp_path: Path) -> None:
    case, seen = locate_case(ThresholdLocalizer(spacing_mm=(2.0, 2.0, 2.0)), write_case(tmp_path), "3")
    assert (case.case_id, case.fold, case.found) == ("a", "3", True)
    assert case.box == Box((4, 8, 4), (12, 16, 16))
    assert case.dice == pytest.approx(2 * 768 / (768 + 1024))
    assert case.need.pancreas_mm == (0.0, 0.0, 8.0)
    assert case.need.lesion_mm == (0.0, 0.0, 0.0)
    assert case.seconds > 0
    assert seen.found.sum() == 768


def test_grids_that_differ(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match=r"case 'a'.*different grids"):
        locate_case(ThresholdLocalizer(), write_case(tmp_path, label_spacing=2.5))
