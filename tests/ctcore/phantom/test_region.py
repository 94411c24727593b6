"""The lesion has the volume that was drawn, in one piece, out of the vessels."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from ctcore.phantom.draws import Draws
from ctcore.phantom.frame import Frame
from ctcore.phantom.pathology import draw_pathology
from ctcore.phantom.region import draw_lesion, soft


@pytest.mark.parametrize("volume", [0.5, 4.0, 12.0])
def test_volume_is_met_and_vessels_are_spared(frame: Frame, draws: Draws, volume: float) -> None:
    pathology = replace(draw_pathology(draws, positive=True), volume_ml=volume)
    gland = np.sqrt(frame.y**2 + frame.z**2) - np.float32(12.0)
    blocked = (frame.z > 8.0).astype(np.float32)
    distance, inside = draw_lesion(frame, gland, blocked, np.zeros(3), pathology, draws)
    assert inside.sum() * frame.spacing**3 / 1000.0 == pytest.approx(volume, rel=0.12)
    assert ndimage.label(inside)[1] == 1
    assert not np.any(inside & (blocked > 0))
    np.testing.assert_array_equal(inside, distance < 0)


def test_soft_is_half_on_the_surface() -> None:
    np.testing.assert_allclose(soft(np.array([-2.0, -0.5, 0.0, 0.5, 2.0]), 2.0), [1.0, 0.75, 0.5, 0.25, 0.0])
