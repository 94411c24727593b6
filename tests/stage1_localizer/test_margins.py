"""Margins chosen by data, against a brute force over all voxels."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ctcore.errors import DatasetError
from ctcore.geometry import Box
from stage1_localizer.margins import Beyond, CaseNeed, FoundMargins, choose_margins, stated

BoolArray = npt.NDArray[np.bool_]
Triple = tuple[int, int, int]

SPACINGS = ((2.5, 0.7, 0.7), (1.0, 1.0, 1.0), (5.0, 0.9, 0.8), (0.45, 0.977, 1.3))


@st.composite
def masks_and_boxes(draw: st.DrawFn) -> tuple[BoolArray, Box]:
    shape = draw(st.tuples(*[st.integers(2, 8)] * 3))
    mask = draw(arrays(np.bool_, shape, elements=st.sampled_from([False, False, False, True])))
    starts = [draw(st.integers(0, n - 1)) for n in shape]
    stops = [draw(st.integers(a + 1, n)) for a, n in zip(starts, shape, strict=True)]
    return mask, Box((starts[0], starts[1], starts[2]), (stops[0], stops[1], stops[2]))


@settings(max_examples=150)
@given(masks_and_boxes(), st.tuples(*[st.integers(0, 8)] * 3))
def test_the_share_inside_is_a_count_of_voxels(case: tuple[BoolArray, Box], margin: Triple) -> None:
    mask, box = case
    beyond = Beyond.of(mask, box)
    if not mask.any():
        assert beyond is None
        return
    assert beyond is not None
    grown = box.expand(margin).clip((mask.shape[0], mask.shape[1], mask.shape[2]))
    assert beyond.share_inside(margin) == pytest.approx(mask[grown.slices].sum() / mask.sum())
    assert (beyond.share_inside(margin) == 1.0) == bool(mask[grown.slices].sum() == mask.sum())


def slow_reach(mask: BoolArray, box: Box, axis: int) -> int:
    """Grows the box along one axis, a voxel at a time, until it covers the mask's extent there."""
    covered = set(np.argwhere(mask)[:, axis])
    margin = 0
    while not covered <= set(range(box.start[axis] - margin, box.stop[axis] + margin)):
        margin += 1
    return margin


@settings(max_examples=150)
@given(st.lists(st.tuples(masks_and_boxes(), st.sampled_from(SPACINGS)), min_size=1, max_size=4))
def test_the_margins_hold_every_lesion_and_smaller_ones_do_not(
    cases: list[tuple[tuple[BoolArray, Box], tuple[float, float, float]]],
) -> None:
    needs, kept = [], []
    for number, ((mask, box), spacing) in enumerate(cases):
        beyond = Beyond.of(mask, box)
        if beyond is not None:
            reach = beyond.reach_mm(spacing)
            assert reach == pytest.approx([slow_reach(mask, box, axis) * spacing[axis] for axis in range(3)])
            needs.append(CaseNeed(str(number), True, reach, reach))
            kept.append((mask, box, spacing))
    if not needs:
        return
    found = choose_margins(needs, 0.0)
    assert found.cases == len(needs)

    def all_inside(margin_mm: tuple[float, float, float]) -> bool:
        return all(
            mask[box.expand_mm(margin_mm, spacing).clip((mask.shape[0], mask.shape[1], mask.shape[2])).slices].sum()
            == mask.sum()
            for mask, box, spacing in kept
        )

    assert all_inside(found.margin_mm)
    for axis, decided in enumerate(found.axes):
        assert found.margin_mm[axis] == pytest.approx(math.ceil(round(decided.needed_mm * 10, 6)) / 10)
        if decided.case_id is None:
            assert decided.needed_mm == 0
            continue
        # A whole voxel of the deciding case less, and its lesion is cut.
        step = cases[int(decided.case_id)][1][axis]
        smaller = list(found.margin_mm)
        smaller[axis] = max(0.0, decided.needed_mm - 1.001 * step)
        assert not all_inside((smaller[0], smaller[1], smaller[2])) or decided.needed_mm <= 1.001 * step
        if decided.needed_mm <= 1.001 * step:
            smaller[axis] = 0.0
            assert not all_inside((smaller[0], smaller[1], smaller[2]))


def test_by_hand() -> None:
    needs = [
        CaseNeed("a", True, (5.0, 0.0, 2.0), (7.0, 1.0, 2.0)),
        CaseNeed("b", True, (2.0, 0.0, 3.04), (2.0, 9.0, 4.0)),
        CaseNeed("no lesion", True, None, (30.0, 30.0, 30.0)),
        CaseNeed("missed", False, (80.0, 80.0, 80.0), (90.0, 90.0, 90.0)),
    ]
    found = choose_margins(needs, 10.0, ["0", "1"])
    assert found.margin_mm == (15.0, 10.0, 13.1)
    assert found.decided_by == "lesion"
    assert [(axis.needed_mm, axis.case_id, axis.next_mm) for axis in found.axes] == [
        (5.0, "a", 2.0),
        (0.0, None, 0.0),
        (3.04, "b", 2.0),
    ]
    assert found.pancreas_mm == (30.0, 30.0, 30.0)
    assert (found.cases, found.not_found, found.folds, found.reserve_mm) == (2, ("missed",), ("0", "1"), 10.0)
    assert FoundMargins.model_validate_json(found.model_dump_json()) == found


def test_without_lesions_the_pancreas_decides() -> None:
    needs = [CaseNeed("a", True, None, (5.0, 0.0, 2.0)), CaseNeed("b", True, None, None)]
    found = choose_margins(needs, 0.5)
    assert (found.decided_by, found.margin_mm, found.cases) == ("pancreas", (5.5, 0.5, 2.5), 1)


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        ([], "none of 0 validation cases with a pancreas"),
        ([CaseNeed("a", False, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0))], "none of 1 validation cases with a lesion"),
        ([CaseNeed("a", False, (1.0, 1.0, 1.0), None), CaseNeed("b", True, None, (1.0, 1.0, 1.0))], "with a lesion"),
    ],
)
def test_nothing_to_decide_by(needs: list[CaseNeed], words: str) -> None:
    with pytest.raises(DatasetError, match=rf"{words}.*train longer, or give margin_mm three numbers"):
        choose_margins(needs, 10.0)


@pytest.mark.parametrize(("needed", "reserve", "margin"), [(0.3, 0.0, 0.3), (0.1, 0.2, 0.3), (0.31, 0.0, 0.4)])
def test_rounded_up_to_a_tenth(needed: float, reserve: float, margin: float) -> None:
    found = choose_margins([CaseNeed("a", True, (needed,) * 3, (needed,) * 3)], reserve)
    assert found.margin_mm == (margin,) * 3


def test_as_a_recipe_states_them() -> None:
    assert stated((15.0, 10.1, 3.0)) == "[15, 10.1, 3]"
