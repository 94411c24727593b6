"""A trained stage as inference needs it: `model.json` and a safetensors file per fold; no pickle, no nnU-Net folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from ctcore.durable import write_atomic, write_text
from ctcore.errors import BundleError, RequestError, describe_validation
from ctcore.json_files import read_json
from ctcore.nnunet.processing import NnunetProcessing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

SCHEMA_VERSION = 1
MODEL_FILE = "model.json"

MAX_PATCH_VOXELS = 1 << 25
"""Most voxels of a window; PANORAMA's has 1.8 million."""

MAX_FOLDS = 64

FoldName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
"""A fold's name, which is part of a file's."""

LabelValue = Annotated[int, Field(ge=0, le=255)]
"""Segmentations are bytes."""

SpacingMm = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=1, le=1 << 14)]

CheckpointChoice = Literal["last", "best", "best-head"]
"""Which weights of a trained fold: of the last epoch, of the best one, or the last with the best classes' head."""


class Normalization(BaseModel):
    """nnU-Net's CT normalisation: clip to [lower, upper] HU, subtract the mean, divide by the standard deviation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lower: FiniteFloat
    upper: FiniteFloat
    mean: FiniteFloat
    std: FiniteFloat

    @classmethod
    def from_plans(cls, plans: dict[str, Any]) -> Normalization:
        """Returns what nnU-Net fitted to the training cases."""
        fitted = plans["foreground_intensity_properties_per_channel"]["0"]
        bounds = {"lower": fitted["percentile_00_5"], "upper": fitted["percentile_99_5"]}
        return cls(**bounds, mean=fitted["mean"], std=fitted["std"])

    def apply(self, array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Normalises Hounsfield units; returns float32 of the same shape."""
        import numpy as np

        values = np.clip(array.astype(np.float32), self.lower, self.upper)
        values -= self.mean
        values /= max(self.std, 1e-8)
        return values


class NnunetSource(BaseModel):
    """What a model that was trained by nnU-Net itself came with; it goes back there with it.

    Attributes:
        plans: `plans.json`, with no other configuration than the trained one.
        dataset: `dataset.json`.
        configuration: name of the trained configuration.
        trainer: class that trained it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    plans: dict[str, Any]
    dataset: dict[str, Any]
    configuration: str
    trainer: str


def _with_depth(patch_size: Any) -> Any:
    return (1, *patch_size) if isinstance(patch_size, list | tuple) and len(patch_size) == 2 else patch_size


class ExportedModel(BaseModel):
    """What a stage folder's `model.json` holds.

    Attributes:
        schema_version: version of this format.
        stage: `stage1` or `stage2`.
        architecture: nnU-Net's description of the U-Net.
        spacing_mm: voxel spacing (z, y, x) that the network sees; with `processing`, in its order of axes.
        patch_size: window (z, y, x) in voxels; a depth of 1 says that the network is 2-D. Where (y, x) is given, as
            nnU-Net's plans have it, the depth is 1.
        normalization: constants from the training fingerprint.
        processing: how nnU-Net itself resamples images and logits; None: linearly over the same field of view
            (`ctcore.resample`).
        labels: output label names by value; `background` is 0.
        regions: names of the labels in the order of the network's outputs, where each output is by itself (a sigmoid;
            labels may overlap); a later one hides the earlier in a segmentation. Empty: one softmax over all labels.
        folds: trained folds, each with a file `fold_<k>.safetensors`.
        mirror_axes: spatial axes (0 z, 1 y, 2 x) that training mirrored and test-time augmentation may mirror.
        trained_on: the data in words, for instance "parametric phantoms".
        checkpoint: whether the weights are those of the last epoch, of the best one, or the last with the best head.
        recipe: the recipe as trained.
        source: what a model that was trained by nnU-Net itself came with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    stage: str
    architecture: dict[str, Any]
    spacing_mm: tuple[SpacingMm, SpacingMm, SpacingMm]
    patch_size: Annotated[tuple[Side, Side, Side], BeforeValidator(_with_depth)]
    normalization: Normalization
    processing: NnunetProcessing | None = None
    labels: dict[str, LabelValue] = Field(min_length=1)
    regions: tuple[str, ...] = ()
    folds: tuple[FoldName, ...] = Field(max_length=MAX_FOLDS)
    mirror_axes: tuple[Literal[0, 1, 2], ...] = ()
    trained_on: str
    checkpoint: CheckpointChoice = "last"
    recipe: dict[str, Any]
    source: NnunetSource | None = None

    @model_validator(mode="after")
    def _known_version(self) -> Self:
        if self.schema_version != SCHEMA_VERSION:
            raise ValueError(f"schema_version {self.schema_version} is not {SCHEMA_VERSION}; export the model again")
        return self

    @model_validator(mode="after")
    def _reasonable(self) -> Self:
        if math.prod(self.patch_size) > MAX_PATCH_VOXELS:
            raise ValueError(f"patch_size {self.patch_size} has more than {MAX_PATCH_VOXELS} voxels")
        if len(set(self.folds)) < len(self.folds):
            raise ValueError(f"folds {self.folds} name one twice")
        return self

    @model_validator(mode="after")
    def _mirrors_what_it_sees(self) -> Self:
        if self.patch_size[0] == 1 and 0 in self.mirror_axes:
            raise ValueError(f"mirror_axes {self.mirror_axes}: a 2-D network (patch {self.patch_size}) knows no axis 0")
        return self

    @model_validator(mode="after")
    def _regions_are_labels(self) -> Self:
        strange = sorted(set(self.regions) ^ (self.labels.keys() - {"background"})) if self.regions else []
        if strange:
            raise ValueError(f"regions and labels do not agree on '{strange[0]}'; name the same in both")
        if self.regions and self.processing is None:
            raise ValueError("regions are sigmoids, which nnU-Net's own processing alone computes; say how in it")
        return self

    @property
    def output_channels(self) -> int:
        """Number of segmentation outputs, background included where there is one softmax."""
        return len(self.regions) or max(self.labels.values()) + 1

    def channel_of(self, label: str) -> int:
        """Returns which of the network's outputs is a label's."""
        return self.regions.index(label) if self.regions else self.labels[label]


