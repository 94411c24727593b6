"""How the class logits of an image's windows become those of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Aggregation = Literal["foreground-weighted mean", "mean", "max"]

FOREGROUND_EPSILON = 1e-4
"""Added to a window's foreground share, so that windows count alike where the network sees no foreground at all."""


def foreground_share(logits: npt.NDArray[np.float32], foreground: Sequence[int]) -> float:
    """Returns the mean over a window's voxels of the softmax probability of the foreground labels, 0 to 1.

    Args:
        logits: segmentation logits (k, z, y, x).
        foreground: the label values, each from 0 to k - 1, whose probabilities are summed.

    Raises:
        ValueError: a label is not among the network's outputs.
    """
    labels = sorted(set(foreground))
    if not labels or labels[0] < 0 or labels[-1] >= logits.shape[0]:
        raise ValueError(f"foreground labels {list(foreground)} are not among the outputs 0 to {logits.shape[0] - 1}")
    total = 0.0
    for z in range(logits.shape[1]):  # slice by slice: the exponentials of a whole window would double its memory
        powers = np.exp(logits[:, z] - logits[:, z].max(axis=0))
        total += float((powers[labels].sum(axis=0) / powers.sum(axis=0)).sum(dtype=np.float64))
    return total / float(np.prod(logits.shape[1:]))


def aggregate_classes(
    logits: npt.NDArray[np.float32], shares: npt.NDArray[np.float64], rule: Aggregation
) -> npt.NDArray[np.float32]:
    """Returns the class logits (n,) of an image from those of its windows.

    Args:
        logits: class logits (windows, n), at least one window.
        shares: foreground share (windows,) of each window; only the weighted mean looks at it.
        rule: `foreground-weighted mean`: mean of the logits with weights share + `FOREGROUND_EPSILON`, for a window
            that holds no pancreas knows little about it; `mean`: plain mean; `max`: every class keeps its greatest
            log-probability (a window's logits are only defined up to a constant, so these are compared, not the raw
            logits).

    Raises:
        ValueError: the rule is unknown.
    """
    values = logits.astype(np.float64)
    if rule == "foreground-weighted mean":
        weights = shares + FOREGROUND_EPSILON
        return np.asarray(weights @ values / weights.sum(), np.float32)
    if rule == "mean":
        return np.asarray(values.mean(axis=0), np.float32)
    if rule == "max":
        return np.asarray(_log_probabilities(values).max(axis=0), np.float32)
    raise ValueError(f"unknown class aggregation '{rule}'; use one of {', '.join(get_args(Aggregation))}")


@dataclass(frozen=True, eq=False)
class WindowVotes:
    """What one network says of the class in each window of an image.

    Attributes:
        logits: class logits (windows, n).
        shares: foreground share (windows,) of each window, where the rule looks at it.
        rule: how they become the image's.
    """

    logits: npt.NDArray[np.float32]
    shares: npt.NDArray[np.float64]
    rule: Aggregation

    def together(self) -> npt.NDArray[np.float32]:
        """Returns the class logits (n,) of the image; see `aggregate_classes`."""
        return aggregate_classes(self.logits, self.shares, self.rule)

    def influence(self, toward: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Returns the gradient (windows, n) of a weighted sum of the image's logits with respect to the windows'.

        Args:
            toward: weights (n,) of the image's logits. The foreground shares are held fixed.
        """
        if self.rule == "max":
            log_probability = _log_probabilities(self.logits.astype(np.float64))
            chosen = np.zeros(self.logits.shape)
            chosen[log_probability.argmax(axis=0), np.arange(self.logits.shape[1])] = toward
            return np.asarray(chosen - np.exp(log_probability) * chosen.sum(axis=1, keepdims=True))
        counted = np.ones(len(self.logits)) if self.rule == "mean" else self.shares + FOREGROUND_EPSILON
        return np.outer(counted / counted.sum(), toward)


def _log_probabilities(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the logarithm of the softmax of each window's logits (windows, n)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
