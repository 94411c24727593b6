"""The commands `pipeline bundle ...`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ctcore.detection.options import (
    Candidates,
    Fusion,
    GrowthFactor,
    LesionClasses,
    MinConfidence,
    ModeChoice,
    RuleChoice,
    SettingsFile,
    WeighCandidates,
    Weight,
    chosen_candidates,
)
from pipeline.bundle_words import bundle_words, efforts_words, quality_words, settings_words
from pipeline.cli_card import (
    Complete,
    IntendedUse,
    Licence,
    Limits,
    MeasuredOn,
    Metrics,
    chosen_card,
    describe,
    say_gaps,
)
from pipeline.cli_nnunet import export_nnunet, import_nnunet
from pipeline.console import console

app = typer.Typer(help="Make, show and check model bundles.", pretty_exceptions_enable=False)
app.command("import-nnunet")(import_nnunet)
app.command("export-nnunet")(export_nnunet)

Folder = Annotated[
    Path | None,
    typer.Argument(help="A bundle. Default: the demonstration model that comes with the package.", metavar="[BUNDLE]"),
]


@app.command()
def create(
    stage1: Annotated[Path, typer.Option(help="Exported localizer.", show_default=False)],
    stage2: Annotated[Path, typer.Option(help="Exported multi-task network.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Folder to make.", show_default=False)],
    name: Annotated[str, typer.Option(help="The bundle's name.", show_default=False)],
    description: Annotated[str, typer.Option(help="One sentence on what it is.")] = "",
    version: Annotated[str, typer.Option(help="Version of the model.")] = "1",
    demo: Annotated[
        bool, typer.Option("--demo", help="Every output says: a demonstration, not for clinical use.")
    ] = False,
    lesion_class: LesionClasses = None,
    candidates: Candidates = ModeChoice.DYNAMIC_V2,
    min_confidence: MinConfidence = 0.05,
    growth_factor: GrowthFactor = 2.5,
    candidate_settings: SettingsFile = None,
    fusion: Fusion = RuleChoice.MEAN,
    weight: Weight = 0.5,
    weigh_candidates: WeighCandidates = False,
    intended_use: IntendedUse = None,
    licence: Licence = None,
    limit: Limits = None,
    metrics: Metrics = None,
    measured_on: MeasuredOn = None,
    complete: Complete = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
) -> None:
    """Packs two exported stages into a bundle."""
    from ctcore.detection.fusion import FusionSettings
    from pipeline.create_bundle import create_bundle

    bundle = create_bundle(
        stage1,
        stage2,
        output,
        name=name,
        description=description,
        demo=demo,
        version=version,
        candidates=chosen_candidates(candidates, min_confidence, growth_factor, candidate_settings),
        fusion=FusionSettings(rule=fusion.value, weight=weight, weigh_candidates=weigh_candidates),
        lesion_classes=tuple(lesion_class or ()),
        card=chosen_card(None, intended_use, licence, limit, metrics, measured_on),
        complete=complete,
        overwrite=overwrite,
    )
    console().print(f"{bundle.folder}: {len(bundle.manifest.files)} files, {bundle.digest[:12]}", markup=False)
    say_gaps(bundle)


app.command()(describe)


class FusionFitChoice(StrEnum):
    """Fusion of the calibrated bundle."""

    KEEP = "keep"
    MEAN = "mean"
    LOGISTIC = "logistic"


@app.command()
def calibrate(
    bundle: Annotated[Path, typer.Option(help="The bundle that made the run.", show_default=False)],
    predictions: Annotated[
        Path, typer.Option(help="Output of 'pipeline run' on validation cases.", show_default=False)
    ],
    case_labels: Annotated[Path, typer.Option(help="Table case_id,class_name.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Folder of the new bundle.", show_default=False)],
    fitted_on: Annotated[str, typer.Option(help="Which cases these are, in a few words.", show_default=False)],
    fusion: Annotated[
        FusionFitChoice, typer.Option(help="Keep the fusion, or fit the constants of a rule.")
    ] = FusionFitChoice.KEEP,
    sensitivity: Annotated[
        list[float] | None, typer.Option(help="Find the threshold of this sensitivity; may be repeated. Default: 0.95.")
    ] = None,
    specificity: Annotated[
        list[float] | None, typer.Option(help="Find the threshold of this specificity; may be repeated.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
) -> None:
    """Fits temperature, fusion and operating points on validation cases, and makes a bundle with them."""
    from pipeline.bundle import load_bundle
    from pipeline.calibrate import calibrate_bundle

    loaded = load_bundle(bundle)
    made = calibrate_bundle(
        loaded,
        predictions,
        case_labels,
        output,
        fitted_on=fitted_on,
        fusion=fusion.value,
        sensitivities=tuple((0.95,) if sensitivity is None and specificity is None else sensitivity or ()),
        specificities=tuple(specificity or ()),
        overwrite=overwrite,
    )
    calibration = made.manifest.calibration
    out = console()
    out.print(
        f"{made.folder}: fusion {settings_words(made.manifest.fusion.model_dump())}", markup=False, soft_wrap=True
    )
    if calibration is None:
        out.print("every class is a lesion class: the temperature alone was fitted", markup=False, soft_wrap=True)
    for point in calibration.operating_points if calibration else ():
        out.print(
            f"{point.name}: score >= {point.threshold:.4f}, sensitivity {point.sensitivity:.3f}, specificity"
            f" {point.specificity:.3f} on {calibration.cases if calibration else 0} cases",
            markup=False,
            soft_wrap=True,
        )
    if loaded.manifest.efforts:
        out.print("the table of efforts is not taken over: 'pipeline bundle measure-efforts'", soft_wrap=True)
    if loaded.manifest.quality is not None:
        out.print("the quality reference is not taken over: 'pipeline bundle fit-quality'", soft_wrap=True)
    say_gaps(made)


@app.command("measure-efforts")
def measure_efforts(
    bundle: Annotated[Path, typer.Option(help="The bundle, calibrated.", show_default=False)],
    input_path: Annotated[Path, typer.Option("--input", help="CTs that it was not trained on.", show_default=False)],
    case_labels: Annotated[Path, typer.Option(help="Table case_id,class_name.", show_default=False)],
    labels: Annotated[Path, typer.Option(help="Folder of their label maps.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Folder of the new bundle.", show_default=False)],
    measured_on: Annotated[str, typer.Option(help="Which cases these are, in a few words.", show_default=False)],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
) -> None:
    """Measures what fewer folds, no mirrored images and guided windows cost, for 'run --max-seconds' to choose by."""
    from ctcore.console import progress
    from ctcore.inference.backends.choose import resolve
    from pipeline.bundle import load_bundle
    from pipeline.measure_efforts import measure_efforts as measure
    from pipeline.stages import load_stages

    loaded, execution = load_bundle(bundle), resolve(device)
    with progress("measuring") as report:
        made = measure(
            loaded,
            input_path,
            case_labels,
            labels,
            output,
            execution,
            measured_on=measured_on,
            load=lambda: load_stages(loaded, execution, tta=True),
            overwrite=overwrite,
            progress=report,
        )
    out = console()
    for line in efforts_words(made.manifest.efforts):
        out.print(line, markup=False, soft_wrap=True)


@app.command("fit-quality")
def fit_quality(
    bundle: Annotated[Path, typer.Option(help="The bundle, calibrated.", show_default=False)],
    input_path: Annotated[
        Path,
        typer.Option("--input", help="CTs like those of training that it was not trained on.", show_default=False),
    ],
    output: Annotated[Path, typer.Option(help="Folder of the new bundle.", show_default=False)],
    fitted_on: Annotated[str, typer.Option(help="Which cases these are, in a few words.", show_default=False)],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
) -> None:
    """Finds within which limits quality figures are usual, and what usual CTs look like to stage 2: for flags."""
    from ctcore.console import progress
    from ctcore.inference.backends.choose import resolve
    from pipeline.bundle import load_bundle
    from pipeline.fit_quality import fit_quality as fit
    from pipeline.stages import load_stages

    loaded, execution = load_bundle(bundle), resolve(device, "auto", precision)
    with progress("fitting") as report:
        made = fit(
            loaded,
            input_path,
            output,
            fitted_on=fitted_on,
            load=lambda: load_stages(loaded, execution, windows="guided"),
            overwrite=overwrite,
            progress=report,
        )
    out = console()
    for line in quality_words(made.manifest.quality):
        out.print(line, markup=False, soft_wrap=True)


@app.command()
def inspect(bundle: Folder = None) -> None:
    """Shows what a bundle is, after checking it."""
    from rich.table import Table
    from rich.text import Text

    from pipeline.bundle import DEMO_BUNDLE, load_bundle

    loaded = load_bundle(bundle or DEMO_BUNDLE)
    table = Table(show_header=False, box=None)
    for key, value in bundle_words(loaded).items():
        table.add_row(key, Text(value, overflow="fold"))
    console().print(table)


@app.command()
def verify(bundle: Folder = None) -> None:
    """Compares every file of a bundle with its hash."""
    from pipeline.bundle import DEMO_BUNDLE, load_bundle

    loaded = load_bundle(bundle or DEMO_BUNDLE)
    console().print(f"{loaded.folder}: all {len(loaded.manifest.files)} files are as its manifest says", markup=False)
