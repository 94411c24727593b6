"""Weights that a training starts from instead of random ones.

They come from an exported stage folder, a bundle (by its convention: a folder that holds the stage folders `stage1`
and `stage2`), a safetensors file or a checkpoint, also nnU-Net's own. Every tensor whose name and shape fit is taken.
The localizer and the multi-task network name encoder and decoder alike, so that one can start from the other.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctcore.errors import CheckpointError, RequestError, first_line
from ctcore.json_files import read_json
from ctcore.nnunet.exported import MODEL_FILE, weights_file
from ctcore.nnunet.recipe import WeightsOrigin
from ctcore.nnunet.safe_load import allowed_globals
from ctcore.nnunet.training.fold_files import RECIPE_NAME

if TYPE_CHECKING:
    import torch

    from ctcore.nnunet.training.epochs import EpochTrainer

WRAPPERS = ("module.", "_orig_mod.")
"""What torch puts before the names of a network that is distributed or compiled."""

NAMES_SHOWN = 4

_HASH_BLOCK = 1 << 20


@dataclass(frozen=True)
class Misfit:
    """A tensor that both networks have, in different shapes.

    Attributes:
        name: its name.
        given: its shape in the file.
        wanted: its shape in the network.
    """

    name: str
    given: tuple[int, ...]
    wanted: tuple[int, ...]


@dataclass(frozen=True)
class LoadedWeights:
    """What became of the weights to start from.

    Attributes:
        loaded: names of the network's tensors that were taken.
        misfits: those that have another shape in the file.
        missing: those that are not in the file.
        unused: names in the file that the network does not have.
    """

    loaded: tuple[str, ...]
    misfits: tuple[Misfit, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the content of `initial_weights.json` beside the origin."""
        return asdict(self)

    def summary(self, origin: WeightsOrigin) -> str:
        """Returns it as one line."""
        total = len(self.loaded) + len(self.misfits) + len(self.missing)
        misfits = [f"{m.name} ({_shape(m.given)} there, {_shape(m.wanted)} here)" for m in self.misfits]
        parts = Counter(name.partition(".")[0] for name in self.missing)
        line = f"initial weights: {len(self.loaded)} of {total} tensors from '{origin.source}'"
        if misfits:
            line += f"; of another shape: {_listed(misfits)}"
        if parts:
            line += f"; not there: {', '.join(f'{count} of {name}' for name, count in parts.items())}"
        return line + (f"; {len(self.unused)} of the file not used" if self.unused else "")


def stage_source(source: Path, stage: str) -> Path:
    """Returns a bundle's folder of a stage (`stage1`, `stage2`); any other source as it is.

    Raises:
        RequestError: there is no such file or folder, or the bundle lacks the stage.
    """
    if not source.exists():
        raise RequestError(f"--init-from '{source}' does not exist; give a bundle, a model folder or a file of weights")
    if source.is_dir() and (source / "bundle.json").is_file():
        if not (source / stage / MODEL_FILE).is_file():
            raise RequestError(f"bundle '{source}' lacks '{stage}/{MODEL_FILE}'; give another bundle or a model folder")
        return source / stage
    return source


def origin_of(source: Path) -> WeightsOrigin:
    """Returns a source's name and hash: SHA-256 of the file; of a model folder, of its files' names and hashes.

    Raises:
        RequestError: it is neither a file nor a model folder.
    """
    name = "/".join(source.resolve().parts[-2:])
    if source.is_file():
        return WeightsOrigin(source=name, sha256=_sha256(source))
    total = hashlib.sha256()
    for file in (source / MODEL_FILE, *(weights_file(source, fold) for fold in _folds(source))):
        total.update(f"{file.name} {_sha256(file)}\n".encode())
    return WeightsOrigin(source=name, sha256=total.hexdigest())


def origin_on_resume(folder: Path, asked: WeightsOrigin | None, *, begun: bool) -> WeightsOrigin | None:
    """Returns what a training that may have been started earlier starts, or started, from.

    Once there is a checkpoint nothing is loaded again, and `--init-from` need not be repeated. Before, other weights
    may be given, but not none: the training would begin from random ones unnoticed.

    Args:
        folder: the fold's folder.
        asked: what is asked for now, or None.
        begun: whether the fold has a checkpoint or is trained.

    Raises:
        RequestError: it was begun from other weights, or from weights that are asked for no more and still needed.
    """
    path = folder / RECIPE_NAME
    values = read_json(path).get("initial_weights") if path.is_file() else None
    before = None if values is None else WeightsOrigin.model_validate(values)
    if not begun and (asked is not None or before is None):
        return asked
    if begun and (asked is None or (before is not None and before.sha256 == asked.sha256)):
        return before
    was, now = ("random weights" if o is None else f"'{o.source}' ({o.sha256[:12]})" for o in (before, asked))
    raise RequestError(
        f"'{folder}' was begun from {was}, not from {now}; give the same --init-from, or begin again with --restart"
    )


