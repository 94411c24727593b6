"""A bundle from two trained nnU-Net folders."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ctcore.datasets.label_names import PANCREAS_PARTS, is_lesion, project_name
from ctcore.detection.candidates import CandidateSettings
from ctcore.detection.fusion import FusionSettings
from ctcore.errors import RequestError, describe_validation
from pipeline.bundle import Bundle
from pipeline.create_bundle import create_bundle
from pipeline.presets import PRESETS, PresetName

if TYPE_CHECKING:
    from ctcore.nnunet.folders.read import TrainedFolder

PANCREAS = "pancreas"


@dataclass(frozen=True)
class NnunetFolder:
    """A trained nnU-Net to import.

    Attributes:
        folder: holds `plans.json`, `dataset.json` and folders `fold_<k>`.
        folds: which; None for all that are there.
        checkpoint: file name of the weights in each; None: of the last epoch, else of the best.
    """

    folder: Path
    folds: tuple[str, ...] | None = None
    checkpoint: str | None = None


def import_nnunet(
    stage1: NnunetFolder,
    stage2: NnunetFolder,
    output: Path,
    *,
    name: str | None = None,
    description: str | None = None,
    pancreas_label: str | None = None,
    lesion_label: str | None = None,
    preset: PresetName = "none",
    overwrite: bool = False,
) -> Bundle:
    """Makes a bundle of two models that nnU-Net trained; nothing in their files is run.

    Args:
        stage1: segments the pancreas in a whole CT.
        stage2: segments the lesion in a region around it.
        output: the folder to make.
        name: the bundle's name; None: that of stage 2's dataset.
        description: one sentence on what it is.
        pancreas_label: stage 1's label that makes the ROI; None: the one named pancreas, or its only foreground.
        lesion_label: stage 2's label that becomes the detection map; None: the one named lesion, tumor or PDAC.
        preset: what is done around the networks.
        overwrite: whether a bundle that already lies at `output` is replaced.

    Raises:
        RequestError: a file, fold or label is missing, plans cannot be run here, or `output` exists.
        CheckpointError: a checkpoint cannot be opened safely, or does not fit its plans.
    """
    from ctcore.nnunet.exported import save_model
    from ctcore.nnunet.folders.read import read_trained_folder
    from stage1_localizer.model import LocalizerModel
    from stage2_multitask.model import LabelGate, MultiTaskModel

    chosen = PRESETS[preset]
    first, second = (read_trained_folder(s.folder, s.folds, s.checkpoint) for s in (stage1, stage2))
    pancreas = _pancreas(first.plan.labels, pancreas_label, stage1.folder)
    lesion = _lesion(second.plan.labels, lesion_label, stage2.folder)
    gate = LabelGate(labels=_gland(second.plan.labels, lesion), voxels=chosen.gate_voxels) if chosen.gate else None
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".partial-") as made:
        folders = (Path(made) / "stage1", Path(made) / "stage2")
        try:
            localizer = LocalizerModel(
                **_common(first, stage1.folder),
                pancreas_label=pancreas,
                bspline_mm=chosen.bspline_mm,
                roi_rule="voxel-centres" if chosen.from_centres else "field-of-view",
                margin_mm=chosen.margin_mm,
                bridge_mm=chosen.bridge_mm,
                minimum_ml=chosen.minimum_ml,
            )
            multitask = MultiTaskModel(
                **_common(second, stage2.folder), lesion_label=lesion, class_names=(), head=None, lesion_gate=gate
            )
        except ValidationError as error:
            raise RequestError(f"the folders cannot be imported: {describe_validation(error)}") from error
        save_model(folders[0], localizer, first.states, exact=True)
        save_model(folders[1], multitask, second.states, exact=True)
        return create_bundle(
            *folders,
            output,
            name=name
            or str(second.source.dataset.get("name") or second.source.plans.get("dataset_name") or "imported"),
            description=description or f"two models trained by nnU-Net, imported with preset '{preset}'",
            candidates=CandidateSettings(
                mode=chosen.mode, dynamic_threshold_factor=chosen.growth_factor, min_confidence=0.0
            ),
            fusion=FusionSettings(rule="map"),
            orientation="as-stored",
            overwrite=overwrite,
        )


def _common(trained: TrainedFolder, folder: Path) -> dict[str, Any]:
    """Returns what both stages' `model.json` say of a trained nnU-Net."""
    plan, dataset = trained.plan, str(trained.source.plans.get("dataset_name", folder.name))
    best = {path.name for path in trained.checkpoints.values()} == {"checkpoint_best.pth"}
    return {
        "architecture": plan.architecture,
        "spacing_mm": plan.spacing_mm,
        "patch_size": plan.patch_size,
        "normalization": plan.normalization,
        "processing": plan.processing,
        "labels": plan.labels,
        "regions": plan.regions,
        "folds": tuple(trained.states),
        "mirror_axes": trained.mirror_axes,
        "trained_on": f"{dataset}, by nnU-Net",
        "checkpoint": "best" if best else "last",
        "recipe": {"name": f"nnU-Net {trained.source.configuration} ({trained.source.trainer})"},
        "source": trained.source,
    }


def _pancreas(labels: Mapping[str, int], asked: str | None, folder: Path) -> str:
    foreground = [name for name in labels if name != "background"]
    if asked is None and len(foreground) == 1:
        return foreground[0]
    named = [name for name in foreground if project_name(name) == PANCREAS]
    return _one(named, foreground, asked, folder, "--pancreas-label", PANCREAS)


def _lesion(labels: Mapping[str, int], asked: str | None, folder: Path) -> str:
    foreground = [name for name in labels if name != "background"]
    named = [name for name in foreground if is_lesion(name)]
    return _one(named, foreground, asked, folder, "--lesion-label", "lesion, tumor or PDAC")


def _one(
    named: Sequence[str], foreground: Sequence[str], asked: str | None, folder: Path, option: str, what: str
) -> str:
    """Returns the label asked for, or the only one of that name."""
    if asked is not None:
        if asked not in foreground:
            raise RequestError(f"{option} '{asked}' is no label of '{folder}'; it has {', '.join(foreground)}")
        return asked
    if len(named) != 1:
        found = f"{len(named)} labels" if named else "no label"
        raise RequestError(
            f"'{folder}' has {found} named {what}, but {', '.join(foreground) or 'none'}: name one with {option}"
        )
    return named[0]


def _gland(labels: Mapping[str, int], lesion: str) -> tuple[str, ...]:
    """Returns the labels near which a lesion can be: lesion, pancreas and duct, those that there are."""
    return tuple(name for name in labels if name == lesion or project_name(name) in PANCREAS_PARTS)