ModelT = TypeVar("ModelT", bound=ExportedModel)


def weights_file(folder: Path, fold: str) -> Path:
    """Path of a fold's weights."""
    return folder / f"fold_{fold}.safetensors"


def save_model(
    folder: Path, model: ExportedModel, states: Mapping[str, Mapping[str, torch.Tensor]], *, exact: bool = False
) -> None:
    """Writes a stage folder; weights are stored as float16, which halves it and moves a logit by less than bf16 does.

    Args:
        folder: where to write.
        model: its description.
        states: weights by fold.
        exact: whether a tensor of which float16 would lose anything is stored as float32.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    for fold, state in states.items():
        half = {name: _stored(tensor, exact).contiguous() for name, tensor in state.items()}
        write_atomic(weights_file(folder, fold), lambda partial, half=half: save_file(half, partial))  # type: ignore[misc]
    write_text(folder / MODEL_FILE, model.model_dump_json(indent=2) + "\n")


def _stored(tensor: torch.Tensor, exact: bool) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    return tensor.float() if exact and not bool((half.float() == tensor.float()).all()) else half


def load_model(folder: Path, kind: type[ModelT]) -> ModelT:
    """Reads a stage folder's description.

    Raises:
        BundleError: it is missing, not of this kind or version, or a fold's weights are missing.
    """
    path = folder / MODEL_FILE
    if not path.is_file():
        raise BundleError(f"'{folder}' holds no exported model ('{MODEL_FILE}' is missing); run `export` first")
    try:
        model = kind.model_validate(read_json(path))
    except ValidationError as error:
        raise BundleError(f"'{path}': {describe_validation(error)}") from error
    except RequestError as error:
        raise BundleError(str(error)) from error
    for fold in model.folds:
        if not weights_file(folder, fold).is_file():
            raise BundleError(f"'{weights_file(folder, fold)}' is missing; export or copy the model again")
    return model


def chosen_folds(model: ExportedModel, folds: Sequence[int | str] | None) -> tuple[str, ...]:
    """Returns the folds to run: all of the model's, or the ones asked for.

    Raises:
        RequestError: a fold was not trained.
    """
    if not folds:
        return model.folds
    wanted = tuple(str(fold) for fold in folds)
    missing = [fold for fold in wanted if fold not in model.folds]
    if missing:
        raise RequestError(f"fold {', '.join(missing)} is not in this model; it has {', '.join(model.folds)}")
    return wanted


def build_loaded(build: Callable[[], torch.nn.Module], folder: Path, fold: str) -> torch.nn.Module:
    """Builds a network and loads a fold's weights into it; nothing much larger than their file is ever made.

    Raises:
        BundleError: as `load_weights`, or the network has more weights than the file.
    """
    from ctcore.nnunet.allocation import build_no_larger

    network = build_no_larger(build, weights_file(folder, fold))
    load_weights(network, folder, fold)
    return network


def load_weights(module: torch.nn.Module, folder: Path, fold: str) -> None:
    """Loads a fold's weights into a network of the same architecture, in float32, and puts it in evaluation mode.

    Raises:
        BundleError: the file is damaged, or the weights are of another architecture or not finite.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = weights_file(folder, fold)
    try:
        state = {name: tensor.float() for name, tensor in load_file(path).items()}
        module.load_state_dict(state, strict=False)
    except (SafetensorError, OSError, RuntimeError) as error:
        told = " ".join(str(error).split())[:300]
        raise BundleError(f"'{path}' does not fit its model: {told}; export or copy it again") from error
    strange = sorted(unique_state(module).keys() ^ state.keys())
    if strange:
        raise BundleError(f"'{path}' does not fit its model: '{strange[0]}' has no counterpart; copy it again")
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise BundleError(f"'{path}' holds weights that are not finite ({broken[0]}); export or copy it again")
    module.eval()


def unique_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Returns a network's weights and buffers, each once.

    nnU-Net's modules hold some layers under two names and its decoder the whole encoder, which a `state_dict` repeats.
    """
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
