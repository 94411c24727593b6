"""The picture of a case: which slice is shown, and that it shows what it should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ctcore.files import read_ct
from ctcore.geometry import Box
from pipeline.bundle import Bundle
from pipeline.case import CaseResult, process_case
from pipeline.clock import Clock
from pipeline.report.colours import PANCREAS, VEINS
from pipeline.report.figure import draw_case, outlines_of, pancreas_of, shown_slice, shown_voxel, strip_slices
from pipeline.stages import Stages


@pytest.fixture
def make_result(
    tmp_path: Path, make_ct: Callable[..., Path], bundle: Bundle, stages: Stages
) -> Callable[..., CaseResult]:
    """Returns a function that computes a case."""

    def make(*, segmentations: bool = True, **settings: object) -> CaseResult:
        ct = read_ct(make_ct(tmp_path / "case.nii.gz", **settings))
        return process_case(ct, stages, bundle, Clock(), segmentations=segmentations)

    return make


@pytest.mark.parametrize("lesion", [False, True])
def test_without_a_segmentation_the_localizers_pancreas_is_shown(
    make_result: Callable[..., CaseResult], tmp_path: Path, lesion: bool
) -> None:
    with_labels, without = make_result(lesion=lesion), make_result(lesion=lesion, segmentations=False)
    assert (without.labels, without.segmentation_labels) == (None, {})
    np.testing.assert_array_equal(pancreas_of(without), pancreas_of(with_labels))  # the fakes agree
    assert shown_slice(without) == shown_slice(with_labels)
    draw_case(without, tmp_path / "without.png")
    draw_case(with_labels, tmp_path / "with.png")
    np.testing.assert_array_equal(colours(tmp_path / "without.png"), colours(tmp_path / "with.png"))


def colours(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Returns a PNG as (rows, columns, RGB), 0..1."""
    from matplotlib.image import imread

    return np.asarray(imread(path))[..., :3]


def test_slice_runs_through_the_candidate_or_the_pancreas(make_result: Callable[..., CaseResult]) -> None:
    assert shown_slice(make_result()) in range(4, 7)
    assert shown_slice(make_result(lesion=False)) in range(3, 9)
    empty = np.full((12, 20, 24), -1000, dtype=np.int16)
    empty[0] = 40
    assert shown_slice(make_result(array=empty)) == 6


def test_planes_and_strip_run_through_the_candidate(make_result: Callable[..., CaseResult]) -> None:
    ill = make_result()
    z, y, x = shown_voxel(ill)
    assert ill.detection[z, y, x] == ill.detection.max()
    slices = np.flatnonzero((ill.candidate_labels == 1).any(axis=(1, 2)))
    assert strip_slices(ill) == slices.tolist()  # three slices: fewer than a strip has
    well = make_result(lesion=False)
    assert pancreas_of(well)[shown_voxel(well)]
    shown = np.flatnonzero(pancreas_of(well).any(axis=(1, 2)))
    assert strip_slices(well)[0] == shown[0]
    assert strip_slices(well)[-1] == shown[-1]
    assert len(strip_slices(well)) == 5


def test_vessels_are_outlined_where_they_are_labelled(make_result: Callable[..., CaseResult]) -> None:
    result = make_result()
    assert [colour for _, colour in outlines_of(result)] == [PANCREAS]
    labels = np.zeros(result.box.shape, np.uint8)
    labels[1, 2, 3] = 9
    named = replace(result, labels=labels, segmentation_labels={"pancreas": 4, "veins": 9})
    (_, _), (veins, colour) = outlines_of(named)
    assert colour == VEINS
    assert np.argwhere(veins).tolist() == [[1, 2, 3]]


def test_a_region_of_one_slice_can_be_drawn(make_result: Callable[..., CaseResult], tmp_path: Path) -> None:
    result = make_result()
    z = shown_slice(result)
    start, stop = result.box.start, result.box.stop
    thin = Box((z, *start[1:]), (z + 1, *stop[1:]))
    place = np.s_[z - start[0] : z - start[0] + 1]
    flat = replace(
        result,
        box=thin,
        detection=result.detection[place],
        pancreas=result.pancreas[place],
        labels=None,
        candidate_labels=result.candidate_labels[place],
    )
    draw_case(flat, tmp_path / "flat.png")
    assert colours(tmp_path / "flat.png").shape[1] == 900
    assert strip_slices(flat) == [0]


def test_picture_shows_the_lesion_in_colour(make_result: Callable[..., CaseResult], tmp_path: Path) -> None:
    draw_case(make_result(), tmp_path / "ill.png")
    draw_case(make_result(lesion=False), tmp_path / "well.png")

    def reddish(path: Path) -> int:
        rgb = colours(path)
        return int(((rgb[..., 0] > 0.6) & (rgb[..., 2] < 0.5)).sum())

    assert reddish(tmp_path / "ill.png") > 1000
    assert reddish(tmp_path / "well.png") == 0


def test_failing_picture_leaves_nothing(
    make_result: Callable[..., CaseResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    result = make_result()

    def fail(self: Figure, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half a picture")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        draw_case(result, tmp_path / "pictures" / "case.png")
    assert list((tmp_path / "pictures").iterdir()) == []
