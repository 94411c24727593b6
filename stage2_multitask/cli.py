"""The `stage2-multitask` command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ctcore.console import EXIT_SOME_FAILED, OneLineGroup, progress
from ctcore.datasets.description import Layout
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
from ctcore.errors import RequestError
from ctcore.nnunet.command_options import (
    Changes,
    EvaluatedFolds,
    EvaluatedModel,
    EvaluatedRecipe,
    EvaluatedWeights,
    EvaluatedWorkspace,
    WeightsChoice,
)
from ctcore.nnunet.commands import add_training_commands

app = typer.Typer(
    name="stage2-multitask",
    cls=OneLineGroup,
    help="Stage 2: train and run the multi-task network that segments lesions and classifies patients.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Training:
    """This stage's training, imported when a command needs it."""

    title = "stage 2"
    folder = "stage2"
    makes = "an nnU-Net dataset of ROI crops"

    def load(self, recipe: str, changes: Sequence[str] = ()) -> Any:
        """Reads a recipe, with fields replaced."""
        from stage2_multitask.recipe import load

        return load(recipe, changes)

    def needs(self, recipe: Any) -> dict[str, Any]:
        """Classes and labels: the recipe's."""
        return {"class_names": recipe.needed_classes, "label_names": recipe.readable_labels}

    def prepare(self, sources: list[Path], root: Path, recipe: Any, **options: Any) -> Any:
        """Writes the raw dataset."""
        from stage2_multitask.dataset import prepare

        return prepare(sources, root, recipe, **options)

    def workspace_at(self, root: Path) -> Any:
        """Returns the workspace in a folder."""
        from stage2_multitask.dataset import workspace_at

        return workspace_at(root)

    def train(self, root: Path, recipe: Any, fold: str, **options: Any) -> Path:
        """Trains one fold."""
        from stage2_multitask.trainer import train

        return train(root, recipe, fold, **options)

    def export(self, root: Path, recipe: Any, output: Path, **options: Any) -> Any:
        """Writes the trained folds."""
        from stage2_multitask.trainer import export

        return export(root, recipe, output, **options)


add_training_commands(app, Training())


