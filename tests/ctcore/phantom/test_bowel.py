"""Bowel: loops in every field of view, gas in front, walls around."""

import numpy as np
import pytest

from ctcore.phantom.body import draw_habitus
from ctcore.phantom.bowel import Loop, draw_small_bowel, paint_loop
from ctcore.phantom.canvas import Canvas
from ctcore.phantom.draws import Draws
from ctcore.phantom.frame import Frame
from ctcore.phantom.tissues import draw_palette


@pytest.mark.parametrize("floor", [40.0, -20.0, -90.0, -400.0])
def test_loops_are_drawn_for_every_lower_border(draws: Draws, floor: float) -> None:
    loops = draw_small_bowel(draws, draw_habitus(draws, wide=True), floor)
    assert 14 <= len(loops) <= 26
    assert all(np.isfinite(loop.points).all() and np.all(loop.radii > 0) for loop in loops)


def test_gas_lies_in_front_of_fluid(frame: Frame, draws: Draws) -> None:
    canvas = Canvas(frame, draw_palette(draws, "portal-venous"), draws)
    points = np.stack([np.zeros(31), np.zeros(31), np.linspace(-30, 30, 31)], axis=1)
    paint_loop(canvas, Loop(points, np.full(31, 16.0), 3.0, "bowel_fluid", 0.5, 0.0))
    column = canvas.hu[15, :, 15]  # from the front to the back through the middle
    front, back, wall = column[15 - 4], column[15 + 4], column[15 + 7]
    assert front < -850.0
    assert -40.0 < back < 70.0
    assert wall > 50.0
