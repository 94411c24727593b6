"""PANORAMA's two networks with random weights, as a bundle of this project and as trained models of nnU-Net's."""

from __future__ import annotations

import json
import shutil
import warnings
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctcore.errors import RequestError
from ctcore.json_files import read_json

if TYPE_CHECKING:
    import torch

CONFIGURATION = "3d_fullres"
TRAINER = "nnUNetTrainer"
CHECKPOINT = "checkpoint_final.pth"
MARGIN_MM = (15.0, 50.0, 100.0)
"""The baseline's margin (z, y, x) around the pancreas."""
MIRROR_AXES = (0, 1, 2)
CLASSES = ("non-PDAC", "PDAC")
LESION = 1
HEAD_WIDTH = 64
GIGA = 1e9


@dataclass(frozen=True)
class Models:
    """Where the networks lie, and what they cost.

    Attributes:
        bundle: both stages as this project's bundle; the second with a classification head.
        nnunet: both stages as nnU-Net's model folders, with the same weights, without that head.
        window_gflop: 10^9 floating point operations of one window of each stage, without the head.
    """

    bundle: Path
    nnunet: tuple[Path, Path]
    window_gflop: tuple[float, float]


def make_models(plans: Path, output: Path, folds: int = 1) -> Models:
    """Writes both stages' networks.

    Args:
        plans: folder with `stage1_plans.json`, `stage1_dataset.json` and those of stage 2.
        output: where to; what an earlier call wrote is replaced.
        folds: networks of each stage, each with random numbers of its own.

    Raises:
        RequestError: a file is missing.
    """
    from ctcore.detection.candidates import CandidateSettings
    from ctcore.nnunet.exported import save_model
    from pipeline.create_bundle import create_bundle

    shutil.rmtree(output, ignore_errors=True)
    exported, nnunet, gflop = [], [], []
    for stage in (1, 2):
        described, dataset = (_read(plans / f"stage{stage}_{name}.json") for name in ("plans", "dataset"))
        settings = stage_settings(stage, described, dataset, folds)
        networks = {str(fold): random_network(stage, settings, seed=10 * stage + fold) for fold in range(folds)}
        states = {fold: _state(network) for fold, network in networks.items()}
        exported.append(output / f"exported{stage}")
        save_model(exported[-1], settings, states)
        nnunet.append(output / f"nnunet{stage}")
        _write_nnunet(nnunet[-1], described, dataset, states)
        gflop.append(window_gflop(settings))
    bundle = create_bundle(
        exported[0],
        exported[1],
        output / "bundle",
        name="panorama-random",
        description="PANORAMA's networks with random weights, for measuring speed",
        candidates=CandidateSettings(mode="dynamic-fast", min_confidence=0.0),
    )
    return Models(bundle.folder, (nnunet[0], nnunet[1]), (gflop[0], gflop[1]))


def stage_settings(stage: int, plans: dict[str, Any], dataset: dict[str, Any], folds: int) -> Any:
    """Returns what a stage's `model.json` says of nnU-Net's plans (`LocalizerModel` or `MultiTaskModel`)."""
    from ctcore.nnunet.exported import Normalization
    from stage1_localizer.model import LocalizerModel
    from stage2_multitask.heads.settings import FPNSettings
    from stage2_multitask.model import MultiTaskModel

    configuration = _configuration(plans)
    labels = dict(dataset["labels"])
    common = {
        "architecture": {
            "network_class_name": configuration.network_arch_class_name,
            "arch_kwargs": configuration.network_arch_init_kwargs,
            "_kw_requires_import": list(configuration.network_arch_init_kwargs_req_import),
        },
        "spacing_mm": tuple(configuration.spacing),
        "patch_size": tuple(configuration.patch_size),
        "normalization": Normalization.from_plans(plans),
        "folds": tuple(str(fold) for fold in range(folds)),
        "mirror_axes": MIRROR_AXES,
        "trained_on": "nothing (random weights)",
        "recipe": {"name": "panorama-baseline"},
    }
    if stage == 1:
        return LocalizerModel(**common, labels=labels, margin_mm=MARGIN_MM, bridge_mm=0.0, minimum_ml=0.0)
    named = {("lesion" if value == LESION else name): value for name, value in labels.items()}
    head = FPNSettings(width=HEAD_WIDTH)
    heading = {"lesion_label": "lesion", "class_names": CLASSES, "head": head}
    return MultiTaskModel(**common, labels=named, aggregation="foreground-weighted mean", **heading)


def random_network(stage: int, settings: Any, seed: int) -> torch.nn.Module:
    """Returns a stage's network with nnU-Net's random weights, rounded to float16 as an exported model's are."""
    import torch

    from ctcore.nnunet.networks import build_unet

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_unet(settings.architecture, 1, settings.output_channels) if stage == 1 else _multitask(settings)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.copy_(tensor.half())
    return network.eval()


def window_gflop(settings: Any) -> float:
    """Returns the 10^9 floating point operations of one window, counted by torch; no memory is needed."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from ctcore.nnunet.networks import build_unet

    with torch.device("meta"):
        network = build_unet(settings.architecture, 1, settings.output_channels)
        window = torch.zeros((1, 1, *settings.patch_size))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(window)
    return float(counter.get_total_flops()) / GIGA


def _multitask(settings: Any) -> torch.nn.Module:
    from stage2_multitask.network import exported_network

    return exported_network(settings)


def _state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    from ctcore.nnunet.exported import unique_state

    return unique_state(network)


def _write_nnunet(folder: Path, plans: dict[str, Any], dataset: dict[str, Any], states: dict[str, Any]) -> None:
    """Writes a folder as nnU-Net's training leaves it: plans, dataset, a checkpoint a fold."""
    import torch

    from ctcore.nnunet.networks import build_unet

    configuration = _configuration(plans)
    architecture = {
        "network_class_name": configuration.network_arch_class_name,
        "arch_kwargs": configuration.network_arch_init_kwargs,
        "_kw_requires_import": configuration.network_arch_init_kwargs_req_import,
    }
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    for fold, state in states.items():
        network = build_unet(architecture, 1, max(dataset["labels"].values()) + 1)
        names = dict(network.named_parameters()) | dict(network.named_buffers())
        network.load_state_dict({name: state[name] for name in names}, strict=False)
        (folder / f"fold_{fold}").mkdir()
        checkpoint = {
            "network_weights": network.state_dict(),
            "trainer_name": TRAINER,
            "init_args": {"configuration": CONFIGURATION},
            "inference_allowed_mirroring_axes": MIRROR_AXES,
        }
        torch.save(checkpoint, folder / f"fold_{fold}" / CHECKPOINT)


def _configuration(plans: dict[str, Any]) -> Any:
    """Returns nnU-Net's view of its plans; those of older versions are brought up to date."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected old nnU-Net plans format")
        return PlansManager(deepcopy(plans)).get_configuration(CONFIGURATION)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise RequestError(f"'{path}' is missing; give --plans a folder with PANORAMA's plans and dataset files")
    content: dict[str, Any] = read_json(path)
    return content
