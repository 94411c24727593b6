"""A localizer whose network is a threshold, so that its answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from ctcore.nnunet.exported import Normalization
from ctcore.resample import resample_to_spacing
from ctcore.volume import Volume
from stage1_localizer.dataset import LABELS
from stage1_localizer.localizer import Localizer
from stage1_localizer.model import LocalizerModel

THRESHOLD_HU = 50.0


class ThresholdLocalizer(Localizer):
    """What exceeds 50 HU at the low resolution is pancreas; everything after the network is the localizer's own."""

    def __init__(self, **changes: Any) -> None:
        values: dict[str, Any] = {
            "architecture": {},
            "spacing_mm": (4.0, 4.0, 4.0),
            "patch_size": (16, 16, 16),
            "normalization": Normalization(lower=-100, upper=200, mean=50, std=25),
            "labels": LABELS,
            "folds": ("0",),
            "trained_on": "nothing",
            "recipe": {},
            "margin_mm": (8.0, 8.0, 8.0),
            "bridge_mm": 8.0,
            "minimum_ml": 0.5,
        }
        self.model = LocalizerModel(**(values | changes))

    def segment(self, ct: Volume) -> Volume:
        """Returns the mask at the low resolution."""
        low = resample_to_spacing(ct, self.model.spacing_mm)
        return low.with_array((low.array > THRESHOLD_HU).astype(np.uint8))
