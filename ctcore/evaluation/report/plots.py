"""The pictures of an evaluation: ROC, precision-recall, FROC, reliability, overlap sweep, net benefit, confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctcore.evaluation.report.figure import LINE_COLOUR, SECOND_COLOUR, frame, undefined, unit_square
from ctcore.evaluation.statistics.bootstrap import Estimate
from ctcore.evaluation.statistics.calibration import ReliabilityCurve
from ctcore.evaluation.statistics.curves import FrocCurve, PrecisionRecallCurve, RocCurve
from ctcore.evaluation.statistics.decision import DecisionCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_FALSE_POSITIVES = 8.0
"""Right end of the FROC axis, in false positives a case, where the curve goes further."""


def estimate_of(content: Mapping[str, Any]) -> Estimate:
    """Returns an estimate of `metrics.json` as a value."""
    return Estimate(content["value"], None if content["ci95"] is None else tuple(content["ci95"]))


def text_of(estimate: Estimate) -> str:
    """Returns a number with its interval for a title."""
    if estimate.value is None:
        return "undefined"
    if estimate.ci95 is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} (95 % CI {estimate.ci95[0]:.3f} to {estimate.ci95[1]:.3f})"


def draw_roc(axes: Axes, curve: RocCurve | None, auroc: Estimate, positive: int, negative: int) -> None:
    """Draws the patient-level ROC curve, or why there is none."""
    title = f"Patients: AUROC {text_of(auroc)}\n{positive} positive, {negative} negative"
    frame(axes, title, "False positive rate (1 - specificity)", "Sensitivity")
    unit_square(axes)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    if curve is None:
        undefined(axes, "undefined: needs positive\nand negative cases")
    else:
        axes.plot(curve.fpr, curve.tpr, color=LINE_COLOUR, linewidth=1.8)


def draw_rocs(axes: Axes, title: str, curves: Mapping[str, tuple[RocCurve | None, Estimate]]) -> None:
    """Draws several ROC curves into one panel, the legend with each one's AUROC.

    Args:
        axes: the panel.
        title: its title.
        curves: curve and AUROC by name; a curve that is None is undefined.
    """
    frame(axes, title, "False positive rate (1 - specificity)", "Sensitivity")
    unit_square(axes)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    for name, (curve, auroc) in curves.items():
        nowhere = np.empty(0)
        x, y = (nowhere, nowhere) if curve is None else (curve.fpr, curve.tpr)
        axes.plot(x, y, linewidth=1.6, label=f"{name}: {text_of(auroc)}")  # the legend names undefined ones too
    axes.legend(frameon=False, loc="lower right", fontsize=7)


def draw_precision_recall(
    axes: Axes, curve: PrecisionRecallCurve | None, ap: Estimate, lesions: int, hits: int
) -> None:
    """Draws the lesion-level precision-recall curve at the thresholds that candidates reach."""
    frame(axes, f"Lesions: AP {text_of(ap)}\n{lesions} lesions, {hits} hit", "Recall (lesions hit)", "Precision")
    unit_square(axes)
    if curve is None:
        undefined(axes, "undefined: the labels\nhold no lesion")
        return
    reached = curve.thresholds > 0
    recall = np.concatenate([[0.0], curve.recall[reached]])
    precision = np.concatenate([curve.precision[reached][:1], curve.precision[reached]])
    if recall.size > precision.size:
        undefined(axes, "no candidate")
        return
    axes.plot(recall, precision, color=LINE_COLOUR, linewidth=1.8, drawstyle="steps-pre")
    axes.fill_between(recall, precision, step="pre", color=LINE_COLOUR, alpha=0.12, linewidth=0)


def draw_froc(axes: Axes, curve: FrocCurve | None, lesions: int, cases: int) -> None:
    """Draws lesion sensitivity over false positives a case."""
    frame(axes, f"FROC\n{lesions} lesions in {cases} cases", "False positives per case", "Lesion sensitivity")
    axes.set_ylim(-0.01, 1.02)
    if curve is None:
        undefined(axes, "undefined: the labels\nhold no lesion")
        return
    end = min(max(float(curve.false_positives_per_case[-1]), 1.0), MOST_FALSE_POSITIVES)
    axes.set_xlim(-0.01 * end, end)
    x = np.append(curve.false_positives_per_case, end)
    axes.plot(x, np.append(curve.sensitivity, curve.sensitivity[-1]), color=LINE_COLOUR, drawstyle="steps-post")


def draw_reliability(axes: Axes, curve: ReliabilityCurve, brier: Estimate, ece: Estimate) -> None:
    """Draws how often cases of a predicted probability are positive; a dot's area grows with the bin's cases."""
    title = f"Reliability of the score\nBrier {text_of(brier)}, ECE {text_of(ece)}"
    frame(axes, title, "Mean score of the bin", "Share of positive cases")
    unit_square(axes)
    axes.title.set_fontsize(8)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    filled = curve.cases > 0
    predicted, observed, cases = curve.predicted[filled], curve.observed[filled], curve.cases[filled]
    axes.plot(predicted, observed, color=LINE_COLOUR, linewidth=1.0)
    axes.scatter(predicted, observed, s=20 + 300 * cases / cases.sum(), color=LINE_COLOUR, alpha=0.6)
    for x, y, n in zip(predicted, observed, cases, strict=True):
        axes.annotate(str(n), (x, y), textcoords="offset points", xytext=(0, -14), ha="center", fontsize=7)


def draw_sweep(axes: Axes, overlaps: Sequence[float], estimates: Sequence[Estimate], chosen: float, kind: str) -> None:
    """Draws the AP over the smallest overlap of a hit, with its interval."""
    frame(axes, "AP by the smallest overlap of a hit", f"Smallest {kind}", "AP")
    axes.set_ylim(-0.01, 1.02)
    known = [(x, e) for x, e in zip(overlaps, estimates, strict=True) if e.value is not None]
    if not known:
        undefined(axes, "undefined: the labels\nhold no lesion")
        return
    x = [overlap for overlap, _ in known]
    axes.axvline(chosen, color="grey", linewidth=0.8, linestyle=":")
    axes.plot(x, [e.value or 0.0 for _, e in known], color=LINE_COLOUR, marker="o", markersize=4)
    bands = [(overlap, e.ci95) for overlap, e in known if e.ci95 is not None]
    if bands:
        axes.fill_between(
            [overlap for overlap, _ in bands],
            [band[0] for _, band in bands],
            [band[1] for _, band in bands],
            color=LINE_COLOUR,
            alpha=0.12,
            linewidth=0,
        )


def draw_net_benefit(axes: Axes, curve: DecisionCurve, prevalence: float) -> None:
    """Draws the decision curve: net benefit of acting by the score, on everyone, on no one."""
    frame(axes, "Decision curve", "Threshold probability", "Net benefit")
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.05, max(prevalence, 0.05) * 1.1)
    axes.plot(curve.thresholds, curve.model, color=LINE_COLOUR, label="score")
    axes.plot(curve.thresholds, curve.treat_all, color=SECOND_COLOUR, linewidth=1.0, label="everyone")
    axes.axhline(0, color="grey", linewidth=1.0, label="no one")
    axes.legend(frameon=False)


def draw_confusion(axes: Axes, names: Sequence[str], counts: npt.NDArray[np.int64]) -> None:
    """Draws the confusion matrix: rows are the true classes, columns the predicted ones."""
    frame(axes, f"Confusion: {int(counts.sum())} cases", "Predicted class", "True class")
    axes.grid(visible=False)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=30 if len(names) > 2 else 0)
    axes.set_yticks(range(len(names)), names)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, str(int(counts[row, column])), ha="center", va="center", color=colour, fontsize=12)
