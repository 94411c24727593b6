"""Networks that have forgotten, and how much of a map is left: the sanity checks of Adebayo et al., NeurIPS 2018."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from stage2_multitask.network import MultiTaskNetwork

FloatArray = npt.NDArray[np.float32]

STEP = 2
"""Every second voxel along each axis is compared: the map is finer than what it is made of."""

SHOWS = 0.05
"""From this value on a map shows something."""


def forgotten(network: MultiTaskNetwork, seed: int) -> Iterator[tuple[str, MultiTaskNetwork]]:
    """Yields a network with ever more random weights, from the last layer down.

    Args:
        network: stays as it is.
        seed: of the random weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        changed = copy.deepcopy(network)
        encoder = changed.encoder
        steps: list[tuple[str, nn.Module]] = [
            ("last layer", list(changed.head.children())[-1]),
            ("head", changed.head),
            ("head, coarsest level", list(encoder.get_submodule("stages").children())[-1]),
            ("head, encoder", encoder),
        ]
        for name, module in steps:
            for layer in module.modules():
                reset: Callable[[], None] | None = getattr(layer, "reset_parameters", None)
                if reset is not None:
                    reset()
            yield name, changed


def likeness(one: FloatArray, other: FloatArray) -> tuple[float, float]:
    """Returns how alike two maps (z, y, x), 0 to 1, are: Spearman's rank correlation and structural similarity.

    The similarity is the mean over the voxels where either map shows something: where both are empty, as most of an
    ROI is in any two maps, it is 1 by definition, and its mean over all would say how empty they are.
    """
    from scipy.stats import spearmanr
    from skimage import metrics

    structural_similarity: Any = metrics.structural_similarity  # it has no types
    correlation = float(spearmanr(one, other, axis=None).statistic)
    _, everywhere = structural_similarity(one, other, data_range=1.0, full=True)
    return correlation, float(everywhere[np.maximum(one, other) >= SHOWS].mean())


def shown(density: FloatArray) -> FloatArray:
    """Returns the map (z, y, x) that a reader sees, coarser."""
    positive = np.maximum(density, 0)[::STEP, ::STEP, ::STEP]
    return np.asarray(positive / max(float(positive.max()), 1e-12), np.float32)
