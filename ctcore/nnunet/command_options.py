"""Options that the training and evaluation commands of both stages share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Workspace = Annotated[Path, typer.Option("--workspace", help="Folder that 'prepare' made.", show_default=False)]
Recipe = Annotated[str, typer.Option("--recipe", help="Name of a shipped recipe, or a .toml file.")]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Field that replaces the recipe's, as TOML: epochs=20, head.width=32; repeatable.",
        show_default=False,
    ),
]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes that help.")]


class PrecisionChoice(StrEnum):
    """What a training computes in."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class WeightsChoice(StrEnum):
    """Which weights of a trained fold to export."""

    LAST = "last"
    BEST = "best"
    BEST_HEAD = "best-head"


EvaluatedWorkspace = Annotated[
    Path | None,
    typer.Option("--workspace", help="Evaluate the trained folds of this workspace on their validation cases."),
]
EvaluatedRecipe = Annotated[
    str, typer.Option("--recipe", help="With --workspace: name of a shipped recipe, or a .toml file.")
]
EvaluatedFolds = Annotated[
    list[str] | None, typer.Option("--fold", help="With --workspace: only this fold; repeatable.")
]
EvaluatedWeights = Annotated[
    WeightsChoice, typer.Option("--checkpoint", help="With --workspace: which weights, as in 'export'.")
]
EvaluatedModel = Annotated[Path | None, typer.Option("--model", help="Evaluate this stage folder, made by 'export'.")]
