"""Contrast phase: medians of hand-made vessels, and the phases that textbook values look like."""

from __future__ import annotations

import numpy as np
import pytest

from ctcore.quality.contrast import Phase, contrast_phase, median_hu


def test_the_edge_of_a_vessel_does_not_count_where_enough_remains() -> None:
    labels = np.zeros((4, 9, 9), np.uint8)
    labels[:, 2:7, 2:7] = 2
    hounsfield = np.where(labels == 2, 80, -100)
    hounsfield[:, 3:6, 3:6] = 160  # 36 of 100 voxels: the median of all is 80
    assert median_hu(hounsfield, labels, [2], 0.01) == 160
    assert median_hu(hounsfield, labels, [2], 0.005) == 80  # 0.18 ml would be left


def test_too_little_of_a_label_has_no_median() -> None:
    labels = np.zeros((4, 9, 9), np.uint8)
    labels[0, 0, :3] = 3
    assert median_hu(np.zeros(labels.shape), labels, [3], 0.01) is None
    assert median_hu(np.zeros(labels.shape), labels, [2], 1.0) is None


@pytest.mark.parametrize(
    ("veins", "arteries", "pancreas", "phase"),
    [
        (165.0, 150.0, 100.0, "portal-venous"),
        (41.0, 42.0, 41.0, "unenhanced"),
        (125.0, 300.0, 115.0, "arterial"),
        (60.0, 280.0, 70.0, "arterial"),
        (88.0, 85.0, 70.0, "weak or delayed"),
        (150.0, None, 100.0, "portal-venous"),
        (None, 42.0, None, "unenhanced"),
        (None, 150.0, 100.0, None),
        (None, None, 40.0, "unenhanced"),
        (None, None, 100.0, None),
        (None, None, None, None),
    ],
)
def test_phase(veins: float | None, arteries: float | None, pancreas: float | None, phase: Phase | None) -> None:
    assert contrast_phase(veins, arteries, pancreas) == phase
