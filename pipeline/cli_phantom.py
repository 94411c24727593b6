"""`pipeline phantom`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ctcore.console import progress
from ctcore.errors import RequestError
from pipeline.console import console


class TaskChoice(StrEnum):
    """What is to be told apart."""

    PDAC = "pdac"
    SUBTYPES = "subtypes"


class SizeChoice(StrEnum):
    """Grid of phantoms."""

    DEMO = "demo"
    CLINICAL = "clinical"


class DomainChoice(StrEnum):
    """How widely the look of phantoms varies."""

    CLINICAL = "clinical"
    WIDE = "wide"


def _numbers(option: str, text: str, wanted: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise RequestError(f"{option} '{text}' is not a list of numbers; give {wanted}") from error


def _range(text: str) -> tuple[float, float]:
    wanted = "the smallest and the largest, like 100,700"
    numbers = _numbers("--lesion-ml", text, wanted)
    if len(numbers) != 2:
        raise RequestError(f"--lesion-ml '{text}' holds {len(numbers)} numbers; give {wanted}")
    return numbers[0], numbers[1]


def phantom(
    cases: Annotated[int, typer.Option(min=1, help="How many.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Folder for imagesTr, labelsTr and tables.", show_default=False)],
    seed: Annotated[int, typer.Option(help="The same seed gives the same cases.", show_default=False)],
    task: Annotated[
        TaskChoice, typer.Option(help="Carcinoma or not; or one lesion a case, of three subtypes.")
    ] = TaskChoice.PDAC,
    positive_fraction: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Task pdac: share of cases with a lesion. Default: 0.5.")
    ] = None,
    class_fractions: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C", help="Task subtypes: cases of the three in proportion. Default: 62,106,84 (the reports')."
        ),
    ] = None,
    anatomy: Annotated[
        Path | None, typer.Option(help="Folder of PANORAMA label maps to build around. Default: parametric anatomy.")
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of phantoms whose patients are not used; may be repeated.", show_default=False),
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Cases that share a label map, each with a new body and CT.")] = 1,
    size: Annotated[SizeChoice, typer.Option(help="Grid of the CTs.")] = SizeChoice.DEMO,
    domain: Annotated[DomainChoice, typer.Option(help="How widely their look varies.")] = DomainChoice.CLINICAL,
    lesion_ml: Annotated[
        str | None,
        typer.Option(metavar="LOW,HIGH", help="Volumes of the carcinomas in ml. Default: as measured on PANORAMA."),
    ] = None,
    bend_mm: Annotated[
        float, typer.Option(min=0.0, help="Turn, scale and bend each label map: displacements of about this size.")
    ] = 0.0,
    around_mm: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="End the CTs this far from the pancreatic region, to train stage 2. Default: whole."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render.")] = 1,
) -> None:
    """Makes synthetic CTs with exact labels: no data needed, none of it from patients."""
    from ctcore.phantom.cohort import write_cohort

    fractions = (
        None
        if class_fractions is None
        else _numbers("--class-fractions", class_fractions, "one for each class, like 62,106,84")
    )
    with progress("phantoms") as report:
        write_cohort(
            output,
            cases,
            seed,
            task=task.value,
            positive_fraction=positive_fraction,
            class_fractions=fractions,
            anatomy=anatomy,
            exclude=exclude or (),
            repeat=repeat,
            size=size.value,
            domain=domain.value,
            lesion_ml=None if lesion_ml is None else _range(lesion_ml),
            bend_mm=bend_mm,
            around_mm=around_mm,
            workers=workers,
            progress=report,
        )
    console().print(f"{cases} phantoms in {output}", markup=False, soft_wrap=True)
