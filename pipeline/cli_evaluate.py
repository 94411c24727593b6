"""The commands `pipeline evaluate` and `pipeline compare`."""

from __future__ import annotations

import logging
from enum import StrEnum
from multiprocessing import cpu_count
from pathlib import Path
from typing import Annotated

import typer

from ctcore.console import progress
from pipeline.console import console, print_comparison, print_metrics

DEFAULT_WORKERS = min(cpu_count(), 4)
"""More processes seldom read faster, and each holds one case."""

Labels = Annotated[Path, typer.Option(help="Folder of label maps, one a case.", show_default=False)]
MinOverlap = Annotated[float, typer.Option(min=0.0, max=1.0, help="Overlap from which a candidate hits a lesion.")]
LesionName = Annotated[
    str | None,
    typer.Option("--lesion-label", help="A name from dataset.json, or a value. Default: lesion, tumor or PDAC."),
]
CaseLabels = Annotated[
    Path | None, typer.Option(help="Table case_id,class_name. Default: a case with a lesion is positive.")
]
PositiveClass = Annotated[
    list[str] | None, typer.Option(help="Class of that table that counts as positive; may be repeated. Default: PDAC.")
]
Seed = Annotated[int, typer.Option(help="Seed of the resampling.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that read cases.")]


class OverlapChoice(StrEnum):
    """Measure of overlap."""

    IOU = "iou"
    DICE = "dice"


class FurtherChoice(StrEnum):
    """What a further candidate on a lesion is."""

    IGNORED = "ignored"
    FALSE_POSITIVE = "false_positive"


Overlap = Annotated[OverlapChoice, typer.Option(help="Measure of overlap.")]
Further = Annotated[FurtherChoice, typer.Option(help="What a further candidate on a lesion counts as.")]


def evaluate(
    predictions: Annotated[
        Path, typer.Option(help="Output of 'pipeline run', or a folder of detection maps.", show_default=False)
    ],
    labels: Labels,
    output: Annotated[Path, typer.Option(help="Folder for figures, tables, plots and a page.", show_default=False)],
    min_overlap: MinOverlap = 0.15,
    overlap: Overlap = OverlapChoice.IOU,
    further: Further = FurtherChoice.IGNORED,
    lesion_label: LesionName = None,
    case_labels: CaseLabels = None,
    positive_class: PositiveClass = None,
    strata: Annotated[
        Path | None, typer.Option(help="Table with case_id and any columns; patient_id joins cases of a patient.")
    ] = None,
    by: Annotated[
        list[str] | None, typer.Option(help="Column to report by, as in 'sex' or 'age:50,65'; may be repeated.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Column whose values are left out one at a time; may be repeated.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples for intervals; 0 for none.")] = 1000,
    seed: Seed = 0,
    workers: Workers = DEFAULT_WORKERS,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Plots and index.html.")] = True,
) -> None:
    """Measures results against labels: AUROC for patients, AP for lesions, and what else can be said."""
    from ctcore.evaluation.evaluate import evaluate as evaluate_folder
    from ctcore.evaluation.matching import MatchingRule
    from ctcore.evaluation.strata import Column

    out = console()
    logging.getLogger("ctcore.evaluation").addHandler(logging.NullHandler())  # its warnings are printed below
    with progress("evaluating") as report:
        metrics = evaluate_folder(
            predictions,
            labels,
            output,
            rule=MatchingRule(min_overlap, overlap.value, further.value),
            lesion_label=lesion_label,
            case_labels=case_labels,
            positive_classes=tuple(positive_class or ()),
            strata=strata,
            columns=[Column.parse(text) for text in by or ()],
            leave_out=[Column.parse(text) for text in leave_out or ()],
            bootstrap=bootstrap,
            seed=seed,
            workers=workers,
            page=page,
            progress=report,
        )
    print_metrics(out, metrics)
    shown = (("Page", "index.html"), ("Figures", "metrics.json"), ("Cases", "per_case.csv"))
    for what, name in shown if page else shown[1:]:
        out.print(f"{what}: {output / name}", markup=False, soft_wrap=True)


def compare(
    first: Annotated[Path, typer.Argument(help="Predictions A: as for 'evaluate'.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Predictions B, of the same cases.", show_default=False)],
    labels: Labels,
    output: Annotated[Path | None, typer.Option(help="Folder for comparison.json. Default: none is written.")] = None,
    min_overlap: MinOverlap = 0.15,
    overlap: Overlap = OverlapChoice.IOU,
    further: Further = FurtherChoice.IGNORED,
    lesion_label: LesionName = None,
    case_labels: CaseLabels = None,
    positive_class: PositiveClass = None,
    patients: Annotated[
        Path | None, typer.Option(help="Table case_id,patient_id: cases of a patient stay together.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Resamples for intervals, and permutations.")] = 2000,
    seed: Seed = 0,
    workers: Workers = DEFAULT_WORKERS,
) -> None:
    """Says whether one result beats another on the same cases: differences, intervals, paired tests."""
    from ctcore.evaluation.compare import compare as compare_folders
    from ctcore.evaluation.matching import MatchingRule

    with progress("comparing") as report:
        comparison = compare_folders(
            first,
            second,
            labels,
            output,
            rule=MatchingRule(min_overlap, overlap.value, further.value),
            lesion_label=lesion_label,
            case_labels=case_labels,
            positive_classes=tuple(positive_class or ()),
            patients=patients,
            resamples=resamples,
            seed=seed,
            workers=workers,
            progress=report,
        )
    print_comparison(console(), comparison)
