"""How far the features of a case lie from those of reference cases: Mahalanobis' distance, its covariance shrunk.

The score of Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples", NeurIPS 2018, with one
mean for all classes. There may be fewer reference cases than features: the covariance of the features, each in units of
its standard deviation, is shrunk as Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance
matrices", Journal of Multivariate Analysis 2004, have it. Reference cases are measured against one another, each left
out of the fit that it is measured by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

LEAST_CASES = 20
"""Fewer do not tell what is far."""
LEAST_DEVIATION = 1e-3
"""Of a feature, in units of the features' median deviation: one that hardly varies would outweigh all others."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FeatureReference:
    """What features of CTs like those of training look like.

    Attributes:
        mean: (d,) of the reference cases.
        precision: (d, d) inverse of their shrunk covariance, symmetric.
        distances: (n,) of the reference cases, each from the fit to all others, rising.

    Raises:
        ValueError: shapes do not fit, a value is not finite, or the distances do not rise.
    """

    mean: Floats
    precision: Floats
    distances: Floats

    def __post_init__(self) -> None:
        length = self.mean.shape[0] if self.mean.ndim == 1 else 0
        if not length or self.precision.shape != (length, length) or self.distances.ndim != 1:
            raise ValueError(
                f"a mean of shape {self.mean.shape}, a precision of {self.precision.shape} and distances of"
                f" {self.distances.shape} do not fit"
            )
        if not all(np.isfinite(array).all() for array in (self.mean, self.precision, self.distances)):
            raise ValueError("a value is not finite")
        if len(self.distances) < LEAST_CASES or np.any(np.diff(self.distances) < 0):
            raise ValueError(f"{len(self.distances)} distances: {LEAST_CASES} at least must rise")

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """Returns a reference from its arrays by name; extra or missing ones raise ValueError, as wrong ones do."""
        if set(tensors) != {"mean", "precision", "distances"}:
            raise ValueError(f"arrays {', '.join(sorted(tensors))} are not mean, precision and distances")
        return cls(**{name: np.asarray(array, np.float32) for name, array in tensors.items()})

    @property
    def tensors(self) -> dict[str, Floats]:
        """The arrays by name, for a file."""
        return {"mean": self.mean, "precision": self.precision, "distances": self.distances}

    def distance(self, features: Floats | None) -> float | None:
        """Returns a case's distance; None where it has no features.

        Args:
            features: (d,) of the case.

        Raises:
            ValueError: they are of another length.
        """
        if features is None:
            return None
        if features.shape != self.mean.shape:
            raise ValueError(f"features of shape {features.shape} do not fit a reference of {self.mean.shape}")
        return _distance(features.astype(np.float64), self.mean.astype(np.float64), self.precision.astype(np.float64))

    def percentile(self, distance: float) -> float:
        """Returns the share of the reference cases that lie nearer, in per cent."""
        return 100.0 * float(np.searchsorted(self.distances, distance, side="left")) / len(self.distances)


def fit_reference(features: Floats) -> FeatureReference:
    """Fits a reference.

    Args:
        features: (n, d) of the reference cases, one row each.

    Raises:
        ValueError: they are too few.
    """
    if len(features) < LEAST_CASES:
        raise ValueError(f"{len(features)} reference cases are too few; give {LEAST_CASES} at least")
    rows = features.astype(np.float64)
    left_out = [_distance(row, *_fit(np.delete(rows, number, axis=0))) for number, row in enumerate(rows)]
    mean, precision = _fit(rows)
    return FeatureReference(
        mean.astype(np.float32), precision.astype(np.float32), np.sort(np.asarray(left_out, np.float32))
    )


def _fit(rows: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    from sklearn.covariance import LedoitWolf

    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    least = max(LEAST_DEVIATION * float(np.median(deviation)), float(np.finfo(np.float32).tiny))
    scale = np.maximum(deviation, least)
    precision = LedoitWolf(assume_centered=True).fit((rows - mean) / scale).precision_
    return mean, precision / np.outer(scale, scale)


def _distance(row: npt.NDArray[np.float64], mean: npt.NDArray[np.float64], precision: npt.NDArray[np.float64]) -> float:
    offset = row - mean
    return float(np.sqrt(max(0.0, float(offset @ precision @ offset))))
