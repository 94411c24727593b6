"""picai_eval, the reference implementation of the evaluation, without its notice on the console."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from functools import cache
from typing import Any

from ctcore.evaluation.matching import CaseMatch, Outcome


@cache
def picai() -> Any:
    """Returns the package, imported quietly."""
    with contextlib.redirect_stdout(io.StringIO()):
        import picai_eval
        import picai_eval.eval
    return picai_eval


def decisions(match: CaseMatch) -> list[tuple[int, float, float]]:
    """Returns what picai_eval lists for a case: (is a lesion, confidence, overlap), sorted."""
    listed = [
        (int(candidate.outcome is Outcome.HIT), candidate.confidence, candidate.overlap)
        for candidate in match.candidates
        if candidate.outcome is not Outcome.IGNORED
    ]
    return sorted(listed + [(1, 0.0, 0.0)] * match.n_missed)


def evaluate_quietly(maps: Sequence[Any], labels: Sequence[Any], **options: Any) -> Any:
    """Runs picai_eval's evaluation of many cases without its output; returns its `Metrics`."""
    with contextlib.redirect_stdout(io.StringIO()):
        return picai().evaluate(maps, labels, **options)
