"""The localizer: CT -> pancreas mask -> region of interest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ctcore.geometry import Box
from ctcore.nnunet.exported import chosen_folds, load_model, load_weights
from ctcore.resample import resample_to_spacing
from ctcore.volume import Volume
from stage1_localizer.model import LocalizerModel
from stage1_localizer.roi import fallback_box, grow, largest_cluster, roi_box, scale_box, touches_border

if TYPE_CHECKING:
    from ctcore.inference.backends.choose import Execution

BACKGROUND, PANCREAS = 0, 1

NO_MARGIN = (0.0, 0.0, 0.0)

FLAG_NOT_FOUND = "pancreas_not_found"
FLAG_FALLBACK = "roi_fallback"
FLAG_TRUNCATED = "field_of_view_truncated"


@dataclass(frozen=True)
class Localization:
    """Where the pancreas is.

    Attributes:
        pancreas: the predicted mask's voxels in the largest cluster, uint8, on the low-resolution LPS grid; empty if
            none.
        box: region of interest, an index box of the CT's grid.
        source: `localizer`, or `fallback` where nothing was found and the box comes from the body's outline.
        flags: what a reader must know.
        pancreas_ml: volume of the mask in millilitres.
        tight: the ROI before its margin, an index box of the CT's grid; None for a fallback.
    """

    pancreas: Volume
    box: Box
    source: Literal["localizer", "fallback"]
    flags: tuple[str, ...]
    pancreas_ml: float
    tight: Box | None = None


class Localizer:
    """A trained localizer, loaded once and run on any number of CTs.

    Args:
        folder: an exported stage-1 folder.
        execution: device, backend and precision.
        folds: folds to average; all if not given.
        tta: whether to average over mirrored images (only along axes that training mirrored).

    Raises:
        BundleError: the folder is damaged.
        RequestError: a fold was not trained.
    """

    def __init__(
        self, folder: Path, execution: Execution, *, folds: Sequence[int | str] | None = None, tta: bool = False
    ) -> None:
        from ctcore.inference.backends.choose import make_backend
        from ctcore.nnunet.networks import build_unet

        self.model = load_model(folder, LocalizerModel)
        self._mirror_axes = self.model.mirror_axes if tta else ()
        self._backends = []
        for fold in chosen_folds(self.model, folds):
            network = build_unet(self.model.architecture, 1, self.model.output_channels)
            load_weights(network, folder, fold)
            self._backends.append(make_backend(network, execution))

    def log_odds(self, ct: Volume) -> Volume:
        """Returns log(p / (1 - p)) of pancreas in a CT in LPS order: float32 on the low-resolution grid."""
        from ctcore.inference.predict import predict_ensemble

        low = resample_to_spacing(ct, self.model.spacing_mm)
        image = self.model.normalization.apply(np.rint(low.array))[None]
        logits = predict_ensemble(
            self._backends, image, self.model.patch_size, mirror_axes=self._mirror_axes, foreground=(PANCREAS,)
        ).segmentation
        return low.with_array(logits[PANCREAS] - logits[BACKGROUND])

    def segment(self, ct: Volume) -> Volume:
        """Returns the pancreas mask of a CT in LPS order: uint8 on the low-resolution grid, all components."""
        log_odds = self.log_odds(ct)
        return log_odds.with_array((log_odds.array > 0).astype(np.uint8))

    def locate(self, ct: Volume) -> Localization:
        """Finds the region of interest.

        Args:
            ct: Hounsfield units in LPS order.

        Returns:
            The ROI; where no cluster reaches the model's minimum volume it is the documented fallback, flagged.
        """
        log_odds = self.log_odds(ct)
        grid, likely = log_odds.geometry, log_odds.array > 0
        share = self.model.grow_probability
        region = largest_cluster(
            grow(likely, log_odds.array > math.log(share / (1 - share))), grid.spacing_zyx, self.model.bridge_mm
        )
        pancreas = region & likely
        volume_ml = float(pancreas.sum()) * grid.voxel_volume_ml
        tight = roi_box(region, ct.geometry, NO_MARGIN)
        if tight is None or volume_ml < self.model.minimum_ml:
            low_box = fallback_box(resample_to_spacing(ct, self.model.spacing_mm).array)
            box = scale_box(low_box, grid.shape, ct.geometry.shape)
            nothing = log_odds.with_array(np.zeros(grid.shape, np.uint8))
            return Localization(nothing, box, "fallback", (FLAG_NOT_FOUND, FLAG_FALLBACK), 0.0)
        box = tight.expand_mm(self.model.margin_mm, ct.geometry.spacing_zyx).clip(ct.geometry.shape)
        flags = (FLAG_TRUNCATED,) if touches_border(pancreas) else ()
        mask = log_odds.with_array(pancreas.astype(np.uint8))
        return Localization(mask, box, "localizer", flags, volume_ml, tight)
