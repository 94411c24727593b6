"""Metal: counted near the gland alone, by volume."""

from __future__ import annotations

import numpy as np
import pytest

from ctcore.quality.metal import metal_ml_near

SPACING = (2.0, 1.0, 1.0)


def test_metal_is_counted_near_the_pancreas_alone() -> None:
    pancreas = np.zeros((10, 60, 60), np.uint8)
    pancreas[4:6, 10:15, 10:15] = 1
    image = np.full(pancreas.shape, 60)
    assert metal_ml_near(image, pancreas, SPACING) == 0
    image[5, 30:34, 12] = 3071  # 16 to 19 mm from the gland's last row
    image[5, 50:55, 50] = 3071  # far away
    image[5, 20, 12] = 1500  # a calcification
    assert metal_ml_near(image, pancreas, SPACING) == pytest.approx(4 * 2.0 / 1000)


def test_without_a_pancreas_nothing_is_near() -> None:
    assert metal_ml_near(np.full((3, 3, 3), 3071), np.zeros((3, 3, 3)), SPACING) is None
