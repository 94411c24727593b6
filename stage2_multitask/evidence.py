"""Evidence for a class: where in an ROI the features lie that the classification head draws it from.

What is explained is the log-odds of a class in the ensemble's mean logits, log p / (1 - p) up to the temperature: a
single logit is defined only up to a constant that softmax takes out (Wang and Wang, "'Why Not Other Classes?': Towards
Class-Contrastive Back-Propagation Explanations", NeurIPS 2022). For two classes it is the difference of their logits.

A feature's part is its value times the gradient (HiResCAM: Draelos and Carin, "Use HiResCAM instead of Grad-CAM for
faithful explanations of convolutional neural networks", arXiv:2011.08891), summed over the channels of every encoder
level that the head takes. Each level's voxel is spread over those of the image that it stands for, so that the sum over
the map is that over the features; for a head of convolutions, leaky rectifiers, pooling and linear layers that sum
is the log-odds but for what its biases add. A window counts by its weight among the windows, a network as one of all.
Grad-CAM (Selvaraju et al., ICCV 2017), which takes the mean gradient of each channel, is measured beside it
(docs/evidence.md).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from ctcore.geometry import Box
from ctcore.inference.batches import batch_of, windows_at_once
from ctcore.inference.cover import hull
from ctcore.inference.one_thread import one_thread
from stage2_multitask.heads.encoder_levels import EncoderLevels
from stage2_multitask.heads.head import SPATIAL
from stage2_multitask.roi_grid import network_grid

if TYPE_CHECKING:
    from ctcore.inference.backends.choose import Execution
    from ctcore.inference.predict import RunningEnsemble
    from ctcore.volume import Geometry
    from stage2_multitask.heads.encoder_levels import Size
    from stage2_multitask.model import MultiTaskModel
    from stage2_multitask.network import MultiTaskNetwork
    from stage2_multitask.roi_grid import RoiGrid

FloatArray = npt.NDArray[np.float32]

Parts = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From a level's features and their gradient, each (b, c, [z,] y, x), to each place's part (b, 1, [z,] y, x)."""

MM3_PER_ML = 1000.0

INTERPOLATION = {2: "bilinear", 3: "trilinear"}
"""torch's name of linear interpolation by number of spatial dimensions."""


