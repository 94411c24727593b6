"""The fluid part of a lesion lies inside its rim and leaves room for what is solid."""

from dataclasses import replace

import numpy as np
import pytest

from ctcore.phantom.draws import Draws
from ctcore.phantom.fluid import fluid_share
from ctcore.phantom.frame import Frame
from ctcore.phantom.pathology import Fluid
from ctcore.phantom.region import Region

RADIUS_MM = 20.0
PLAIN = Fluid(shift_hu=0.0, rim=0.3, solid_share=0.0, septa=False)


@pytest.fixture
def ball(frame: Frame) -> Region:
    """A lesion of 20 mm radius in the middle of the 2 mm grid; nothing else."""
    zero = np.zeros(frame.shape, dtype=np.float32)
    middle = np.sqrt(sum(axis.astype(np.float64) ** 2 for axis in (frame.x, frame.y, frame.z)))
    depth = np.clip(RADIUS_MM - middle, 0.0, None).astype(np.float32)
    inside = (depth > 0).astype(np.float32)
    return Region(frame, zero, zero, zero, zero, zero, zero, zero, inside, inside, depth, zero)


def test_fluid_begins_at_the_rim(ball: Region, draws: Draws) -> None:
    share = fluid_share(ball, PLAIN, draws)
    deepest = float(ball.lesion_depth.max())
    assert (share[ball.lesion_depth > 0.3 * deepest + 0.75] == 1.0).all()
    assert (share[ball.lesion_depth < 0.3 * deepest - 0.75] == 0.0).all()


def test_without_a_rim_there_is_none_outside(ball: Region, draws: Draws) -> None:
    share = fluid_share(ball, replace(PLAIN, rim=0.0), draws)
    assert (share[ball.lesion_depth == 0] == 0.0).all()
    assert share.max() == 1.0


def test_nodules_take_their_share_of_the_lesion(ball: Region, draws: Draws) -> None:
    whole = ball.lesion_depth > 0
    share = fluid_share(ball, replace(PLAIN, rim=0.0, solid_share=0.4), draws)
    least = fluid_share(ball, replace(PLAIN, rim=0.0), Draws(np.random.default_rng(0)))
    assert share[whole].sum() / least[whole].sum() == pytest.approx(0.6, abs=0.08)


def test_septa_are_thin_walls(ball: Region, draws: Draws) -> None:
    whole = fluid_share(ball, PLAIN, Draws(np.random.default_rng(0)))
    share = fluid_share(ball, replace(PLAIN, septa=True), draws)
    assert (share <= whole).all()
    assert 0.05 < 1.0 - share.sum() / whole.sum() < 0.30


def test_no_lesion_no_fluid(ball: Region, draws: Draws) -> None:
    empty = replace(ball, lesion_depth=np.zeros_like(ball.lesion_depth))
    assert not fluid_share(empty, replace(PLAIN, solid_share=0.5, septa=True), draws).any()
