"""Bootstrap intervals of AUROC and AP: cases drawn with replacement, positive and negative ones apart.

Percentile intervals (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). Positives and negatives
are drawn apart, so that every replicate has the study's numbers of both. A case is drawn with all its findings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ctcore.evaluation.statistics.curves import Floats

Interval = tuple[float, float]

CONFIDENCE_LEVEL = 0.95
"""Share of replicates within an interval."""

_CHUNK_ELEMENTS = 4_000_000
"""Replicates x items that are held in memory at once."""


def auroc_interval(scores: Sequence[float], positive: Sequence[bool], replicates: int, seed: int) -> Interval | None:
    """Returns the interval of the AUROC, or None if it is undefined or no replicate is asked for.

    Args:
        scores: one a case.
        positive: one a case.
        replicates: number of bootstrap samples.
        seed: of the random draws.
    """
    truth = np.asarray(positive, dtype=bool)
    if replicates < 1 or truth.all() or not truth.any():
        return None
    starts, order = _groups(np.asarray(scores, dtype=np.float64))
    areas = []
    for drawn in draws(truth, replicates, seed, truth.size):
        ordered = drawn[:, order]
        positives = np.add.reduceat(ordered * truth[order], starts, axis=1).astype(np.float64)
        negatives = np.add.reduceat(ordered * ~truth[order], starts, axis=1).astype(np.float64)
        below = negatives.sum(axis=1, keepdims=True) - np.cumsum(negatives, axis=1)  # scores fall along the axis
        areas.append((positives * (below + negatives / 2)).sum(axis=1))
    return _percentiles(np.concatenate(areas) / (truth.sum() * (~truth).sum()))


def average_precision_interval(
    findings: Sequence[Sequence[tuple[bool, float]]], positive: Sequence[bool], replicates: int, seed: int
) -> Interval | None:
    """Returns the interval of the AP, or None if there is no lesion or no replicate is asked for.

    Replicates without any lesion, which can be drawn if a positive case has none in its label, have no AP and are left
    out.

    Args:
        findings: for every case its (is a lesion, confidence).
        positive: one a case.
        replicates: number of bootstrap samples.
        seed: of the random draws.
    """
    case = np.array([index for index, made in enumerate(findings) for _ in made], dtype=np.intp)
    lesion = np.array([is_lesion for made in findings for is_lesion, _ in made], dtype=bool)
    if replicates < 1 or not lesion.any():
        return None
    confidences = np.array([confidence for made in findings for _, confidence in made], dtype=np.float64)
    starts, order = _groups(confidences)
    case, lesion, confidences = case[order], lesion[order], confidences[order]
    counts = confidences[starts] > 0  # the precision at threshold 0 is defined as 0
    truth = np.asarray(positive, dtype=bool)
    areas = []
    for drawn in draws(truth, replicates, seed, max(truth.size, case.size)):
        of_finding = drawn[:, case]
        hits = np.add.reduceat(of_finding * lesion, starts, axis=1).astype(np.float64)
        called = np.cumsum(np.add.reduceat(of_finding, starts, axis=1), axis=1)
        precision = np.cumsum(hits, axis=1) / np.maximum(called, 1)
        lesions = hits.sum(axis=1)
        area = (hits * precision * counts).sum(axis=1)
        areas.append(area[lesions > 0] / lesions[lesions > 0])
    values = np.concatenate(areas)
    return _percentiles(values) if values.size else None


def _groups(values: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Returns where each distinct value starts once sorted from high to low, and that order."""
    order = np.argsort(-values, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(values[order]) != 0))
    return starts, order


def draws(positive: npt.NDArray[np.bool_], replicates: int, seed: int, items: int) -> Iterator[npt.NDArray[np.int32]]:
    """Yields arrays (replicates, cases) of how often each case was drawn, in chunks of bounded size."""
    rng = np.random.default_rng(seed)
    per_chunk = max(1, _CHUNK_ELEMENTS // max(items, 1))
    for begin in range(0, replicates, per_chunk):
        rows = min(per_chunk, replicates - begin)
        drawn = np.zeros((rows, positive.size), dtype=np.int32)
        for stratum in (np.flatnonzero(positive), np.flatnonzero(~positive)):
            if stratum.size:
                picks = stratum[rng.integers(stratum.size, size=(rows, stratum.size))]
                flat = picks + np.arange(rows)[:, None] * positive.size
                drawn += np.bincount(flat.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.int32)
        yield drawn


def _percentiles(values: Floats) -> Interval:
    """Returns the central `CONFIDENCE_LEVEL` of the replicates."""
    tail = 50 * (1 - CONFIDENCE_LEVEL)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
