"""The localizer: CT -> pancreas mask -> region of interest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ctcore.geometry import Box
from ctcore.inference.backends.stored_network import StoredNetwork, identity_of
from ctcore.nnunet.exported import chosen_folds, load_model, load_weights, weights_file
from ctcore.resample import resample_to_spacing
from ctcore.volume import Volume
from stage1_localizer.model import LocalizerModel
from stage1_localizer.roi import fallback_box, largest_cluster, roi_box, scale_box, touches_border

if TYPE_CHECKING:
    import torch

    from ctcore.inference.backends.choose import Execution

PANCREAS = 1

FLAG_NOT_FOUND = "pancreas_not_found"
FLAG_FALLBACK = "roi_fallback"
FLAG_TRUNCATED = "field_of_view_truncated"


@dataclass(frozen=True)
class Localization:
    """Where the pancreas is.

    Attributes:
        pancreas: largest cluster of the predicted mask, uint8, on the low-resolution LPS grid; empty if none.
        box: region of interest, an index box of the CT's grid.
        source: `localizer`, or `fallback` where nothing was found and the box comes from the body's outline.
        flags: what a reader must know.
        pancreas_ml: volume of the mask in millilitres.
    """

    pancreas: Volume
    box: Box
    source: Literal["localizer", "fallback"]
    flags: tuple[str, ...]
    pancreas_ml: float


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
        from ctcore.inference.predict import batch_shape

        self.model = load_model(folder, LocalizerModel)
        self._mirror_axes = self.model.mirror_axes if tta else ()
        self._backends = []
        for fold in chosen_folds(self.model, folds):
            described = (self.model.architecture, self.model.output_channels, self.model.patch_size)
            identity = identity_of(weights_file(folder, fold), described, __package__)
            network = StoredNetwork(identity, batch_shape(self.model.patch_size), partial(self._build, folder, fold))
            self._backends.append(make_backend(network, execution))

    def _build(self, folder: Path, fold: str) -> torch.nn.Module:
        from ctcore.inference.slices import for_windows
        from ctcore.nnunet.networks import build_unet

        network = build_unet(self.model.architecture, 1, self.model.output_channels)
        load_weights(network, folder, fold)
        return for_windows(network, self.model.patch_size)

    @property
    def flags(self) -> tuple[str, ...]:
        """What a reader must know of how the networks compute now."""
        from ctcore.inference.backends.backend import flags_of

        return flags_of(self._backends)

    def segment(self, ct: Volume) -> Volume:
        """Returns the pancreas mask of a CT in LPS order: uint8 on the low-resolution grid, all components."""
        from ctcore.inference.predict import predict_ensemble

        low = resample_to_spacing(ct, self.model.spacing_mm)
        image = self.model.normalization.apply(np.rint(low.array))[None]
        prediction = predict_ensemble(
            self._backends, image, self.model.patch_size, mirror_axes=self._mirror_axes, foreground=(PANCREAS,)
        )
        labels = prediction.segmentation.argmax(axis=0)
        return low.with_array((labels == PANCREAS).astype(np.uint8))

    def locate(self, ct: Volume) -> Localization:
        """Finds the region of interest.

        Args:
            ct: Hounsfield units in LPS order.

        Returns:
            The ROI; where no cluster reaches the model's minimum volume it is the documented fallback, flagged.
        """
        mask = self.segment(ct)
        pancreas = largest_cluster(mask.array, mask.geometry.spacing_zyx, self.model.bridge_mm)
        volume_ml = float(pancreas.sum()) * mask.geometry.voxel_volume_ml
        flags: list[str] = []
        box = None
        if volume_ml >= self.model.minimum_ml and not math.isclose(volume_ml, 0.0):
            box = roi_box(pancreas, ct.geometry, self.model.margin_mm)
            if touches_border(pancreas):
                flags.append(FLAG_TRUNCATED)
        else:
            pancreas = np.zeros_like(pancreas)
            volume_ml = 0.0
        source: Literal["localizer", "fallback"] = "localizer"
        if box is None:
            source = "fallback"
            flags += [FLAG_NOT_FOUND, FLAG_FALLBACK]
            low_box = fallback_box(resample_to_spacing(ct, self.model.spacing_mm).array)
            box = scale_box(low_box, mask.geometry.shape, ct.geometry.shape)
        return Localization(mask.with_array(pancreas.astype(np.uint8)), box, source, tuple(flags), volume_ml)
