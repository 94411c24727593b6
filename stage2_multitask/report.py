"""What an evaluation leaves behind: figures, tables, pictures and a page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ctcore.durable import write_text
from ctcore.errors import CaseError
from ctcore.evaluation.class_figures import BETA
from ctcore.evaluation.output import alone
from ctcore.evaluation.study import record_warnings
from ctcore.json_files import write_json
from stage2_multitask.cohort import Cohort
from stage2_multitask.evaluate import Evaluation
from stage2_multitask.summary import across_folds, cases_csv, summarize

SCHEMA_VERSION = 1
GRID = "the crop's own"

SECTIONS = (
    ("fused", "Fused score"),
    ("head", "Classification head alone"),
    ("map", "Detection map alone"),
    ("fusion_gain", "What fusion adds"),
    ("lesions", "Lesions"),
    ("segmentation", "Segmentation, by label"),
    ("segmentation_mean", "Segmentation, mean over the labels"),
)
"""Parts of `metrics.json` that the page shows as tables."""

TABLES = ("metrics.json", "cases.csv", "lesions.csv")


def metrics_of(evaluation: Evaluation, *, bootstrap: int = 1000, seed: int = 0, beta: float = BETA) -> dict[str, Any]:
    """Returns the figures as `metrics.json` holds them.

    Args:
        evaluation: what was measured.
        bootstrap: replicates of the intervals; 0 for none.
        seed: of the replicates.
        beta: of F-beta.

    Raises:
        CaseError: no case could be measured.
        RequestError: a number is impossible.
    """
    if not evaluation.cases:
        case_id, reason = next(iter(evaluation.failed.items()))
        raise CaseError(f"none of {len(evaluation.failed)} cases could be measured, the first '{case_id}': {reason}")
    cohort, scoring = Cohort.of(evaluation.cases), evaluation.scoring
    summary = summarize(evaluation.cases, bootstrap=bootstrap, seed=seed, beta=beta)
    by_fold = {
        fold: summarize(cases, bootstrap=bootstrap, seed=seed, beta=beta)
        for fold, cases in evaluation.by_fold.items()
        if cases
    }
    summary["counts"] |= {"failed": len(evaluation.failed)}
    warnings = record_warnings(cohort.records, tuple(evaluation.failed), both_kinds=cohort.tells_presence)
    return {
        "schema_version": SCHEMA_VERSION,
        "model": dict(evaluation.model),
        "settings": {
            "grid": GRID,
            "lesion_classes": list(scoring.lesion_classes),
            "candidates": scoring.candidates.model_dump(mode="json"),
            "fusion": scoring.fusion.model_dump(mode="json"),
            **{f"matching_{name}": value for name, value in asdict(scoring.rule).items()},
            "beta": beta,
            "bootstrap": bootstrap,
            "seed": seed,
        },
        "warnings": [*evaluation.notices, *warnings],
        **summary,
        "by_fold": by_fold,
        "across_folds": across_folds(by_fold) if by_fold else None,
        "failed_cases": dict(evaluation.failed),
    }


def write_evaluation(
    evaluation: Evaluation, output: Path, *, bootstrap: int = 1000, seed: int = 0, beta: float = BETA
) -> dict[str, Any]:
    """Writes tables, pictures, page and, last, `metrics.json`; returns the metrics.

    Arguments and errors: `metrics_of`; FolderInUseError: another command writes there. `cases.csv` is written even if
    no case could be measured.
    """
    from ctcore.evaluation.report.page import evaluation_page
    from ctcore.evaluation.tables import lesion_table
    from stage2_multitask.figure import draw_plots, draw_worst

    with alone(output, output / "plots"):
        (output / "metrics.json").unlink(missing_ok=True)  # the sign of a complete evaluation
        write_text(output / "cases.csv", cases_csv(evaluation.cases, evaluation.failed))
        metrics = metrics_of(evaluation, bootstrap=bootstrap, seed=seed, beta=beta)
        cohort = Cohort.of(evaluation.cases)
        write_text(output / "lesions.csv", lesion_table(cohort.records))
        plots = draw_plots(output / "plots", cohort, metrics)
        notice = "; ".join(evaluation.notices)
        draw_worst(evaluation.worst, notice, output / "worst_cases.png")
        model = metrics["model"]
        title = f"stage 2, {model['kind']}: {model.get('folder') or model['workspace']}"
        page = evaluation_page(metrics, plots, title, sections=SECTIONS, tables=TABLES, pictures=("worst_cases.png",))
        write_text(output / "index.html", page)
        write_json(output / "metrics.json", metrics)
    return metrics
