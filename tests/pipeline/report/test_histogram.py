"""Scores as bars whose heights are counts."""

from __future__ import annotations

import re

from ctcore.detection.calibration import OperatingPoint
from pipeline.report.histogram import histogram


def test_bars_are_as_high_as_their_counts() -> None:
    drawing = histogram([0.0, 0.01, 0.99, 1.0, 1.0, 1.0], [])
    heights = [float(height) for height in re.findall(r'<rect [^>]*height="([\d.]+)"', drawing)]
    assert heights == [60.0, 120.0]
    assert "2 of 6 cases score 0.00 to 0.05" in drawing
    assert "4 of 6 cases score 0.95 to 1.00" in drawing
    assert 'aria-label="Histogram of 6 scores: 2 from 0.00, 4 from 0.95"' in drawing


def test_thresholds_are_marked() -> None:
    point = OperatingPoint(target="specificity", value=0.9, threshold=0.5, sensitivity=0.5, specificity=0.9)
    drawing = histogram([0.2], [point])
    assert '<line class="point" x1="400.0"' in drawing
    assert "specificity 0.9" in drawing


def test_nothing_without_scores() -> None:
    assert histogram([], []) == ""
