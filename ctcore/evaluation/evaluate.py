"""Evaluates predictions against labels: what `pipeline evaluate` does."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctcore.durable import write_text
from ctcore.errors import RequestError
from ctcore.evaluation.class_figures import BETA
from ctcore.evaluation.figures import class_table, headline_statistics, is_probability, nested, study_statistics
from ctcore.evaluation.matching import MatchingRule
from ctcore.evaluation.metrics import Counts, Metrics
from ctcore.evaluation.output import alone, check_output
from ctcore.evaluation.statistics.bootstrap import Estimate, estimates
from ctcore.evaluation.statistics.delong import delong
from ctcore.evaluation.strata import Column, StrataTable, read_strata
from ctcore.evaluation.study import Progress, Study, collect
from ctcore.evaluation.tables import CaseRecord, case_table, lesion_table
from ctcore.json_files import write_json

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.json"
CASES_FILE = "per_case.csv"
LESIONS_FILE = "per_lesion.csv"
PAGE_FILE = "index.html"
PLOTS_FOLDER = "plots"


def evaluate(
    predictions: Path,
    labels: Path,
    output: Path,
    *,
    rule: MatchingRule | None = None,
    lesion_label: str | None = None,
    case_labels: Path | None = None,
    positive_classes: Collection[str] = (),
    strata: Path | None = None,
    columns: Sequence[Column] = (),
    leave_out: Sequence[Column] = (),
    bootstrap: int = 1000,
    seed: int = 0,
    workers: int = 1,
    page: bool = True,
    progress: Progress | None = None,
) -> Metrics:
    """Computes all numbers with their intervals; writes tables, plots and a page; `metrics.json` comes last.

    Nothing is written unless all cases could be evaluated.

    Args:
        predictions: see `collect`, as for `labels`, `lesion_label`, `case_labels`, `positive_classes` and `workers`.
        labels: folder of label maps.
        output: folder to write to; made if it is missing.
        rule: what makes a hit; by default the challenge's.
        lesion_label: name or value of the lesion.
        case_labels: table of classes.
        positive_classes: which of them are positive.
        strata: CSV with the columns of the next two and, if there is one, `patient_id`.
        columns: columns whose strata are reported each by itself.
        leave_out: columns whose strata are left out one at a time.
        bootstrap: number of replicates of the intervals; 0 for none.
        seed: of the bootstrap.
        workers: number of processes.
        page: whether plots and page are made.
        progress: called after every case.

    Raises:
        RequestError: an argument is wrong, or predictions, labels and tables do not fit each other.
    """
    if bootstrap < 0 or seed < 0:
        raise RequestError(f"bootstrap {bootstrap} and seed {seed} must not be negative; 0 replicates: no intervals")
    if (columns or leave_out) and strata is None:
        raise RequestError(f"strata by '{(*columns, *leave_out)[0].name}' need a table; pass --strata")
    check_output(output)
    study = collect(
        predictions,
        labels,
        rule=rule or MatchingRule(),
        lesion_label=lesion_label,
        case_labels=case_labels,
        positive_classes=positive_classes,
        workers=workers,
        progress=progress,
    )
    table = None if strata is None else read_strata(strata, (*columns, *leave_out), study.case_ids)
    metrics = _measured(study, table, columns, leave_out, bootstrap, seed)
    for warning in metrics.warnings:
        logger.warning(warning)
    _write(output, study, metrics, str(predictions) if page else None)
    return metrics


def _measured(
    study: Study,
    table: StrataTable | None,
    columns: Sequence[Column],
    leave_out: Sequence[Column],
    bootstrap: int,
    seed: int,
) -> Metrics:
    """Computes the numbers of a study."""
    patients = None if table is None else table.patients
    found = estimates(
        study_statistics(study),
        study.positive.astype(np.int64),
        bootstrap,
        seed,
        groups=None if patients is None else [patients[case_id] for case_id in study.case_ids],
    )
    auroc, ap = found.pop("auroc"), found.pop("ap")
    parts = nested(found)
    patient_part = parts.setdefault("patients", {})
    by_delong = delong(study.scores, study.positive)
    interval = None if by_delong is None else by_delong.interval()
    patient_part["auroc_delong"] = {"value": auroc.value, "ci95": None if interval is None else list(interval)}
    classes = class_table(study)
    confusion = {"classes": list(classes.names), "counts": classes.confusion.tolist()}
    parts.setdefault("classification", {})["confusion"] = confusion
    if table is not None:
        parts["strata"] = _strata(study, table, columns, False, bootstrap, seed)
        parts["leave_one_out"] = _strata(study, table, leave_out, True, bootstrap, seed)
    warnings = study.warnings
    if not is_probability(study.scores):
        warnings = (*warnings, "some scores are not within 0..1: no calibration and no decision curve of the score")
    return Metrics(
        auroc=auroc,
        ap=ap,
        counts=Counts.of(study.records, study.failed),
        failed_cases=study.failed,
        settings={
            **study.settings,
            "beta": BETA,
            "bootstrap": bootstrap,
            "seed": seed,
            "patients": patients is not None,
        },
        warnings=warnings,
        parts=parts,
    )


def _strata(
    study: Study, table: StrataTable, columns: Sequence[Column], without: bool, bootstrap: int, seed: int
) -> list[dict[str, Any]]:
    """Returns AUROC and AP of every stratum of the columns, or of all cases without it."""
    rows = []
    for column in columns:
        of_case = table.strata[column.name]
        for stratum in sorted(set(of_case.values())):
            records = [r for r in study.records if (of_case[r.case_id] == stratum) is not without]
            patients = None if table.patients is None else [table.patients[record.case_id] for record in records]
            rows.append({"column": column.name, "stratum": stratum, **_headline(records, patients, bootstrap, seed)})
    return rows


def _headline(
    records: Sequence[CaseRecord], patients: Sequence[str] | None, bootstrap: int, seed: int
) -> dict[str, Any]:
    """Returns the numbers of some cases, null where they are undefined."""
    positive = np.array([record.positive for record in records], dtype=np.int64)
    undefined = Estimate(None, None)
    found = {"auroc": undefined, "ap": undefined}
    if records:
        found = estimates(headline_statistics(records), positive, bootstrap, seed, groups=patients)
    return {"cases": len(records), "positive": int(positive.sum()), **nested(found)}


def _write(output: Path, study: Study, metrics: Metrics, title: str | None) -> None:
    """Writes the files of an evaluation; plots and page only if the page has a title."""
    with alone(output, output / PLOTS_FOLDER):
        (output / METRICS_FILE).unlink(missing_ok=True)  # the sign of a complete evaluation
        write_text(output / CASES_FILE, case_table(study.records, study.failed))
        write_text(output / LESIONS_FILE, lesion_table(study.records))
        if title is not None:
            from ctcore.evaluation.report.draw import draw_all
            from ctcore.evaluation.report.page import evaluation_page

            plots = draw_all(output / PLOTS_FOLDER, study, metrics)
            write_text(output / PAGE_FILE, evaluation_page(metrics.as_dict(), plots, title))
        write_json(output / METRICS_FILE, metrics.as_dict())
