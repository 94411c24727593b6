"""Stopping before the last fold where the folds to come cannot change the decision.

With early exit, the score of a case is the mean of the scores that its folds have by themselves: candidates and fusion
of each. That is not the score of the folds' mean logits, which a run without early exit has: logits have no bound, so
that nothing could be said of those to come, while every score lies within 0..1.

What is proven, of K folds after j with scores that add up to S, and a threshold t: the mean of all K is at least S / K
and at most (S + K - j) / K. If S / K >= t the decision of all K folds is positive; if (S + K - j) / K < t it is
negative. A run stops only if one of the two holds at every operating point of the bundle. The mean S / j of the folds
that ran is then on the same side: S / j >= S / K, and from (S + K - j) / K < t and t <= 1 follows S / j < t.

What is not: that the score is the one that all folds would give (only its side of the thresholds is), that the
decision is that of a run without early exit, or anything of candidates and maps, which are those of the mean logits of
the folds that ran.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctcore.detection.fusion import FusionResult
    from pipeline.scored import Scored
    from pipeline.stages import Prediction, RunningStage

FLAG_EARLY_EXIT = "early_exit"
"""Flag of a case that was decided before its last fold."""

ROUNDING = 1e-9
"""How far a bound must lie beyond a threshold, lest rounding decides."""


def settled(scores: Sequence[float], folds: int, thresholds: Sequence[float]) -> bool:
    """Tells whether the mean of all folds' scores is known to be on one side of every threshold.

    Args:
        scores: of the folds so far, each within 0..1.
        folds: how many there are in all.
        thresholds: a score that reaches one is positive.
    """
    total = math.fsum(scores)
    low, high = total / folds, (total + folds - len(scores)) / folds
    return all(low >= threshold + ROUNDING or high < threshold - ROUNDING for threshold in thresholds)


def run_folds(
    running: RunningStage, score: Callable[[Prediction], Scored], thresholds: Sequence[float]
) -> tuple[Prediction, list[Scored]]:
    """Runs fold after fold until the decision is settled.

    Args:
        running: an ROI, with two folds left at least.
        score: what a prediction is worth.
        thresholds: of the operating points, one at least.

    Returns:
        What the folds that ran say together, and what each of them is worth by itself.
    """
    folds = running.folds_left
    alone: list[Scored] = []
    while running.folds_left and not (alone and settled([s.fused.score for s in alone], folds, thresholds)):
        alone.append(score(running.add_apart()))
    return running.finish(), alone


def mean_of_folds(together: Scored, alone: Sequence[Scored]) -> Scored:
    """Returns the candidates of the folds together with the mean of their scores, probabilities and terms."""
    results = [scored.fused for scored in alone]
    scores = _mean([result.scores for result in results])
    fused: FusionResult = replace(
        together.fused,
        score=math.fsum(result.score for result in results) / len(results),
        scores=scores,
        label=max(scores, key=scores.__getitem__),
        terms=_mean([result.terms for result in results]),
    )
    return replace(together, classes=_mean([scored.classes for scored in alone]), fused=fused)


def _mean(values: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: math.fsum(value[name] for value in values) / len(values) for name in values[0]}
