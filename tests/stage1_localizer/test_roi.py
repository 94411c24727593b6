"""Regions of interest, by hand and against slow implementations."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ctcore.geometry import Box
from ctcore.volume import Geometry
from stage1_localizer.roi import (
    centre_roi_box,
    fallback_box,
    largest_cluster,
    largest_component,
    roi_box,
    scale_box,
    touches_border,
)

BoolArray = npt.NDArray[np.bool_]
Triple = tuple[int, int, int]

STEPS = [step for step in itertools.product((-1, 0, 1), repeat=3) if any(step)]


def flood(mask: BoolArray) -> list[set[tuple[int, ...]]]:
    """Every component, voxel by voxel: corners touch."""
    left = {tuple(map(int, index)) for index in np.argwhere(mask)}
    components = []
    while left:
        front = [left.pop()]
        component = set(front)
        while front:
            here = front.pop()
            for step in STEPS:
                there = tuple(a + b for a, b in zip(here, step, strict=True))
                if there in left:
                    left.remove(there)
                    component.add(there)
                    front.append(there)
        components.append(component)
    return components


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, max_side=6)))
def test_largest_component_is_a_flood_fills(mask: BoolArray) -> None:
    found = {tuple(map(int, index)) for index in np.argwhere(largest_component(mask))}
    components = flood(mask)
    if not components:
        assert not found
    else:
        assert found in components
        assert len(found) == max(map(len, components))


def test_corners_connect() -> None:
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    mask[3, 3, 0] = True
    assert largest_component(mask).sum() == 2


def slow_cluster_sizes(mask: BoolArray, spacing: tuple[float, float, float], bridge_mm: float) -> list[int]:
    """Sizes of the components of what lies within half a bridge of the mask; only the mask's own voxels count."""
    inside = np.argwhere(mask)
    near = np.zeros(mask.shape, dtype=bool)
    for index in np.ndindex(*mask.shape):
        near[index] = (np.linalg.norm((inside - index) * spacing, axis=1) <= bridge_mm / 2).any()
    return [sum(bool(mask[index]) for index in component) for component in flood(near)]


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.sampled_from([False] * 9 + [True])),
    st.sampled_from([0.0, 2.0, 3.0, 5.0, 9.0]),
)
def test_largest_cluster_is_a_slow_ones(mask: BoolArray, bridge_mm: float) -> None:
    cluster = largest_cluster(mask, (2.0, 1.0, 1.0), bridge_mm)
    assert not (cluster & ~mask).any()
    assert cluster.sum() == max(slow_cluster_sizes(mask, (2.0, 1.0, 1.0), bridge_mm), default=0)


@pytest.mark.parametrize(("bridge_mm", "size"), [(0.0, 3), (15.0, 3), (30.0, 5), (60.0, 5)])
def test_pieces_within_the_bridge_are_one_cluster(bridge_mm: float, size: int) -> None:
    mask = np.zeros((3, 3, 30), dtype=bool)
    mask[1, 1, 2:5] = True  # ends at 4, 30 mm before the next piece
    mask[1, 1, 10:12] = True
    assert largest_cluster(mask, (5.0, 5.0, 5.0), bridge_mm).sum() == size


def test_a_cluster_of_pieces_outweighs_the_largest_component() -> None:
    mask = np.zeros((3, 3, 40), dtype=bool)
    mask[1, 1, [2, 4, 6, 8]] = True
    mask[1, 1, 30:33] = True
    assert largest_component(mask)[1, 1, 30]
    np.testing.assert_array_equal(np.flatnonzero(largest_cluster(mask, (5.0, 5.0, 5.0), 10.0)[1, 1]), [2, 4, 6, 8])


def test_roi_box_by_hand() -> None:
    mask = np.zeros((10, 20, 20), dtype=bool)
    mask[4:6, 6:10, 4:8] = True
    geometry = Geometry((20, 40, 40), (1.0, 1.0, 2.5))
    # On the CT's grid every index doubles: z 8-12, y 12-20, x 8-16. The margins are 2, 3 and (2.5 / 1, rounded up) 3.
    assert roi_box(mask, geometry, (5.0, 3.0, 2.5)) == Box((6, 9, 5), (14, 23, 19))


def test_roi_box_is_clipped() -> None:
    mask = np.zeros((10, 20, 20), dtype=bool)
    mask[0, 6, 19] = True
    geometry = Geometry((20, 40, 40), (1.0, 1.0, 2.5))
    assert roi_box(mask, geometry, (5.0, 1.0, 4.0)) == Box((0, 11, 34), (4, 15, 40))
    assert roi_box(mask, geometry, (500.0, 500.0, 500.0)) == Box.whole((20, 40, 40))


def test_no_mask_no_box() -> None:
    assert roi_box(np.zeros((3, 3, 3), dtype=bool), Geometry((6, 6, 6), (1, 1, 1)), (1, 1, 1)) is None


@st.composite
def grids(draw: st.DrawFn) -> tuple[Box, Triple, Triple]:
    sizes = st.integers(1, 70)
    source, target = draw(st.tuples(sizes, sizes, sizes)), draw(st.tuples(sizes, sizes, sizes))
    starts = [draw(st.integers(0, n - 1)) for n in source]
    stops = [draw(st.integers(a + 1, n)) for a, n in zip(starts, source, strict=True)]
    return Box((starts[0], starts[1], starts[2]), (stops[0], stops[1], stops[2])), source, target


