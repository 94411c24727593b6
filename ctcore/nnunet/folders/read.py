"""Reading a trained nnU-Net folder: `plans.json`, `dataset.json`, `fold_<k>/checkpoint_*.pth`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctcore.errors import CheckpointError, RequestError, first_line
from ctcore.json_files import read_json
from ctcore.nnunet.exported import NnunetSource, unique_state
from ctcore.nnunet.folders.plan import Plan, only_configuration
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.safe_load import safe_load

if TYPE_CHECKING:
    import torch

PLANS, DATASET = "plans.json", "dataset.json"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
"""Which file of a fold is taken, where none is asked for: the first that is there."""
_WRAPPERS = ("module.", "_orig_mod.")
"""What torch puts before the names of a network that is distributed or compiled."""


@dataclass(frozen=True)
class TrainedFolder:
    """A trained nnU-Net.

    Attributes:
        plan: what its plans and dataset say.
        source: what it came with.
        checkpoints: file of each fold.
        states: each fold's weights and buffers by name, each once.
        mirror_axes: axes of the network's image ([z,] y, x) that training mirrored.
    """

    plan: Plan
    source: NnunetSource
    checkpoints: dict[str, Path]
    states: dict[str, dict[str, torch.Tensor]]
    mirror_axes: tuple[int, ...]


def read_trained_folder(
    folder: Path, folds: Sequence[str] | None = None, checkpoint: str | None = None
) -> TrainedFolder:
    """Reads a folder as nnU-Net's training leaves it; nothing in it is run.

    Args:
        folder: holds `plans.json`, `dataset.json` and folders `fold_<k>`.
        folds: which; None for all that are there.
        checkpoint: file name in each fold's folder; None for the first of `CHECKPOINTS` that is there.

    Raises:
        RequestError: a file or fold is missing, or the plans cannot be run here.
        CheckpointError: a checkpoint cannot be opened safely, or does not fit its plans.
    """
    plans, dataset = (_document(folder, name) for name in (PLANS, DATASET))
    files = _checkpoint_files(folder, folds, checkpoint)
    states: dict[str, dict[str, torch.Tensor]] = {}
    facts: tuple[str, str, tuple[int, ...]] | None = None
    plan: Plan | None = None
    for fold, path in files.items():
        content = safe_load(path)
        found = _facts(content, path)
        if plan is None or facts is None:
            plan, facts = Plan(plans, dataset, found[0], folder), found
        if found != facts:
            raise RequestError(f"'{path}' is of {found}, the first fold of {facts}; give folds of one training")
        states[fold] = _state(content["network_weights"], plan, path)
    if plan is None or facts is None:
        raise RequestError(f"'{folder}' has no folds; give a trained nnU-Net v2 folder")
    configuration, trainer, mirrored = facts
    offset = 3 - len(plan.patch_size)
    source = NnunetSource(
        plans=only_configuration(plans, configuration), dataset=dataset, configuration=configuration, trainer=trainer
    )
    return TrainedFolder(plan, source, files, states, tuple(axis + offset for axis in mirrored))


def _document(folder: Path, name: str) -> dict[str, Any]:
    if not (folder / name).is_file():
        raise RequestError(
            f"'{folder}' lacks {name}; give a trained nnU-Net v2 folder, which holds it beside its folds"
        )
    content = read_json(folder / name)
    if not isinstance(content, dict):
        raise RequestError(f"'{folder / name}' is not a JSON object; copy it again")
    return content


def _checkpoint_files(folder: Path, folds: Sequence[str] | None, checkpoint: str | None) -> dict[str, Path]:
    """Returns the checkpoint of each fold."""
    there = sorted(path.name.removeprefix("fold_") for path in folder.glob("fold_*") if path.is_dir())
    if not there:
        raise RequestError(f"'{folder}' holds no folder fold_0, fold_1, ... or fold_all; give a trained nnU-Net folder")
    names = (checkpoint,) if checkpoint else CHECKPOINTS
    files = {}
    for fold in folds or there:
        if fold not in there:
            raise RequestError(
                f"'{folder}' has no fold_{fold}; it has {', '.join(there)}: choose of these with --folds"
            )
        found = [path for name in names if (path := folder / f"fold_{fold}" / name).is_file()]
        if not found:
            raise RequestError(f"'{folder / f'fold_{fold}'}' holds no {' or '.join(names)}; choose other --folds")
        files[fold] = found[0]
    return files


def _facts(content: Any, path: Path) -> tuple[str, str, tuple[int, ...]]:
    """Returns a checkpoint's configuration, trainer and mirrored axes."""
    try:
        configuration, trainer = content["init_args"]["configuration"], content["trainer_name"]
        mirrored = tuple(int(axis) for axis in content.get("inference_allowed_mirroring_axes") or ())
        if not isinstance(content["network_weights"], Mapping):
            raise TypeError("network_weights is not a table of tensors")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"'{path}' is not a checkpoint of nnU-Net v2 ({type(error).__name__}: {first_line(error)}); give another"
        ) from error
    return str(configuration), str(trainer), mirrored


def _state(weights: Mapping[str, Any], plan: Plan, path: Path) -> dict[str, torch.Tensor]:
    """Returns a checkpoint's weights, each once, after they have filled the network of its plans without a rest."""
    import torch

    outputs = len(plan.regions) or len(plan.labels)
    network = build_unet(plan.architecture, 1, outputs)
    try:
        network.load_state_dict({_bare(str(name)): tensor for name, tensor in weights.items()})
    except (AttributeError, RuntimeError, TypeError) as error:
        told = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"'{path}' does not fit its plans: {told}; give the plans that it was trained with"
        ) from error
    state = unique_state(network)
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(f"'{path}' holds weights that are not finite ({broken[0]}); give another checkpoint")
    return state


def _bare(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name
