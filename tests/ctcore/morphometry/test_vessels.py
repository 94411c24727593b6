"""Trees of straight branches, named by where they go: (z, y, x) in mm, z up, x to the patient's left."""

import numpy as np
import pytest

from ctcore.morphometry import vessels
from ctcore.morphometry.paths import Inside
from tests.ctcore.morphometry.shapes import Mask, tube

SHAPE, SPACING = (50, 40, 60), (2.0, 1.5, 1.5)
MEETING = (50.0, 30.0, 40.0)


def branch(end: tuple[float, float, float], start: tuple[float, float, float] = MEETING, radius: float = 4.0) -> Mask:
    return tube(SHAPE, SPACING, [start, end], radius)


def inside(mask: Mask) -> Inside:
    found = Inside.of(mask, SPACING)
    assert found is not None
    return found


MESENTERIC, SPLENIC, PORTAL = branch((10.0, 26, 42)), branch((60.0, 40, 82)), branch((85.0, 34, 12))


def test_veins_and_their_confluence() -> None:
    tree = vessels.venous_tree(inside(MESENTERIC | SPLENIC | PORTAL))
    assert tree.confluence is not None
    assert np.linalg.norm(tree.confluence - MEETING) < 4.0
    ends = {name: line.points[-1] for name, line in tree.branches.items()}
    assert np.linalg.norm(ends[vessels.MESENTERIC_VEIN] - (10, 26, 42)) < 8
    assert np.linalg.norm(ends[vessels.SPLENIC_VEIN] - (60, 40, 82)) < 8
    assert np.linalg.norm(ends[vessels.PORTAL_VEIN] - (85, 34, 12)) < 8
    for line in tree.branches.values():
        assert np.linalg.norm(line.points[0] - tree.confluence) < 2.5


def test_veins_without_a_splenic_vein_have_no_confluence() -> None:
    tree = vessels.venous_tree(inside(MESENTERIC | PORTAL))
    assert tree.confluence is None
    assert vessels.SPLENIC_VEIN not in tree.branches


def test_without_a_mesenteric_vein_the_others_meet_at_the_confluence() -> None:
    tree = vessels.venous_tree(inside(SPLENIC | PORTAL))
    assert tree.confluence is not None
    assert np.linalg.norm(tree.confluence - MEETING) < 5.0
    assert set(tree.branches) == {vessels.SPLENIC_VEIN, vessels.PORTAL_VEIN}


AORTA = tube(SHAPE, SPACING, [(0.0, 48, 45), (98, 48, 45)], 9.0)
SUPERIOR = tube(SHAPE, SPACING, [(70.0, 40, 45), (66, 32, 45), (20, 26, 42)], 3.0)
COELIAC = tube(SHAPE, SPACING, [(86.0, 40, 45), (86, 28, 45), (88, 28, 15)], 3.0)
SPLEEN = tube(SHAPE, SPACING, [(86.0, 28, 45), (84, 30, 80)], 3.0)


def test_arteries_by_where_they_go() -> None:
    lines = vessels.arterial_tree(inside(AORTA | SUPERIOR | COELIAC | SPLEEN))
    assert set(lines) == {vessels.MESENTERIC_ARTERY, vessels.HEPATIC_ARTERY, vessels.SPLENIC_ARTERY}
    assert np.linalg.norm(lines[vessels.MESENTERIC_ARTERY].points[-1] - (20, 26, 42)) < 6
    assert np.linalg.norm(lines[vessels.HEPATIC_ARTERY].points[-1] - (88, 28, 15)) < 6
    assert np.linalg.norm(lines[vessels.SPLENIC_ARTERY].points[-1] - (84, 30, 80)) < 6
    assert all(line.points[0][1] > 32 for line in lines.values())  # from the aorta outward


@pytest.mark.parametrize("mask", [AORTA, SUPERIOR | COELIAC], ids=["aorta alone", "no aorta"])
def test_arteries_that_do_not_show(mask: Mask) -> None:
    assert vessels.arterial_tree(inside(mask)) == {}


def test_a_lone_superior_mesenteric_artery_is_not_called_coeliac() -> None:
    assert set(vessels.arterial_tree(inside(AORTA | SUPERIOR))) == {vessels.MESENTERIC_ARTERY}