@settings(max_examples=200, deadline=None)
@given(grids())
def test_scale_box_never_loses_a_voxel(case: tuple[Box, Triple, Triple]) -> None:
    box, source, target = case
    scaled = scale_box(box, source, target)
    for axis in range(3):
        m, n = source[axis], target[axis]
        # Voxel i of the target covers [i / n, (i + 1) / n] of the field of view; all in whole numbers.
        overlapping = [i for i in range(n) if i * m < box.stop[axis] * n and (i + 1) * m > box.start[axis] * n]
        assert list(range(scaled.start[axis], scaled.stop[axis])) == overlapping


def cylinder(shape: Triple, radius: float) -> npt.NDArray[np.int16]:
    hounsfield = np.full(shape, -1000, dtype=np.int16)
    y, x = np.ogrid[: shape[1], : shape[2]]
    disc = (y - shape[1] / 2) ** 2 + (x - shape[2] / 2) ** 2 <= radius**2
    hounsfield[:, disc] = 40
    return hounsfield


def test_fallback_lies_inside_the_body() -> None:
    hounsfield = cylinder((30, 40, 60), 14)
    hounsfield[:, 35, :] = 100  # a thin table that the body lies on
    outline = Box((0, 6, 16), (30, 35, 45))
    box = fallback_box(hounsfield)
    assert all(o <= b for o, b in zip(outline.start, box.start, strict=True))
    assert all(b <= o for b, o in zip(box.stop, outline.stop, strict=True))
    # Two fifths of the body, not all of it: 85 % of the height, 65 % of the depth, 72 % of the width.
    assert 0.8 < box.shape[0] / 30 < 0.95
    assert 0.6 < box.shape[1] / 29 < 0.75
    assert 0.65 < box.shape[2] / 29 < 0.8


@pytest.mark.parametrize("shape", [(20, 30, 40), (1, 1, 1), (1, 50, 50), (2, 3, 5)])
def test_fallback_of_air_is_a_box_on_the_grid(shape: Triple) -> None:
    box = fallback_box(np.full(shape, -1000, dtype=np.int16))
    assert box == box.clip(shape)


def test_fallback_of_air_by_hand() -> None:
    box = fallback_box(np.full((20, 20, 20), -1000, dtype=np.int16))
    assert box == Box((1, 2, 4), (19, 15, 19))


@pytest.mark.parametrize(
    ("index", "touches"),
    [
        ((0, 2, 2), True),
        ((4, 2, 2), True),
        ((2, 0, 2), True),
        ((2, 5, 2), True),
        ((2, 2, 0), True),
        ((2, 2, 6), True),
        ((1, 1, 1), False),
        ((3, 4, 5), False),
    ],
)
def test_touches_border(index: Triple, touches: bool) -> None:
    mask = np.zeros((5, 6, 7), dtype=bool)
    mask[index] = True
    assert touches_border(mask) is touches


def test_nothing_touches_nothing() -> None:
    assert not touches_border(np.zeros((1, 1, 1), dtype=bool))


def test_of_two_clusters_of_one_size_one_is_kept() -> None:
    mask = np.zeros((3, 3, 40), dtype=bool)
    mask[1, 1, 2:5] = mask[1, 1, 30:33] = True
    assert largest_cluster(mask, (5.0, 5.0, 5.0), 10.0).sum() == 3


@pytest.mark.parametrize(("gap_voxels", "together"), [(2, True), (3, True), (4, False)])
def test_the_bridge_ends_where_it_says(gap_voxels: int, together: bool) -> None:
    """Voxel centres 5 mm apart; at 10 mm each piece reaches one voxel far, and neighbours touch."""
    mask = np.zeros((1, 1, 20), dtype=bool)
    mask[0, 0, 5] = mask[0, 0, 5 + gap_voxels] = True
    assert largest_cluster(mask, (5.0, 5.0, 5.0), 10.0).sum() == (2 if together else 1)


def test_a_box_from_voxel_centres() -> None:
    """As the PANORAMA baseline cuts it: beside `benchmarks.reference_flow.pancreas_box`."""
    mask = np.zeros((25, 50, 50), np.uint8)
    mask[10:13, 20:23, 30:33] = 1
    grid, ct = Geometry((25, 50, 50), (8.0, 8.0, 8.0)), Geometry((50, 100, 100), (4.0, 4.0, 4.0))
    # Centres at voxels 20 to 24, 40 to 44, 60 to 64; margins of 15, 50, 100 mm are 3, 12, 25 voxels.
    assert centre_roi_box(mask, grid, ct, (15, 50, 100)) == Box((17, 28, 35), (27, 56, 89))
    assert centre_roi_box(mask, grid, ct, (999, 999, 999)) == Box((0, 0, 0), (50, 100, 100))
    assert centre_roi_box(np.zeros_like(mask), grid, ct, (15, 50, 100)) is None
    mask[:] = 0
    mask[24, 49, 49] = 1  # its centre lies at voxel 48, 98, 98: a box without margin still has a voxel
    assert centre_roi_box(mask, grid, ct, (0, 0, 0)) == Box((48, 98, 98), (49, 99, 99))
    mask[:] = 0
    mask[24] = 1
    beyond = Geometry((40, 100, 100), (4.0, 4.0, 4.0))  # the mask's last slice lies outside this CT
    box = centre_roi_box(mask, grid, beyond, (0, 0, 0))
    assert box is not None
    assert (box.start[0], box.stop[0]) == (39, 40)