@app.command()
def predict(
    model: Annotated[Path, typer.Option(help="Stage folder that 'export' made.", show_default=False)],
    source: Annotated[
        Path,
        typer.Option("--input", help="A folder of ROI crops, as 'prepare' makes them, or one.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", help="Folder for label maps and classes.csv.", show_default=False)
    ],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Segments and classifies every ROI crop."""
    from stage2_multitask.predict import predict_folder

    with progress("predicting") as report:
        failed = predict_folder(model, source, output, device=device, progress=report)
    for case_id, reason in failed.items():
        typer.echo(f"failed {case_id}: {reason}", err=True)
    typer.echo(f"Label maps and classes.csv: {output}")
    if failed:
        raise typer.Exit(1)


@app.command()
def evaluate(
    output: Annotated[Path, typer.Option(help="Folder for figures, tables and a page.", show_default=False)],
    workspace: EvaluatedWorkspace = None,
    recipe: EvaluatedRecipe = "demo",
    changes: Changes = None,
    fold: EvaluatedFolds = None,
    checkpoint: EvaluatedWeights = WeightsChoice.LAST,
    model: EvaluatedModel = None,
    source: Annotated[
        Path | None,
        typer.Option("--input", help="With --model: dataset of ROI crops with case_labels.csv, or a workspace."),
    ] = None,
    dataset: Annotated[Layout, typer.Option(help="With --model: how the dataset is laid out.")] = Layout.NNUNET,
    lesion_class: LesionClasses = None,
    candidates: Candidates = ModeChoice.DYNAMIC_V2,
    min_confidence: MinConfidence = 0.05,
    growth_factor: GrowthFactor = 2.5,
    candidate_settings: SettingsFile = None,
    fusion: Fusion = RuleChoice.MEAN,
    weight: Weight = 0.5,
    weigh_candidates: WeighCandidates = False,
    min_overlap: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="IoU from which a candidate hits a lesion.")
    ] = 0.15,
    tta: Annotated[bool, typer.Option("--tta/--no-tta", help="Average over mirrored images.")] = False,
    beta: Annotated[float, typer.Option(min=0.01, help="Of F-beta: the weight of sensitivity in precision's.")] = 2,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples for intervals; 0 for none.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resampling.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Measures classes, lesions and segmentation: of trained folds, or of a model on any labelled ROI crops."""
    from rich.console import Console

    from ctcore.detection.fusion import FusionSettings
    from ctcore.evaluation.matching import MatchingRule
    from ctcore.evaluation.output import check_output
    from stage2_multitask.evaluate import cross_validate, evaluate_model
    from stage2_multitask.labelled import crops_of
    from stage2_multitask.measure import Scoring
    from stage2_multitask.report import write_evaluation
    from stage2_multitask.summary import tables_of

    if (workspace is None) == (model is None) or (model is None) != (source is None):
        raise RequestError("give --workspace, or --model with --input")
    check_output(output)
    scoring = Scoring(
        tuple(lesion_class or ()),
        chosen_candidates(candidates, min_confidence, growth_factor, candidate_settings),
        FusionSettings(rule=fusion.value, weight=weight, weigh_candidates=weigh_candidates),
        MatchingRule(min_overlap),
    )
    with progress("evaluating") as report:
        if workspace is not None:
            found = cross_validate(
                workspace,
                Training().load(recipe, changes or ()),
                scoring,
                changes=changes or (),
                folds=fold or (),
                checkpoint=checkpoint.value,
                device=device,
                tta=tta,
                progress=report,
            )
        elif model is not None and source is not None:
            found = evaluate_model(model, crops_of(source, dataset), scoring, device=device, tta=tta, progress=report)
    for case_id, reason in found.failed.items():
        typer.echo(f"failed {case_id}: {reason}", err=True)
    metrics = write_evaluation(found, output, bootstrap=bootstrap, seed=seed, beta=beta)
    for table in tables_of(metrics):
        Console().print(table)
    for warning in metrics["warnings"]:
        typer.echo(warning)
    typer.echo(f"Page: {output / 'index.html'}; figures: {output / 'metrics.json'}; per case: {output / 'cases.csv'}")
    if found.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


@app.command()
def pseudo_label(
    model: Annotated[Path, typer.Option(help="Stage folder that 'export' made, or a bundle.", show_default=False)],
    source: Annotated[
        Path, typer.Option("--input", help="A dataset with classes (see docs/datasets.md).", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", help="Dataset to make.", show_default=False)],
    dataset: Annotated[Layout, typer.Option(help="How the input is laid out.")] = Layout.NNUNET,
    splits: Annotated[
        Path | None, typer.Option(help="Folds to keep: splits_final.json or PANORAMA's.", show_default=False)
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds to make where none are given.")] = 5,
    roi_crops: Annotated[
        bool, typer.Option("--roi-crops", help="Images whose pancreas is not drawn are crops as 'prepare' makes them.")
    ] = False,
    min_confidence: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Weaker candidates do not count. Default: the bundle's, or 0.05."),
    ] = None,
    growth_factor: Annotated[
        float | None,
        typer.Option(
            min=1.0001, help="A lesion reaches down to its peak divided by this. Default: the bundle's, or 2.5."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Draws lesions where they are counted but not drawn: a dataset with pseudo-labels beside the drawn ones."""
    from ctcore.detection.candidates import CandidateSettings
    from stage2_multitask.pseudo_dataset import bundle_candidates, write_pseudo_labels

    changes = {"min_confidence": min_confidence, "dynamic_threshold_factor": growth_factor}
    settings = (bundle_candidates(model) or CandidateSettings()).model_copy(
        update={name: value for name, value in changes.items() if value is not None}
    )
    with progress("drawing") as report:
        found = write_pseudo_labels(
            model,
            source,
            output,
            layout=dataset,
            splits=splits,
            folds=folds,
            roi_crops=roi_crops,
            settings=settings,
            device=device,
            progress=report,
        )
    for case_id, reason in found.left_out.items():
        typer.echo(f"left out {case_id}: {reason}", err=True)
    typer.echo(f"{len(found.manual)} label maps kept, {len(found.pseudo)} drawn: {output}")
    if found.left_out:
        raise typer.Exit(EXIT_SOME_FAILED)


def main() -> None:
    """Runs the command line: the console script `stage2-multitask`."""
    app()
