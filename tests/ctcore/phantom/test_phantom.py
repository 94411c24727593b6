"""One phantom, from the seed to labelled voxels."""

from __future__ import annotations

import pytest

from ctcore.labels import PanoramaLabel
from ctcore.phantom.phantom import make_phantom


def test_a_large_mass_is_whole() -> None:
    phantom = make_phantom(5, positive=True, lesion_ml=(400.0, 400.0))
    lesion = phantom.labels.array == PanoramaLabel.LESION
    assert lesion.sum() * phantom.labels.geometry.voxel_volume_ml == pytest.approx(400.0, rel=0.15)
    assert phantom.record["draws"]["lesion.volume_ml"] == pytest.approx(400.0)
