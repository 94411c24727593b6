"""What both stages' recipes share: a validated file that fixes architecture, losses, schedule and augmentation."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ctcore.errors import RecipeError, first_line

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Margin = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Size = Annotated[int, Field(ge=1)]

RecipeT = TypeVar("RecipeT", bound="TrainingRecipe")


class TrainingRecipe(BaseModel):
    """Settings of one training run that are not derived from the data.

    Attributes:
        name: the recipe's name.
        description: what it is for, and whose published values it holds.
        spacing_mm: voxel spacing (z, y, x) that images are brought to.
        patch_size: voxels (z, y, x) that the network sees at once.
        batch_size: patches a step.
        encoder: nnU-Net's plain or residual encoder.
        features: channels of each encoder level; their number is the number of levels.
        blocks_per_level: convolutions (plain) or residual blocks of each encoder level.
        epochs: passes of `iterations_per_epoch` steps.
        iterations_per_epoch: training steps an epoch.
        validation_iterations: validation batches an epoch.
        optimizer: `sgd` is nnU-Net's Nesterov SGD with momentum 0.99.
        learning_rate: initial learning rate.
        weight_decay: L2 penalty (decoupled with `adamw`).
        schedule: `poly` (nnU-Net's, power 0.9), `cosine`, or `step` (x 0.1 every `step_epochs`).
        step_epochs: epochs between reductions of the `step` schedule.
        gradient_clip: largest gradient norm.
        augmentation: `nnunet` is its default pipeline; `light` leaves out its blur and low-resolution transforms,
            which cost more than a training step of a small network on a CPU.
        mirror: whether mirroring augments (and is allowed at inference).
        oversample_foreground: share of a batch's patches that are centred on a labelled voxel; 0 suits a patch as large
            as the image, which a centred patch would half leave.
        batch_dice: whether the Dice loss is taken over the batch as one image, so that a false positive in a case
            without the label counts against the cases that have it; otherwise one Dice a case.
        ema_decay: decay of the exponential moving average of the weights that is exported; None exports the weights
            themselves.
        seed: seed of initial weights and of sampling.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    spacing_mm: tuple[Positive, Positive, Positive]
    patch_size: tuple[Size, Size, Size]
    batch_size: Size
    encoder: Literal["plain", "resenc"] = "plain"
    features: tuple[Size, ...]
    blocks_per_level: tuple[Size, ...] = ()
    epochs: Size
    iterations_per_epoch: Size = 250
    validation_iterations: Size = 50
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: Positive = 0.01
    weight_decay: Annotated[float, Field(ge=0)] = 3e-5
    schedule: Literal["poly", "cosine", "step"] = "poly"
    step_epochs: Size = 75
    gradient_clip: Positive = 12.0
    augmentation: Literal["nnunet", "light"] = "nnunet"
    mirror: bool = True
    oversample_foreground: Annotated[float, Field(ge=0, le=1)] = 0.33
    batch_dice: bool = False
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        if len(self.features) < 3:
            raise ValueError(f"features {self.features} has fewer than three levels")
        if self.blocks_per_level and len(self.blocks_per_level) != len(self.features):
            raise ValueError(f"blocks_per_level {self.blocks_per_level} and features {self.features} differ in length")
        return self

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks of each encoder level; two where the recipe does not say."""
        return self.blocks_per_level or (2,) * len(self.features)


def load_recipe(kind: type[RecipeT], name_or_path: str, folder: Path) -> RecipeT:
    """Reads a recipe by name from a folder of recipes, or from a file.

    Args:
        kind: the stage's recipe class.
        name_or_path: name of a shipped recipe, or the path of a `.toml` file.
        folder: where the shipped recipes are.

    Raises:
        RecipeError: there is no such recipe, the file is not TOML, or it holds an unknown key or impossible value.
    """
    path = Path(name_or_path) if name_or_path.endswith(".toml") else folder / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.toml")))
        raise RecipeError(f"recipe '{name_or_path}' does not exist; choose one of {known}, or give a .toml file")
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe '{path.name}' is not valid TOML: {first_line(error)}") from error
    except ValidationError as error:
        raise RecipeError(f"recipe '{path.name}': {describe_validation(error)}") from error


def describe_validation(error: ValidationError) -> str:
    """Returns pydantic's findings as one line that names each key and the value it found."""
    parts = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"] if part != "") or "values"
        parts.append(f"{key} = {item['input']!r}: {item['msg']}" if item["loc"] else str(item["msg"]))
    return "; ".join(parts)[:600]
