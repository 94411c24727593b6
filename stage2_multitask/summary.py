"""The figures of many measured cases with their intervals, and how they are written and shown."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stage2_multitask.cohort import FUSED, HEAD, MAP, SOURCES, Cohort

if TYPE_CHECKING:
    from rich.table import Table

    from ctcore.evaluation.statistics.statistic import Statistic
    from stage2_multitask.measure import MeasuredCase

CSV_DIGITS = 10

OF_PRESENCE = "a lesion class against the others"
OF_CLASSES = "mean over the classes, each against the rest"

ACROSS_FOLDS = ("auroc", "ap", "head/auroc", "map/auroc", "fused/accuracy", "fused/macro_f1", "head/macro_f1")
"""Figures of which mean and standard deviation over the folds are given."""


def statistics_of(cohort: Cohort, beta: float) -> dict[str, Statistic]:
    """Returns every number of a cohort as a statistic of its cases; the parts of a name become nested objects.

    Args:
        cohort: the cases.
        beta: of F-beta.
    """
    from ctcore.evaluation.class_figures import class_score_statistics, class_statistics
    from ctcore.evaluation.figures import lesion_statistics, segmentation_statistics
    from ctcore.evaluation.statistics import calibration
    from ctcore.evaluation.statistics.statistic import difference, mean_of

    found: dict[str, Statistic] = {"auroc": cohort.auroc(FUSED), "ap": cohort.average_precision()}
    for source in SOURCES:
        of_source: dict[str, Statistic] = {"auroc": cohort.auroc(source)}
        if cohort.tells_presence:
            scores = cohort.lesion_scores(source)
            of_source["brier"] = calibration.brier(scores, cohort.positive)
            of_source["ece"] = calibration.expected_calibration_error(scores, cohort.positive)
        class_scores, table = cohort.class_scores(source), cohort.class_table(source)
        if class_scores is not None and table is not None:
            of_source |= class_statistics(table, beta)
            of_source |= class_score_statistics(class_scores, cohort.true, cohort.class_names)
        found |= {f"{source}/{name}": statistic for name, statistic in of_source.items()}
    for other in (HEAD, MAP):
        found[f"fusion_gain/auroc_over_{other}"] = difference(cohort.auroc(FUSED), cohort.auroc(other))
    found |= lesion_statistics(cohort.records)
    segmentation = segmentation_statistics(cohort.records)
    for measure in ("dice", "iou"):
        of_labels = [statistic for name, statistic in segmentation.items() if name.endswith(f"/{measure}")]
        found[f"segmentation_mean/{measure}"] = mean_of(of_labels)
    return found | segmentation


def summarize(cases: Sequence[MeasuredCase], *, bootstrap: int, seed: int, beta: float) -> dict[str, Any]:
    """Returns all figures of a cohort, each `{"value", "ci95"}`, nested by name; null where a figure is undefined.

    Patients are drawn with replacement, those of each class apart (`ctcore.evaluation.statistics.bootstrap`).

    Args:
        cases: the measured cases, one at least.
        bootstrap: replicates of the intervals; 0 for none.
        seed: of the replicates.
        beta: of F-beta.

    Raises:
        RequestError: there are no cases, they were measured with different classes, or a number is impossible.
    """
    from dataclasses import asdict

    from ctcore.evaluation.figures import nested
    from ctcore.evaluation.metrics import Counts
    from ctcore.evaluation.statistics.bootstrap import estimates

    cohort = Cohort.of(cases)
    found = estimates(
        statistics_of(cohort, beta),
        cohort.true,
        bootstrap,
        seed,
        groups=[case.patient_id or case.case_id for case in cohort.cases],
    )
    summary: dict[str, Any] = nested(found)
    for source in SOURCES:
        table = cohort.class_table(source)
        if table is not None:
            summary[source]["confusion"] = {"classes": list(table.names), "counts": table.confusion.tolist()}
    counts = asdict(Counts.of(cohort.records, ()))
    del counts["failed"]
    of_class = {name: int((cohort.true == index).sum()) for index, name in enumerate(cohort.class_names)}
    return {
        "auroc_of": OF_PRESENCE if cohort.tells_presence else OF_CLASSES,
        "counts": counts | {"patients": len({case.patient_id or case.case_id for case in cohort.cases})},
        "cases_by_class": of_class,
        **summary,
    }


def across_folds(by_fold: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns mean and standard deviation (of a sample) over the folds of the `ACROSS_FOLDS`, by name.

    A fold in which a figure is undefined is left out; null where too few are left: none for the mean, one for the
    standard deviation.
    """
    found: dict[str, Any] = {}
    for name in ACROSS_FOLDS:
        values = []
        for summary in by_fold.values():
            place: Any = summary
            for part in name.split("/"):
                place = place.get(part, {})
            if place.get("value") is not None:
                values.append(place["value"])
        found[name] = {
            "mean": statistics.fmean(values) if values else None,
            "sd": statistics.stdev(values) if len(values) > 1 else None,
            "folds": len(values),
        }
    return found


