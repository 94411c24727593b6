"""The localizer: CT -> pancreas mask -> region of interest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ctcore.bspline import bspline_to_spacing, nearest_from_first
from ctcore.geometry import Box, to_lps
from ctcore.inference.backends.stored_network import StoredNetwork, identity_of
from ctcore.nnunet.exported import build_loaded, chosen_folds, load_model, weights_file
from ctcore.nnunet.processing import ProcessedImage, process
from ctcore.resample import resample_array, resample_to_spacing, resampled_geometry
from ctcore.volume import Geometry, Volume
from stage1_localizer.model import LocalizerModel
from stage1_localizer.roi import centre_roi_box, fallback_box, largest_cluster, roi_box, scale_box, touches_border

if TYPE_CHECKING:
    import torch

    from ctcore.inference.backends.choose import Execution

FALLBACK_MM = (5.0, 5.0, 5.0)
"""Spacing at which the body's outline is sought where the network's own axes are another's."""

FLAG_NOT_FOUND = "pancreas_not_found"
FLAG_FALLBACK = "roi_fallback"
FLAG_TRUNCATED = "field_of_view_truncated"


@dataclass(frozen=True)
class Localization:
    """Where the pancreas is.

    Attributes:
        pancreas: largest cluster of the predicted mask, uint8, on a grid over the CT's field of view; empty if none.
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
        from ctcore.inference.batches import batch_shape

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

        build = partial(build_unet, self.model.architecture, 1, self.model.output_channels)
        network = build_loaded(build, folder, fold)
        return for_windows(network, self.model.patch_size)

    @property
    def as_stored(self) -> bool:
        """Whether images are expected in the order of axes of their files, as nnU-Net has it, and not in LPS order."""
        return self.model.processing is not None

    @property
    def flags(self) -> tuple[str, ...]:
        """What a reader must know of how the networks compute now."""
        from ctcore.inference.backends.backend import flags_of

        return flags_of(self._backends)

    def segment(self, ct: Volume) -> Volume:
        """Returns the pancreas mask of a CT: uint8 on the low-resolution grid, all components.

        That grid covers the CT's field of view, or has its first voxel where the model's B-splines begin.
        """
        from ctcore.inference.predict import predict_ensemble

        model = self.model
        if model.processing is None:
            low = resample_to_spacing(ct, model.spacing_mm)
            image, processed = model.normalization.apply(np.rint(low.array))[None], None
        else:
            low = ct if model.bspline_mm is None else bspline_to_spacing(ct, model.bspline_mm)
            processed = process(
                low.array, low.geometry.spacing_zyx, model.processing, model.normalization.apply, model.spacing_mm
            )
            image = processed.image
        channel = model.channel_of(model.pancreas_label)
        prediction = predict_ensemble(
            self._backends, image, model.patch_size, mirror_axes=self._mirror_axes, foreground=(channel,)
        )
        logits = prediction.segmentation
        mask = logits[channel] > 0 if model.regions else logits.argmax(axis=0) == channel
        return low.with_array(mask.astype(np.uint8)) if processed is None else self._on_grid(mask, processed, low)

    def _on_grid(self, mask: npt.NDArray[np.bool_], processed: ProcessedImage, low: Volume) -> Volume:
        """Returns a mask of the network's grid on a grid over the field of view of what was processed."""
        whole = Box.whole(processed.whole)
        if processed.inside != whole or self.model.bspline_mm is not None:
            inside = resample_array(mask.astype(np.uint8), processed.inside.shape, "nearest")
            return low.with_array(processed.as_stored(inside))
        stored = processed.processing.backward(mask.astype(np.uint8))
        shape = (stored.shape[0], stored.shape[1], stored.shape[2])
        return Volume(stored, resampled_geometry(low.geometry, shape))

    def locate(self, ct: Volume) -> Localization:
        """Finds the region of interest.

        Args:
            ct: Hounsfield units, in the order of axes that the model was trained with.

        Returns:
            The ROI; where no cluster reaches the model's minimum volume it is the documented fallback, flagged.
        """
        mask = self.segment(ct)
        pancreas = largest_cluster(mask.array, mask.geometry.spacing_zyx, self.model.bridge_mm)
        volume_ml = float(pancreas.sum()) * mask.geometry.voxel_volume_ml
        flags: list[str] = []
        box = None
        if volume_ml >= self.model.minimum_ml and not math.isclose(volume_ml, 0.0):
            box = self._box(pancreas, mask.geometry, ct.geometry)
            if touches_border(pancreas):
                flags.append(FLAG_TRUNCATED)
        else:
            pancreas = np.zeros_like(pancreas)
            volume_ml = 0.0
        source: Literal["localizer", "fallback"] = "localizer"
        if box is None:
            source = "fallback"
            flags += [FLAG_NOT_FOUND, FLAG_FALLBACK]
            box = _fallback(ct, self.model.spacing_mm if self.model.processing is None else FALLBACK_MM)
        found = mask.with_array(pancreas.astype(np.uint8))
        if self.model.bspline_mm is not None:
            found = ct.with_array(nearest_from_first(found.array, found.geometry, ct.geometry))
        return Localization(found, box, source, tuple(flags), volume_ml)

    def _box(self, pancreas: npt.NDArray[Any], grid: Geometry, ct: Geometry) -> Box | None:
        if self.model.roi_rule == "voxel-centres":
            return centre_roi_box(pancreas, grid, ct, self.model.margin_mm)
        return roi_box(pancreas, ct, self.model.margin_mm)


def _fallback(ct: Volume, spacing_zyx: tuple[float, float, float]) -> Box:
    """Returns the ROI of a CT in any order of axes in which no pancreas was found, from its outline at a spacing."""
    lps, reorientation = to_lps(ct)
    low = resample_to_spacing(lps, spacing_zyx)
    return reorientation.restore_box(scale_box(fallback_box(low.array), low.geometry.shape, lps.geometry.shape))
