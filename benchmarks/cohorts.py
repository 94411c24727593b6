"""Scores, maps and ROIs on cohorts of phantoms that no training has seen."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.bounds import Bound
from benchmarks.process import Finished, run_pipeline
from benchmarks.roi import measure_roi, summarize
from ctcore.errors import RequestError
from ctcore.files import read
from ctcore.json_files import read_json, write_json
from ctcore.labels import pancreas_mask

BOOTSTRAP, BOOTSTRAP_SEED = 1000, 0


@dataclass(frozen=True)
class CohortPlan:
    """A cohort and what must be reached on it.

    Attributes:
        part: name of the part.
        cases: number of cases, half of them with a carcinoma.
        seed: never one of a training cohort's.
        anatomy: folder of label maps to build around; None for parametric anatomy.
        auroc: least area under the ROC curve.
        ap: least average precision.
        roi_holds: least mean share of the pancreas inside the ROI; None for no bound.
        roi_of_scan: largest mean share of the scan that the ROI is; None for no bound.
    """

    part: str
    cases: int
    seed: int
    anatomy: Path | None
    auroc: float
    ap: float
    roi_holds: float | None = None
    roi_of_scan: float | None = None


def make_cohort(plan: CohortPlan, folder: Path, workers: int) -> Path:
    """Renders the cohort, or keeps the one that is there if it was made for the same plan; returns its folder."""
    from ctcore.console import progress
    from ctcore.phantom.cohort import write_cohort

    made_for = {
        "cases": plan.cases,
        "seed": plan.seed,
        "anatomy": None if plan.anatomy is None else str(plan.anatomy.resolve()),
        "version": metadata.version("ct-lesion-pipeline"),
    }
    cohort, mark = folder / "cohort", folder / "cohort.json"
    if cohort.is_dir() and mark.is_file() and read_json(mark) == made_for:
        return cohort
    mark.unlink(missing_ok=True)
    for stale in (cohort, folder / "run"):
        shutil.rmtree(stale, ignore_errors=True)
    with progress(f"{plan.part} phantoms") as report:
        write_cohort(cohort, plan.cases, plan.seed, anatomy=plan.anatomy, workers=workers, progress=report)
    write_json(mark, made_for)  # the sign of a complete cohort
    return cohort


def measure_cohort(
    plan: CohortPlan, folder: Path, bundle: Path | None, workers: int
) -> tuple[dict[str, Any], list[Bound]]:
    """Renders, runs and evaluates a cohort.

    Args:
        plan: the cohort and its bounds.
        folder: where cohort, run and evaluation lie.
        bundle: model bundle; None for the one that comes with the package.
        workers: processes that render.

    Returns:
        The figures, and the bounds beside theirs.
    """
    from ctcore.evaluation.evaluate import evaluate

    cohort = make_cohort(plan, folder, workers)
    finished = run_pipeline(cohort / "imagesTr", folder / "run", bundle)
    metrics = evaluate(
        finished.output,
        cohort / "labelsTr",
        folder / "evaluation",
        case_labels=cohort / "case_labels.csv",
        bootstrap=BOOTSTRAP,
        seed=BOOTSTRAP_SEED,
    )
    records = _records(finished, cohort)
    done = [record for record in records if record["status"] == "done"]
    measures = []
    for record in done:
        labels = read(cohort / "labelsTr" / f"{record['case_id']}.nii.gz")
        measures.append(measure_roi(record, pancreas_mask(labels.array)))
    figures: dict[str, Any] = {
        "cases": len(records),
        "failed": len(records) - len(done),
        "auroc": asdict(metrics.auroc),
        "ap": asdict(metrics.ap),
        "counts": asdict(metrics.counts),
        **_single_terms(done, cohort),
        **summarize(measures),
        **_cost(finished),
    }
    return figures, _bounds(plan, figures)


def _records(finished: Finished, cohort: Path) -> list[dict[str, Any]]:
    """Returns the records of the cohort's cases.

    Raises:
        RequestError: the output holds other cases too, or not all.
    """
    records = finished.case_records()
    wanted = {path.name.removesuffix(".nii.gz") for path in (cohort / "labelsTr").glob("*.nii.gz")}
    found = {record["case_id"] for record in records}
    if found != wanted:
        raise RequestError(
            f"'{finished.output}' holds {len(found)} cases, the cohort {len(wanted)}; remove it and measure again"
        )
    return records


def _single_terms(records: Sequence[dict[str, Any]], cohort: Path) -> dict[str, Any]:
    """Returns the AUROC of each term of the fusion alone."""
    from ctcore.evaluation.predictions import read_table
    from ctcore.evaluation.statistics.bootstrap import estimates
    from ctcore.evaluation.statistics.roc import auroc
    from ctcore.labels import NON_PDAC

    classes = read_table(cohort / "case_labels.csv", ("case_id", "class_name"))
    positive = [classes[record["case_id"]]["class_name"] != NON_PDAC for record in records]
    terms = {"auroc_class_probability": "p_lesion", "auroc_map_maximum": "detection_max"}
    statistics = {
        name: auroc([record["fusion"]["terms"][term] for record in records], positive) for name, term in terms.items()
    }
    found = estimates(statistics, positive, BOOTSTRAP, BOOTSTRAP_SEED)
    return {name: asdict(estimate) for name, estimate in found.items()}


def _cost(finished: Finished) -> dict[str, Any]:
    """Returns wall time a case, without the loading of the models, and peak memory; None where results were kept."""
    run = finished.run_record()
    if any(case["reused"] for case in run["cases"]):
        return {"seconds_a_case": None, "peak_gib": None}
    computing = float(run["wall_seconds"] - run["phase_seconds"]["load_models"])
    return {"seconds_a_case": computing / len(run["cases"]), "peak_gib": finished.peak_gib}


def _bounds(plan: CohortPlan, figures: dict[str, Any]) -> list[Bound]:
    bounds = [
        Bound(plan.part, name.upper(), figures[name]["value"], "at least", limit, figures[name]["ci95"])
        for name, limit in (("auroc", plan.auroc), ("ap", plan.ap))
    ]
    if plan.roi_holds is not None:
        name = "pancreas inside the ROI, mean share"
        bounds.append(Bound(plan.part, name, figures["roi_holds_mean"], "at least", plan.roi_holds))
    if plan.roi_of_scan is not None:
        name = "ROI of the scan, mean share"
        bounds.append(Bound(plan.part, name, figures["roi_of_scan_mean"], "at most", plan.roi_of_scan))
    return [*bounds, Bound(plan.part, "failed cases", figures["failed"], "at most", 0)]
