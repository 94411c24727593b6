"""What both stages' recipes share: a validated file that fixes architecture, losses, schedule and augmentation."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ctcore.errors import RecipeError, describe_validation, first_line
from ctcore.nnunet.encoders import check_encoder, timm_model_of
from ctcore.nnunet.fixes import FIXES, apply_fixes
from ctcore.nnunet.overrides import apply_changes, parse_change

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Margin = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Size = Annotated[int, Field(ge=1)]

FEWEST_LEVELS = 3
"""Levels that a U-Net of this project has at least: the classification head reads three."""

FROM_RECIPE = "recipe"
"""The planner that takes every size from the recipe."""

RecipeT = TypeVar("RecipeT", bound="TrainingRecipe")


class WeightsOrigin(BaseModel):
    """Weights that a training started from.

    Attributes:
        source: the file or model folder, with the folder it lies in.
        sha256: of the file; of a folder, of its files' names and hashes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    sha256: str


class TrainingRecipe(BaseModel):
    """Settings of one training run that are not derived from the data.

    Attributes:
        name: the recipe's name, and that of the folder of its results.
        description: what it is for, and whose published values it holds.
        fixes: the recipe's named fixes that are in its values (see `load_recipe`).
        spacing_mm: voxel spacing (z, y, x) that images are brought to.
        planner: who decides patch, batch and architecture: `recipe` (the fields below say it all), or one of nnU-Net's
            planners, whose choices those of the fields below that are given replace.
        planner_memory_gb: GPU memory (GB) that nnU-Net's planner aims at; None for the planner's own.
        patch_size: voxels (z, y, x) that the network sees at once; a depth of 1 makes it a 2-D network of axial slices.
        batch_size: patches a step.
        encoder: `plain` or `resenc`, nnU-Net's plain or residual encoder, which follows from a planner of nnU-Net's; or
            `timm:NAME`, a 2-D encoder of timm's.
        encoder_weights: safetensors file with the weights that a timm encoder begins with; None for random ones.
        features: channels of each encoder level; their number is the number of levels. A timm encoder has its own.
        blocks_per_level: convolutions (plain) or residual blocks of each encoder level.
        stem_stride: stride of the first convolution: the network computes on a grid that much coarser than the image,
            which it still sees at its own spacing, and is taught there; its answer is interpolated to the image. With
            2 a 3-D network costs about what it costs on images of twice the spacing.
        segmentation_loss: nnU-Net's soft Dice (of the foreground labels), cross-entropy, or their sum; `dice-bce` is
            their sum with the sigmoid of every label in place of the softmax.
        epochs: passes of `iterations_per_epoch` steps.
        iterations_per_epoch: training steps an epoch.
        validation_iterations: validation batches an epoch.
        optimizer: `sgd` is nnU-Net's Nesterov SGD with momentum 0.99.
        learning_rate: initial learning rate.
        weight_decay: L2 penalty (decoupled with `adamw`).
        schedule: `poly` (nnU-Net's, power 0.9), `cosine`, or `step` (x 0.1 every `step_share`).
        step_share: share of the epochs between reductions of the `step` schedule.
        gradient_clip: largest gradient norm.
        fp32_steps: first steps of a run that are computed in float32 whatever the precision.
        repeat_in_fp32: whether a step whose loss is not finite is computed again in float32 before the training ends.
        augmentation: `nnunet` is its default pipeline; `light` leaves out its blur and low-resolution transforms,
            which cost more than a training step of a small network on a CPU, and samples label maps at the nearest
            voxel.
        mirror: whether mirroring augments (and is allowed at inference).
        oversample_foreground: share of a batch's patches that are centred on a labelled voxel; 0 suits a patch as large
            as the image, which a centred patch would half leave.
        batch_dice: whether the Dice loss is taken over the batch as one image, so that a false positive in a case
            without the label counts against the cases that have it; otherwise one Dice a case. None, only with a
            planner of nnU-Net's: its choice.
        early_stopping_share: a training ends early when the smoothed pseudo-Dice of the validation patches has not
            improved for this share of the epochs; None never.
        ema_decay: decay of the exponential moving average of the weights that is exported; None exports the weights
            themselves.
        seed: seed of initial weights and of sampling.
        initial_weights: what the weights started from, where they were not random: written by training, not by hand.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fixed_by_prepare: ClassVar[tuple[str, ...]] = ("spacing_mm",)
    """Fields that prepared images depend on."""
    fixed_by_plan: ClassVar[tuple[str, ...]] = (
        "planner",
        "planner_memory_gb",
        "patch_size",
        "batch_size",
        "encoder",
        "features",
        "blocks_per_level",
        "stem_stride",
        "batch_dice",
    )
    """Further fields that a plan depends on."""
    free_after_training: ClassVar[tuple[str, ...]] = ()
    """Fields that training does not use and that an export may still change."""

    name: Annotated[str, Field(pattern=r"^\w[\w.+-]*$")]
    description: str
    fixes: tuple[str, ...] = ()
    spacing_mm: tuple[Positive, Positive, Positive]
    planner: Literal["recipe", "nnunet", "resenc-m", "resenc-l", "resenc-xl"] = "recipe"
    planner_memory_gb: Positive | None = None
    patch_size: tuple[Size, Size, Size] | None = None
    batch_size: Size | None = None
    encoder: Annotated[str, AfterValidator(check_encoder)] = "plain"
    encoder_weights: Path | None = None
    features: tuple[Size, ...] = ()
    blocks_per_level: tuple[Size, ...] = ()
    stem_stride: Annotated[int, Field(ge=1, le=4)] = 1
    segmentation_loss: Literal["dice-ce", "dice", "ce", "dice-bce"] = "dice-ce"
    epochs: Size
    iterations_per_epoch: Size = 250
    validation_iterations: Size = 50
    optimizer: Literal["sgd", "adam", "adamw", "muon"] = "sgd"
    learning_rate: Positive = 0.01
    weight_decay: Annotated[float, Field(ge=0)] = 3e-5
    schedule: Literal["poly", "cosine", "step"] = "poly"
    step_share: Annotated[float, Field(gt=0, le=1)] = 0.075
    gradient_clip: Positive = 12.0
    fp32_steps: Annotated[int, Field(ge=0)] = 0
    repeat_in_fp32: bool = False
    augmentation: Literal["nnunet", "light"] = "nnunet"
    mirror: bool = True
    oversample_foreground: Annotated[float, Field(ge=0, le=1)] = 0.33
    batch_dice: bool | None = None
    early_stopping_share: Annotated[float, Field(gt=0, le=1)] | None = None
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    seed: int = 0
    initial_weights: WeightsOrigin | None = None

    @model_validator(mode="before")
    @classmethod
    def _follow_from_the_planner(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        planner = values.get("planner", FROM_RECIPE)
        encoder = "resenc" if str(planner).startswith("resenc") else "plain"
        filled: dict[str, Any] = {"encoder": encoder} | values
        if planner == FROM_RECIPE and filled.get("batch_dice") is None:
            filled["batch_dice"] = False
        return filled

    @model_validator(mode="after")
    def _planner_has_what_it_needs(self) -> Self:
        if self.planner == FROM_RECIPE:
            needed = (
                ["patch_size", "batch_size"]
                if timm_model_of(self.encoder)
                else ["patch_size", "batch_size", "features"]
            )
            absent = [name for name in needed if not getattr(self, name)]
            if absent:
                raise ValueError(f"{', '.join(absent)} must be given, unless one of nnU-Net's planners decides")
            if self.planner_memory_gb is not None:
                raise ValueError(f"planner_memory_gb {self.planner_memory_gb} is for nnU-Net's planners; leave it out")
        elif self.stem_stride != 1:
            raise ValueError(f"stem_stride {self.stem_stride}: nnU-Net's planners choose none; leave it out")
        elif self.encoder != ("resenc" if self.planner.startswith("resenc") else "plain"):
            raise ValueError(f"encoder '{self.encoder}' is not the one of planner '{self.planner}'; leave it out")
        return self

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        if self.features and len(self.features) < FEWEST_LEVELS:
            raise ValueError(f"features {self.features} has fewer than three levels")
        if self.features and self.blocks_per_level and len(self.blocks_per_level) != len(self.features):
            raise ValueError(f"blocks_per_level {self.blocks_per_level} and features {self.features} differ in length")
        return self

    @model_validator(mode="after")
    def _timm_fits(self) -> Self:
        if timm_model_of(self.encoder) is None:
            if self.encoder_weights is not None:
                raise ValueError(f"encoder_weights '{self.encoder_weights}' is for timm's encoders; leave it out")
            return self
        if self.dims != 2:
            raise ValueError(f"encoder '{self.encoder}' is 2-D, and patch_size is {self.patch_size}; use (1, y, x)")
        for name in ("features", "blocks_per_level", "stem_stride"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} {getattr(self, name)}: encoder '{self.encoder}' has its own; leave it out")
        return self

    @property
    def dims(self) -> int:
        """Spatial dimensions of the network: 2 for a patch of depth 1, else 3."""
        return 2 if self.patch_size is not None and self.patch_size[0] == 1 else 3

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Spatial axes (0 z, 1 y, 2 x) that training mirrors: a 2-D network knows no z."""
        return tuple(range(3 - self.dims, 3)) if self.mirror else ()

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks of each level named in `features`; two where the recipe does not say."""
        return self.blocks_per_level or (2,) * len(self.features)


def load_recipe(kind: type[RecipeT], name: str, folder: Path, changes: Sequence[str] = ()) -> RecipeT:
    """Reads a recipe by name from a folder of recipes, or from a file.

    A recipe that reproduces a publication holds the published values, and in tables `[fixes.NAME]` the values that
    answer its known faults. All fixes count, unless the name says otherwise: `NAME@published` has none of them,
    `NAME@FIX,FIX` those named. Such a variant's name in results is `NAME.published` or `NAME.FIX.FIX`.

    Args:
        kind: the stage's recipe class.
        name: name of a shipped recipe, or the path of a `.toml` file, perhaps with `@` and a variant.
        folder: where the shipped recipes are.
        changes: fields that replace the recipe's, each as `FIELD=VALUE`.

    Raises:
        RecipeError: there is no such recipe or fix, the file is not TOML, or it holds an unknown key or impossible
            value.
    """
    stem, at, variant = name.rpartition("@") if "@" in Path(name).name else (name, "", "")
    path = Path(stem) if stem.endswith(".toml") else folder / f"{stem}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.toml")))
        raise RecipeError(f"recipe '{stem}' does not exist; choose one of {known}, or give a .toml file")
    title = " ".join([f"recipe '{path.name}{at}{variant}'", *(f"--set '{change}'" for change in changes)])
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        values = apply_fixes(values, variant, title) if at or FIXES in values else values
        return kind.model_validate(apply_changes(values, [parse_change(text) for text in changes], kind.model_fields))
    except (OSError, RecursionError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"recipe '{path.name}' is not valid TOML: {first_line(error)}") from error
    except ValidationError as error:
        raise RecipeError(f"{title}: {describe_validation(error)}") from error