def fold_file(source: Path, fold: str) -> Path:
    """Returns the file of weights for a fold: of a model folder that of the same fold, else of its first.

    Raises:
        RequestError: the folder holds no exported model.
    """
    if source.is_file():
        return source
    folds = _folds(source)
    return weights_file(source, fold if fold in folds else folds[0])


def _folds(folder: Path) -> list[str]:
    details = read_json(folder / MODEL_FILE) if (folder / MODEL_FILE).is_file() else {}
    folds = [str(fold) for fold in details.get("folds", ())] if isinstance(details, dict) else []
    absent = [fold for fold in folds if not weights_file(folder, fold).is_file()]
    if not folds or absent:
        lacking = f"fold_{absent[0]}.safetensors" if absent else f"{MODEL_FILE} with folds"
        raise RequestError(
            f"'{folder}' is no bundle and no exported model: it lacks {lacking}; give another --init-from"
        )
    return folds


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Reads the tensors of a file by name; no code in it is run.

    A checkpoint's moving average counts more than its weights, as it does for an export.

    Raises:
        CheckpointError: the file is damaged, holds something else, or weights that are not finite.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            with torch.serialization.safe_globals(allowed_globals()):
                state = torch.load(path, map_location="cpu", weights_only=True)
            if isinstance(state, Mapping) and "network_weights" in state:
                state = state.get("moving_average") or state["network_weights"]
    except Exception as error:  # a damaged file provokes nearly any of them
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise CheckpointError(f"'{path}' cannot be read ({reason}); give other weights to --init-from") from error
    if (
        not isinstance(state, Mapping)
        or not state
        or not all(isinstance(value, torch.Tensor) for value in state.values())
    ):
        raise CheckpointError(
            f"'{path}' holds no weights by name; give safetensors or a checkpoint with network_weights"
        )
    tensors = {_bare(str(name)): tensor for name, tensor in state.items()}
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(f"'{path}' holds weights that are not finite ({broken[0]}); give others to --init-from")
    return tensors


def start_from(trainer: EpochTrainer, tensors: Mapping[str, torch.Tensor], path: Path) -> LoadedWeights:
    """Gives a trainer, and its moving average, every weight that fits as initial weight; see `load_what_fits`."""
    if not trainer.was_initialized:
        trainer.initialize()
    loaded = load_what_fits(trainer.module, tensors, path)
    if trainer.ema is not None:
        trainer.ema.module.load_state_dict(trainer.module.state_dict())
    return loaded


def load_what_fits(network: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> LoadedWeights:
    """Copies every tensor that fits by name and shape into a network.

    nnU-Net's modules hold some layers under two names and its decoder the whole encoder: a tensor counts once,
    whichever of its names the file has.

    Args:
        network: receives the weights.
        tensors: weights by name.
        path: where they come from, for messages.

    Raises:
        CheckpointError: not one weight matrix or kernel fits.
    """
    import torch

    aliases: dict[int, list[str]] = defaultdict(list)
    own = network.state_dict(keep_vars=True)
    for name, tensor in own.items():
        aliases[id(tensor)].append(name)
    loaded, misfits, missing = [], [], []
    known: set[str] = set()
    with torch.no_grad():
        for names in aliases.values():
            target = own[names[0]]
            known |= set(names)
            given = [tensors[name] for name in names if name in tensors]
            fitting = [tensor for tensor in given if tensor.shape == target.shape]
            if fitting:
                target.copy_(fitting[0])
                loaded.append(names[0])
            elif given:
                misfits.append(Misfit(names[0], tuple(given[0].shape), tuple(target.shape)))
            else:
                missing.append(names[0])
    if not any(own[name].ndim > 1 for name in loaded):
        there, here = (next(iter(weights.items())) for weights in (tensors, own))
        raise CheckpointError(
            f"no weights of '{path}' fit (it has {there[0]} {_shape(there[1].shape)}, the network {here[0]}"
            f" {_shape(here[1].shape)}, ...); give weights of a network with these names and widths"
        )
    return LoadedWeights(tuple(loaded), tuple(misfits), tuple(missing), tuple(sorted(tensors.keys() - known)))


def _bare(name: str) -> str:
    for wrapper in WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _shape(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape) or "one number"


def _listed(items: Sequence[str]) -> str:
    more = len(items) - NAMES_SHOWN
    return ", ".join(items[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
