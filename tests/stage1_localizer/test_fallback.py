"""The fallback ROI where a body can be seen: on phantoms, and by the heights of real scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ctcore.files import discover, read
from ctcore.geometry import Box, to_lps
from ctcore.labels import pancreas_mask
from ctcore.phantom.phantom import Phantom, make_phantom
from ctcore.resample import resample_to_spacing
from stage1_localizer.roi import FALLBACK_Z, fallback_box, scale_box

PANORAMA = Path(__file__).parents[3] / "shared" / "data" / "panorama"
needs_label_maps = pytest.mark.skipif(not PANORAMA.is_dir(), reason="needs PANORAMA's label maps beside the checkout")


def held_by_fallback(phantom: Phantom) -> tuple[float, float]:
    """Returns the share of the pancreas inside the fallback ROI, and the ROI's share of the scan."""
    ct, labels = to_lps(phantom.image)[0], to_lps(phantom.labels)[0]
    low = resample_to_spacing(ct, (5.0, 5.0, 5.0))
    box = scale_box(fallback_box(low.array), low.geometry.shape, ct.geometry.shape)
    pancreas = pancreas_mask(labels.array)
    return float(pancreas[box.slices].sum() / pancreas.sum()), box.voxels / pancreas.size


def test_on_a_phantom() -> None:
    held, of_scan = held_by_fallback(make_phantom(np.random.SeedSequence(5), positive=True, size="demo"))
    assert held > 0.98
    assert of_scan < 0.5


@needs_label_maps
def test_on_a_phantom_around_a_real_label_map() -> None:
    case = discover(PANORAMA / "anatomy_1p5mm")[0]
    phantom = make_phantom(np.random.SeedSequence(1), positive=False, size="demo", anatomy_labels=read(case.path))
    held, of_scan = held_by_fallback(phantom)
    assert held > 0.98
    assert of_scan < 0.5


@needs_label_maps
def test_the_heights_of_real_scans() -> None:
    cases = discover(PANORAMA / "anatomy_native")[::6]
    inside = 0
    for case in cases:
        labels = to_lps(read(case.path))[0].array
        box = Box.of_mask(pancreas_mask(labels))
        assert box is not None
        inside += FALLBACK_Z[0] <= box.start[0] / labels.shape[0] and box.stop[0] / labels.shape[0] <= FALLBACK_Z[1]
    assert inside == len(cases)
