"""Which pictures an evaluation has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ctcore.evaluation.figures import OVERLAP_SWEEP, class_table, is_probability
from ctcore.evaluation.metrics import Metrics
from ctcore.evaluation.report import plots
from ctcore.evaluation.report.figure import save_plot
from ctcore.evaluation.statistics.calibration import reliability_curve
from ctcore.evaluation.statistics.curves import froc_curve, precision_recall_curve, roc_curve
from ctcore.evaluation.statistics.decision import decision_curve
from ctcore.evaluation.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DECISION_THRESHOLDS = np.linspace(0.0, 0.99, 100)


def draw_all(folder: Path, study: Study, metrics: Metrics) -> list[str]:
    """Draws all pictures of a study as PNG and SVG; returns their names, in the order in which to show them.

    Reliability and decision curve are left out where scores are not probabilities.
    """
    counts, parts = metrics.counts, metrics.parts
    positive, scores = study.positive, study.scores
    findings = [finding for record in study.records for finding in record.match.findings]
    classes = class_table(study)
    confusion = classes.confusion
    roc = roc_curve(scores, positive)
    precision_recall = precision_recall_curve(findings)
    froc = froc_curve(findings, counts.cases)
    sweep = [plots.estimate_of(parts["overlap_sweep"][f"{overlap:.2f}"]) for overlap in OVERLAP_SWEEP]

    pictures: dict[str, Callable[[Axes], None]] = {
        "roc": lambda axes: plots.draw_roc(axes, roc, metrics.auroc, counts.positive, counts.negative),
        "precision_recall": lambda axes: plots.draw_precision_recall(
            axes, precision_recall, metrics.ap, counts.lesions, counts.hits
        ),
        "froc": lambda axes: plots.draw_froc(axes, froc, counts.lesions, counts.cases),
        "overlap_sweep": lambda axes: plots.draw_sweep(
            axes, OVERLAP_SWEEP, sweep, study.rule.min_overlap, str(study.settings["overlap"])
        ),
        "confusion": lambda axes: plots.draw_confusion(axes, classes.names, confusion),
    }
    if is_probability(scores):
        reliability = reliability_curve(scores, positive)
        decision = decision_curve(scores, positive, DECISION_THRESHOLDS)
        of_score = parts["calibration"]["score"]
        brier, ece = plots.estimate_of(of_score["brier"]), plots.estimate_of(of_score["ece"])
        pictures["reliability"] = lambda axes: plots.draw_reliability(axes, reliability, brier, ece)
        pictures["decision"] = lambda axes: plots.draw_net_benefit(axes, decision, float(positive.mean()))
    for name, draw in pictures.items():
        save_plot(folder, name, draw)
    return list(pictures)