def hires_cam(features: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Returns each place's part of a log-odds: value times gradient, summed over the channels; see `Parts`."""
    return (features * gradient).sum(dim=1, keepdim=True)


class Explainer:
    """Says what the folds of a multi-task network draw a class from; in float32, with PyTorch, a batch at a time.

    In a deterministic run it computes on the CPU with one thread, whatever the networks ran on: the gradients of
    interpolation and pooling on a GPU are sums in any order.

    Args:
        model: what the networks have in common.
        networks: of each fold that may run, in that order, in evaluation mode; taken over.
        execution: gives the device.

    Attributes:
        networks: these.
        parts: how features and gradients become evidence.
    """

    def __init__(self, model: MultiTaskModel, networks: Sequence[MultiTaskNetwork], execution: Execution) -> None:
        self.parts: Parts = hires_cam
        self._model = model
        self._deterministic = execution.deterministic
        self._device = "cpu" if execution.deterministic else execution.device
        self.networks = [network.to(self._device).requires_grad_(False) for network in networks]
        self._scales = EncoderLevels.of_architecture(model.architecture, model.patch_size).scales

    def explain(
        self,
        grid: RoiGrid,
        geometry: Geometry,
        ensemble: RunningEnsemble,
        name: str,
        probabilities: Mapping[str, float],
    ) -> FloatArray:
        """Returns the evidence for a class on the ROI's grid (z, y, x): log-odds per ml, below 0 what speaks against.

        Args:
            grid: the ROI on the network's grid, and the way back.
            geometry: the ROI's own grid.
            ensemble: its windows, and what the first of the networks, all or fewer, say of them; of mirrored ones only
                the plain are explained.
            name: the class.
            probabilities: of every class by name, as the ensemble says.
        """
        influences = ensemble.influences(contrast(self._model.class_names, probabilities, name))
        covered = hull(ensemble.windows)
        total = np.zeros(covered.shape, np.float32)
        with one_thread("torch") if self._deterministic else contextlib.nullcontext():
            for network, influence in zip(self.networks, influences, strict=False):  # not those that did not run
                self._add(network, ensemble, influence, covered, total)
        values, box = ensemble.on_image(total[None])
        _, spacing = network_grid(geometry, self._model)
        return grid.values(values[0] / np.float32(math.prod(spacing) / MM3_PER_ML), box)

    def _add(
        self,
        network: MultiTaskNetwork,
        ensemble: RunningEnsemble,
        influence: npt.NDArray[np.float64],
        covered: Box,
        total: FloatArray,
    ) -> None:
        """Adds a network's evidence to that on the windows' hull (z, y, x)."""
        windows, flat = ensemble.windows, self._model.patch_size[0] == 1
        at_once = windows_at_once(windows[0].shape)
        for first in range(0, len(windows), at_once):
            group = windows[first : first + at_once]
            batch = torch.from_numpy(batch_of(ensemble.image, group, len(group))).to(self._device)
            toward = torch.from_numpy(influence[first : first + at_once]).to(self._device, torch.float32)
            images = batch.squeeze(SPATIAL) if flat else batch
            answer = evidence_of_windows(network, images, toward, self._scales, self.parts)
            for window, values in zip(group, answer.cpu().numpy(), strict=True):
                z, y, x = (
                    slice(a - o, b - o) for a, b, o in zip(window.start, window.stop, covered.start, strict=True)
                )
                total[z, y, x] += values[None] if flat else values


def contrast(class_names: Sequence[str], probabilities: Mapping[str, float], name: str) -> npt.NDArray[np.float64]:
    """Returns the gradient (n,) of a class's log-odds with respect to the logits of all classes.

    It is 1 for the class itself and, for each other one, less its share of their probability; equal shares where they
    have none.

    Args:
        class_names: in the order of the logits, two at least.
        probabilities: of every class by name.
        name: the class.
    """
    others = np.array([0.0 if each == name else probabilities[each] for each in class_names])
    if others.sum() == 0:
        others = np.array([float(each != name) for each in class_names])
    own = np.array([float(each == name) for each in class_names])
    return np.asarray(own - others / others.sum())


def evidence_of_windows(
    network: MultiTaskNetwork,
    images: torch.Tensor,
    toward: torch.Tensor,
    scales: Sequence[Size],
    parts: Parts = hires_cam,
) -> torch.Tensor:
    """Returns each voxel's part (b, [z,] y, x) in a weighted sum of the class logits of images.

    What the head reads of the segmentation, as a weight or by itself, is held fixed.

    Args:
        network: in evaluation mode.
        images: normalised (b, c, [z,] y, x).
        toward: weights (b, n) of the logits.
        scales: stride ([z,] y, x) of each encoder level against the image.
        parts: how features and gradients become evidence.
    """
    with torch.no_grad():
        levels: Sequence[torch.Tensor] = network.encoder(images)
        segmentation = network.decoder(levels) if network.head.uses_segmentation else None
    with torch.enable_grad():
        leaves = [level.detach().requires_grad_() for level in levels]
        explained = (network.head(leaves, segmentation) * toward).sum()
        gradients = torch.autograd.grad(explained, leaves, allow_unused=True)
    total = images.new_zeros((len(images), *images.shape[SPATIAL:]))
    for level, gradient, scale in zip(leaves, gradients, scales, strict=True):
        if gradient is not None:  # the head takes this level
            total += spread(parts(level.detach(), gradient), scale, images.shape[SPATIAL:])
    return total


def spread(values: torch.Tensor, scale: Size, size: Sequence[int]) -> torch.Tensor:
    """Returns a level's values on the image's grid (b, [z,] y, x), with the same sum.

    Linear interpolation between the middles of the blocks of voxels that the level's stand for; their sum is kept but
    for blocks that the image's end cuts.

    Args:
        values: (b, 1, [z,] y, x).
        scale: edge of a block ([z,] y, x).
        size: of the image ([z,] y, x).
    """
    blocks = [n * s for n, s in zip(values.shape[SPATIAL:], scale, strict=True)]
    fine = functional.interpolate(values, size=blocks, mode=INTERPOLATION[len(blocks)], align_corners=False)
    for axis, length in enumerate(size, start=SPATIAL):
        fine = fine.narrow(axis, 0, length)
    return fine[:, 0] / math.prod(scale)
