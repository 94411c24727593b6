"""Writing a model folder that nnunetv2's own predictor loads: `plans.json`, `dataset.json`, a checkpoint a fold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctcore.durable import write_atomic
from ctcore.errors import RequestError
from ctcore.json_files import write_json
from ctcore.nnunet.exported import ExportedModel, NnunetSource
from ctcore.nnunet.folders.plan import UNETS
from ctcore.nnunet.folders.read import CHECKPOINTS, DATASET, PLANS

if TYPE_CHECKING:
    import torch

TRAINER = "nnUNetTrainer"
"""nnU-Net's own; it builds the network that the plans describe."""

_RESAMPLING = "resample_data_or_seg_to_shape"


def write_trained_folder(
    folder: Path, model: ExportedModel, states: Mapping[str, Mapping[str, torch.Tensor]], dataset_name: str
) -> None:
    """Writes a segmentation model as nnU-Net's training leaves one.

    A model that came from nnU-Net gets back the plans and the dataset that it came with.

    Args:
        folder: the folder to fill.
        model: its description.
        states: `state_dict` of the U-Net, by fold.
        dataset_name: name of the dataset, for models that do not come from nnU-Net.

    Raises:
        RequestError: nnU-Net does not have this architecture.
        OutputError: a file could not be written.
    """
    import torch

    source = model.source or _source_of(model, dataset_name)
    offset = 1 if model.patch_size[0] == 1 else 0
    write_json(folder / PLANS, source.plans)
    write_json(folder / DATASET, source.dataset)
    for fold, state in states.items():
        checkpoint = {
            "network_weights": dict(state),
            "trainer_name": source.trainer,
            "init_args": {
                "plans": source.plans,
                "configuration": source.configuration,
                "fold": int(fold) if fold.isdigit() else fold,
                "dataset_json": source.dataset,
            },
            "inference_allowed_mirroring_axes": tuple(axis - offset for axis in model.mirror_axes) or None,
        }
        write_atomic(
            folder / f"fold_{fold}" / CHECKPOINTS[0],
            lambda partial, checkpoint=checkpoint: torch.save(checkpoint, partial),  # type: ignore[misc]
        )


def _source_of(model: ExportedModel, dataset_name: str) -> NnunetSource:
    """Returns plans and dataset for a model that was not planned by nnU-Net or whose plans are not known any more."""
    name = str(model.architecture.get("network_class_name"))
    if name.rpartition(".")[2] not in UNETS:
        raise RequestError(f"architecture '{name}' is not nnU-Net's; nnunetv2 cannot run it without this project")
    stem = model.architecture["arch_kwargs"]["strides"][0]
    if any(n != 1 for n in ([stem] if isinstance(stem, int) else stem)):
        raise RequestError(f"the architecture's stem has stride {stem}, and nnunetv2 does not interpolate its answer")
    flat = model.patch_size[0] == 1
    configuration = "2d" if flat else "3d_fullres"
    patch, spacing = (list(values[1:] if flat else values) for values in (model.patch_size, model.spacing_mm))
    values = model.normalization
    properties = {
        "min": values.lower,
        "max": values.upper,
        "mean": values.mean,
        "median": values.mean,
        "std": values.std,
        "percentile_00_5": values.lower,
        "percentile_99_5": values.upper,
    }
    plans: dict[str, Any] = {
        "dataset_name": dataset_name,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": list(model.spacing_mm),
        "original_median_shape_after_transp": list(model.patch_size),
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": properties},
        "configurations": {
            configuration: {
                "data_identifier": f"nnUNetPlans_{configuration}",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": patch,
                "median_image_size_in_voxels": patch,
                "spacing": spacing,
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                **_resampling("data", is_seg=False, order=3),
                **_resampling("seg", is_seg=True, order=1),
                **_resampling("probabilities", is_seg=False, order=1),
                "architecture": model.architecture,
                "batch_dice": False,
            }
        },
    }
    dataset = {
        "channel_names": {"0": "CT"},
        "labels": _consecutive(model.labels),
        "numTraining": 0,
        "file_ending": ".nii.gz",
    }
    return NnunetSource(plans=plans, dataset=dataset, configuration=configuration, trainer=TRAINER)


def _resampling(what: str, *, is_seg: bool, order: int) -> dict[str, Any]:
    """Returns nnU-Net's default of a resampling."""
    arguments = {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": None}
    return {f"resampling_fn_{what}": _RESAMPLING, f"resampling_fn_{what}_kwargs": arguments}


def _consecutive(labels: Mapping[str, int]) -> dict[str, int]:
    """Returns labels with a name for every value up to the highest, as nnU-Net wants them: it counts its outputs so."""
    unnamed = set(range(max(labels.values()) + 1)) - set(labels.values())
    named = {**labels, **{f"unused {value}": value for value in unnamed}}
    return dict(sorted(named.items(), key=lambda item: item[1]))
