"""The multi-task predictor: ROI -> lesion probability, segmentation, class probabilities."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctcore.errors import RequestError
from ctcore.geometry import Box, Triple
from ctcore.inference.backends.stored_network import StoredNetwork, identity_of
from ctcore.inference.effort import SLAB_VOXELS, Effort
from ctcore.nnunet.exported import build_loaded, chosen_folds, load_model, weights_file
from ctcore.volume import Geometry, Volume
from stage2_multitask.class_frequencies import without_priors
from stage2_multitask.heads.region_labels import regions_of
from stage2_multitask.model import MultiTaskModel
from stage2_multitask.prediction import MultiTaskPrediction
from stage2_multitask.probabilities import softmax
from stage2_multitask.roi_grid import RoiGrid, network_grid, network_mask, roi_grid
from stage2_multitask.running import RunningPrediction

if TYPE_CHECKING:
    import torch

    from ctcore.inference.backends.backend import Backend
    from ctcore.inference.backends.choose import Execution
    from ctcore.inference.cover import WindowMode
    from ctcore.inference.predict import WindowPrediction
    from stage2_multitask.evidence import Explainer


class MultiTaskPredictor:
    """A trained multi-task network, loaded once and run on any number of ROIs.

    Args:
        folder: an exported stage-2 folder.
        execution: device, backend and precision.
        folds: folds to average; all if not given.
        tta: whether to average over mirrored images (only along axes that training mirrored).
        windows: how windows are placed where `predict` is given a pancreas.
        segment: whether labels are wanted as well as lesion probabilities.
        evidence: whether a prediction can tell what a class is drawn from; takes PyTorch, and the networks once more.

    Attributes:
        effort: all of that: what `predict` does unless it is told to do less.
        explainer: tells what a class is drawn from; None where no evidence was asked for.

    Raises:
        BundleError: the folder is damaged.
        RequestError: a fold was not trained, or evidence is asked of networks without a classification head.
    """

    def __init__(
        self,
        folder: Path,
        execution: Execution,
        *,
        folds: Sequence[int | str] | None = None,
        tta: bool = False,
        windows: WindowMode = "exact",
        segment: bool = True,
        evidence: bool = False,
    ) -> None:
        from ctcore.inference.backends.choose import make_backend
        from ctcore.inference.batches import batch_shape

        self.model = load_model(folder, MultiTaskModel)
        shape = batch_shape(self.model.patch_size)
        self._foreground = regions_of(self.model.labels, self.model.lesions).foreground
        self._segment = segment
        self._backends: list[Backend] = []
        chosen = chosen_folds(self.model, folds)
        self._first_fold = chosen[0] == self.model.folds[0]
        for fold in chosen:
            network = StoredNetwork(self._identity(folder, fold), shape, partial(self._build, folder, fold))
            self._backends.append(make_backend(network, execution))
        self.effort = Effort(len(self._backends), tta and bool(self.model.mirror_axes), windows)
        self.explainer = self._make_explainer(folder, chosen, execution) if evidence else None

    def _identity(self, folder: Path, fold: str) -> str:
        model = self.model
        described = (
            model.architecture,
            model.patch_size,
            model.output_channels,
            model.labels,
            model.lesions,
            len(model.class_names),
            model.head,
        )
        return identity_of(weights_file(folder, fold), described, __package__)

    def _build(self, folder: Path, fold: str) -> torch.nn.Module:
        from ctcore.inference.slices import for_windows

        return for_windows(self._network(folder, fold), self.model.patch_size)

    def _network(self, folder: Path, fold: str) -> torch.nn.Module:
        from stage2_multitask.network import exported_network

        return build_loaded(partial(exported_network, self.model), folder, fold)

    def _make_explainer(self, folder: Path, folds: Sequence[str], execution: Execution) -> Explainer:
        from stage2_multitask.evidence import Explainer
        from stage2_multitask.network import MultiTaskNetwork

        networks = [self._network(folder, fold) for fold in folds]
        heads = [network for network in networks if isinstance(network, MultiTaskNetwork)]
        if len(heads) < len(networks):
            raise RequestError(f"model '{folder}' has no classification head to explain; leave the evidence out")
        return Explainer(self.model, heads, execution)

    @property
    def as_stored(self) -> bool:
        """Whether images are expected in the order of axes of their files, as nnU-Net has it, and not in LPS order."""
        return self.model.processing is not None

    @property
    def flags(self) -> tuple[str, ...]:
        """What a reader must know of how the networks compute now."""
        from ctcore.inference.backends.backend import flags_of

        return flags_of(self._backends)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Patient-level classes; none where the network has no classification head."""
        return self.model.class_names

    @property
    def labels(self) -> dict[str, int]:
        """Segmentation labels by value."""
        return self.model.labels

    @property
    def lesion_label(self) -> int:
        """Value of the label that becomes the detection map."""
        return self.model.labels[self.model.lesion_label]

    @property
    def lesion_labels(self) -> dict[str, int]:
        """Value of each lesion class's own label; empty where all lesions are one label."""
        return {name: self.model.labels[label] for name, label in self.model.lesion_labels.items()}

    def predict(
        self, roi: Volume, pancreas: npt.NDArray[Any] | None = None, effort: Effort | None = None
    ) -> MultiTaskPrediction:
        """Runs the network on an ROI.

        Args:
            roi: Hounsfield units in LPS order at full resolution.
            pancreas: mask (z, y, x) over the ROI's field of view, for guided windows; without one, or where it is
                empty, windows are exact.
            effort: what to do less; None: all that the predictor was made for.
        """
        running = self.begin(roi, pancreas, effort)
        while running.folds_left:
            running.add()
        return running.finish()

    def begin(
        self, roi: Volume, pancreas: npt.NDArray[Any] | None = None, effort: Effort | None = None
    ) -> RunningPrediction:
        """Prepares an ROI for the networks, which then run one after the other. Arguments: `predict`."""
        from ctcore.inference.cover import Guide
        from ctcore.inference.predict import RunningEnsemble

        effort = effort or self.effort
        grid = roi_grid(roi, self.model)
        guide = None
        if pancreas is not None and self._guided(effort):
            guide = Guide.around(grid.mask(pancreas), network_grid(roi.geometry, self.model)[1])
        ensemble = RunningEnsemble(
            grid.image,
            self.model.patch_size,
            mirror_axes=self._mirror_axes(effort),
            foreground=self._foreground,
            aggregation=self.model.aggregation,
            guide=guide,
        )
        finished = partial(self.to_prediction, grid=grid, slab_voxels=effort.slab_voxels)
        explain = None if self.explainer is None else partial(self.explainer.explain, grid, roi.geometry)
        return RunningPrediction(finished, ensemble, self._backends[: effort.folds], explain)

    def calls(self, geometry: Geometry, pancreas: npt.NDArray[Any] | None = None, effort: Effort | None = None) -> int:
        """Returns how often an ROI of this grid calls a network. Arguments: `predict`."""
        from ctcore.inference.batches import windows_at_once

        effort = effort or self.effort
        _, windows = self._windows(geometry, pancreas, effort)
        batches = -(-len(windows) // windows_at_once(self.model.patch_size))
        return effort.folds * (1 << len(self._mirror_axes(effort))) * batches

    def memory(self, geometry: Geometry, pancreas: npt.NDArray[Any], effort: Effort, apart: bool) -> int:
        """Returns the most bytes that an ROI of this grid takes, beside the networks and the ROI itself.

        Args:
            geometry: the ROI's grid.
            pancreas: mask (z, y, x) over its field of view.
            effort: how much is computed.
            apart: whether each fold's logits are kept by themselves for a while.
        """
        from stage2_multitask.memory import bytes_of

        low, windows = self._windows(geometry, pancreas, effort)
        mirrors = len(self._mirror_axes(effort))
        blends = 2 if apart and effort.folds > 1 else 1
        return bytes_of(self.model, geometry.shape, low, windows, blends, mirrors, effort.slab_voxels)

    def warm_up(self) -> float:
        """Runs every network once on nothing, so that what it allocates is there; returns the seconds of one call."""
        from ctcore.inference.batches import batch_shape

        shape = batch_shape(self.model.patch_size)
        for backend in self._backends:
            backend(np.zeros(shape, np.float32))
        begin = time.perf_counter()
        self._backends[0](np.zeros(shape, np.float32))
        return time.perf_counter() - begin

    def _mirror_axes(self, effort: Effort) -> tuple[int, ...]:
        return self.model.mirror_axes if effort.tta else ()

    def _guided(self, effort: Effort) -> bool:
        """Tells whether windows are guided; regions have no background whose logit could stand where none lies."""
        return effort.windows == "guided" and not self.model.regions

    def _windows(
        self, geometry: Geometry, pancreas: npt.NDArray[Any] | None, effort: Effort
    ) -> tuple[Triple, list[Box]]:
        """Returns sizes of the network's grid and the windows for an ROI of a grid, without its image."""
        from ctcore.inference.cover import Guide
        from ctcore.inference.predict import window_boxes

        shape, spacing = network_grid(geometry, self.model)
        guide = None
        if pancreas is not None and self._guided(effort):
            guide = Guide.around(network_mask(pancreas, shape, self.model), spacing)
        return shape, window_boxes(shape, self.model.patch_size, guide=guide)

    def to_prediction(
        self, answer: WindowPrediction, grid: RoiGrid, slab_voxels: int = SLAB_VOXELS
    ) -> MultiTaskPrediction:
        """Takes what the network says on its grid to that of the ROI.

        Args:
            answer: logits, and where they lie.
            grid: the ROI on the network's grid, and the way back.
            slab_voxels: how many of its voxels are computed at once.
        """
        model, own = self.model, self.lesion_labels
        channels = [model.channel_of(name) for name in model.lesions]
        gate = model.lesion_gate
        on_roi = grid.probabilities(answer, channels, self._segment or gate is not None, slab_voxels)
        lesions, labels = on_roi.lesions, on_roi.labels
        if gate is not None and labels is not None:
            clear_outside(lesions, labels, [model.labels[name] for name in gate.labels], gate.voxels)
        labels = labels if self._segment else None
        classes: dict[str, float] = {}
        if model.head is not None:
            if answer.class_logits is None:
                raise ValueError("the network has no classification head")
            classes = self._probabilities(answer.class_logits)
        return MultiTaskPrediction(
            np.minimum(lesions.sum(axis=0), np.float32(1)) if own else lesions[0],
            labels,
            classes,
            dict(zip(own, lesions, strict=True)) if own else {},
            tuple(map(self._probabilities, answer.each_class_logits)),
            answer.features if self._first_fold else None,
        )

    def _probabilities(self, logits: npt.NDArray[np.float32]) -> dict[str, float]:
        """Returns calibrated probabilities by class name."""
        model = self.model
        if model.post_hoc_adjustment and model.class_priors is not None:
            logits = without_priors(logits, model.class_priors, model.post_hoc_adjustment)
        return dict(zip(self.class_names, softmax(logits / model.temperature, axis=0).tolist(), strict=True))


def clear_outside(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8], inside: Sequence[int], voxels: Triple
) -> None:
    """Sets probabilities (n, z, y, x) to 0 outside some labels (z, y, x), dilated by a box of voxels; in place."""
    from scipy import ndimage

    near = ndimage.maximum_filter(np.isin(labels, inside).view(np.uint8), size=voxels, mode="constant")
    probabilities *= near