def cases_csv(cases: Sequence[MeasuredCase], failed: Mapping[str, str]) -> str:
    """Returns the table of all cases: one row each, empty where a figure does not exist."""
    from ctcore.evaluation.tables import CASE_COLUMNS, case_row

    rows = []
    for case in cases:
        row = case_row(case.record) | {"fold": case.fold, "patient_id": case.patient_id, "error": ""}
        row |= {f"p_{name}": value for name, value in case.probabilities.items()}
        row |= {f"score_{name}": value for name, value in case.scores.items()}
        for name, agreement in case.record.agreement.items():
            shown = not agreement.empty
            row |= {f"dice_{name}": agreement.dice if shown else "", f"iou_{name}": agreement.iou if shown else ""}
        rows.append(row | {"flags": " ".join(case.flags), "seconds": case.seconds})
    rows += [{"case_id": case_id, "status": "failed", "error": reason} for case_id, reason in failed.items()]
    seen = dict.fromkeys(name for row in rows for name in row)  # in the order of first use
    leading = ("case_id", "fold", "patient_id", *CASE_COLUMNS[1:])
    trailing = ("flags", "seconds", "error")
    columns = [*leading, *(name for name in seen if name not in (*leading, *trailing)), *trailing]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in sorted(rows, key=lambda row: str(row["case_id"])):
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _cell(value: object) -> object:
    return round(value, CSV_DIGITS) if isinstance(value, float) else value


SHOWN = (
    ("auroc", "AUROC"),
    ("one_vs_rest/auroc_macro", "AUROC, mean over classes"),
    ("one_vs_rest/average_precision_macro", "class AP, mean over classes"),
    ("accuracy", "accuracy"),
    ("balanced_accuracy", "balanced accuracy"),
    ("macro_f1", "macro-F1"),
    ("macro_f_beta", "macro-F-beta"),
    ("brier_of_classes", "Brier (0 to 2)"),
    ("ece_of_top_class", "ECE"),
)
"""Rows of the table of sources on the console."""


def tables_of(metrics: Mapping[str, Any]) -> list[Table]:
    """Returns the figures as tables for the console: by source, of lesions and labels, and by fold."""
    from rich.table import Table
    from rich.text import Text

    sources = Table("measure", "head alone", "map alone", "fused")
    for name, title in SHOWN:
        sources.add_row(title, *(_shown(_at(metrics[source], name)) for source in SOURCES))
    rest = Table("measure", "value")
    rest.add_row("lesion-level AP", _shown(metrics["ap"]))
    rest.add_row("lesion sensitivity", _shown(metrics["lesions"]["sensitivity"]))
    rest.add_row("false positives per case", _shown(metrics["lesions"]["false_positives_per_case"]))
    for label, figures in metrics["segmentation"].items():
        rest.add_row(Text(f"Dice of {label}"), _shown(figures["dice"]))
    made = [sources, rest]
    if metrics["by_fold"]:
        folds = Table("fold", "cases", "AUROC", "AP", "accuracy", "macro-F1")
        for fold, summary in metrics["by_fold"].items():
            names = ("auroc", "ap", "fused/accuracy", "fused/macro_f1")
            folds.add_row(fold, str(summary["counts"]["cases"]), *(_shown(_at(summary, name)) for name in names))
        made.append(folds)
    return made


def _at(tree: Mapping[str, Any], name: str) -> Any:
    """Returns the estimate at a name's place; an undefined one where there is none."""
    place: Any = tree
    for part in name.split("/"):
        place = place.get(part)
        if place is None:
            return {"value": None, "ci95": None}
    return place


def _shown(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "-"
    interval = estimate["ci95"]
    return f"{estimate['value']:.3f}" + ("" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]")
