"""Options of `pipeline bundle ...` for what a model card says, and the command that writes another card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.console import console

if TYPE_CHECKING:
    from pipeline.bundle import Bundle
    from pipeline.card_facts import CardFacts

IntendedUse = Annotated[str | None, typer.Option(help="For the model card. Default: research.", show_default=False)]
Licence = Annotated[
    str | None, typer.Option(help="Licence of the weights, for the model card; best an SPDX identifier.")
]
Limits = Annotated[
    list[str] | None, typer.Option("--limit", help="What else a user must know, for the model card; repeatable.")
]
Metrics = Annotated[
    Path | None, typer.Option(help="metrics.json of 'pipeline evaluate' on a run of this model, for the model card.")
]
MeasuredOn = Annotated[str | None, typer.Option(help="With --metrics: which cases these are, in a few words.")]
Complete = Annotated[bool, typer.Option("--complete", help="Refuse a model card that says 'not recorded' somewhere.")]


def chosen_card(
    before: CardFacts | None,
    intended_use: str | None,
    licence: str | None,
    limits: list[str] | None,
    metrics: Path | None,
    measured_on: str | None,
) -> CardFacts:
    """Returns what a model card is to say.

    Args:
        before: what stays where an option is not given; None: the defaults.
        intended_use: option.
        licence: option.
        limits: option.
        metrics: option.
        measured_on: option.

    Raises:
        RequestError: of `--metrics` and `--measured-on` one is not given, a text is empty, or the file is no metrics.
    """
    from pydantic import ValidationError

    from ctcore.errors import RequestError, describe_validation
    from pipeline.card_facts import CardFacts, read_metrics

    if (metrics is None) != (measured_on is None):
        raise RequestError("give --metrics and --measured-on together: figures say nothing without their cases")
    facts: dict[str, Any] = {} if before is None else dict(before)
    given = {"intended_use": intended_use, "licence": licence, "limits": limits and tuple(limits)}
    facts |= {key: value for key, value in given.items() if value is not None}
    if metrics is not None and measured_on is not None:
        facts["metrics"] = read_metrics(metrics, measured_on)
    try:
        return CardFacts(**facts)
    except ValidationError as error:
        raise RequestError(f"the model card cannot say that: {describe_validation(error)}") from error


def say_gaps(bundle: Bundle) -> None:
    """Tells what the model card does not say."""
    if bundle.card_gaps:
        console().print(f"Model card: {'; '.join(bundle.card_gaps)}", markup=False, soft_wrap=True)


def describe(
    bundle: Annotated[Path, typer.Option(help="The bundle.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Folder of the new bundle.", show_default=False)],
    intended_use: IntendedUse = None,
    licence: Licence = None,
    limit: Limits = None,
    metrics: Metrics = None,
    measured_on: MeasuredOn = None,
    complete: Complete = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
) -> None:
    """Makes a bundle like another whose model card says more: what is not given stays."""
    from pipeline.bundle import load_bundle
    from pipeline.create_bundle import remade

    loaded = load_bundle(bundle)
    card = chosen_card(loaded.manifest.card, intended_use, licence, limit, metrics, measured_on)
    made = remade(loaded, output, overwrite=overwrite, card=card, complete=complete)
    console().print(f"{made.folder}: {len(made.manifest.files)} files, {made.digest[:12]}", markup=False)
    say_gaps(made)
