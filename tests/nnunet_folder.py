"""Trained nnU-Net folders of tiny networks with random weights, as every version of nnU-Net v2 leaves them."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.exact_blending import blending_in_float32

STAGE1_LABELS = {"background": 0, "pancreas": 1}
STAGE2_LABELS = {"background": 0, "tumor": 1, "veins": 2, "pancreas": 3}
FEATURES = [4, 8]


def plans_of(
    *,
    spacing: Sequence[float] = (3.0, 1.5, 1.5),
    patch: Sequence[int] = (8, 16, 16),
    encoder: str = "PlainConvUNet",
    old: bool = False,
    transpose: Sequence[int] = (0, 1, 2),
) -> dict[str, Any]:
    """Plans of a U-Net of two levels; `old`: as before nnU-Net 2.4."""
    dims = len(patch)
    configuration: dict[str, Any] = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(patch),
        "median_image_size_in_voxels": [20.0] * dims,
        "spacing": list(spacing),
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "batch_dice": False,
    }
    for what, order, seg in (("data", 3, False), ("seg", 1, True), ("probabilities", 1, False)):
        configuration[f"resampling_fn_{what}"] = "resample_data_or_seg_to_shape"
        configuration[f"resampling_fn_{what}_kwargs"] = {
            "is_seg": seg,
            "order": order,
            "order_z": 0,
            "force_separate_z": None,
        }
    kernels, strides = [[3] * dims] * 2, [[1] * dims, [2] * dims]
    if old:
        configuration |= {
            "UNet_class_name": encoder,
            "UNet_base_num_features": FEATURES[0],
            "unet_max_num_features": FEATURES[1],
            "n_conv_per_stage_encoder": [1, 2],
            "n_conv_per_stage_decoder": [1],
            "num_pool_per_axis": [1] * dims,
            "pool_op_kernel_sizes": strides,
            "conv_kernel_sizes": kernels,
        }
    else:
        configuration["architecture"] = {
            "network_class_name": f"dynamic_network_architectures.architectures.unet.{encoder}",
            "arch_kwargs": {
                "n_stages": 2,
                "features_per_stage": FEATURES,
                "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
                "kernel_sizes": kernels,
                "strides": strides,
                ("n_conv_per_stage" if encoder == "PlainConvUNet" else "n_blocks_per_stage"): [1, 2],
                "n_conv_per_stage_decoder": [1],
                "conv_bias": True,
                "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
                "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        }
    backward = [int(axis) for axis in np.argsort(transpose)]
    return {
        "dataset_name": "Dataset104_Tiny",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3.0, 1.5, 1.5],
        "original_median_shape_after_transp": [20, 20, 20],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": list(transpose),
        "transpose_backward": backward,
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {
                "max": 500.0,
                "mean": 80.0,
                "median": 80.0,
                "min": -200.0,
                "percentile_00_5": -100.0,
                "percentile_99_5": 240.0,
                "std": 70.0,
            }
        },
        "configurations": {"3d_fullres" if dims == 3 else "2d": configuration},
    }


def dataset_of(labels: dict[str, Any], order: Sequence[int] | None = None) -> dict[str, Any]:
    """The `dataset.json` of labels, or of regions with their order."""
    dataset = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 3, "file_ending": ".nii.gz"}
    return dataset if order is None else dataset | {"regions_class_order": list(order)}


def write_folder(
    folder: Path,
    plans: dict[str, Any],
    dataset: dict[str, Any],
    folds: Sequence[str] = ("0",),
    *,
    checkpoint: str = "checkpoint_final.pth",
    mirror: tuple[int, ...] | None = (0, 1, 2),
    seed: int = 0,
) -> Path:
    """Writes a trained folder; networks are built by nnU-Net's own code."""
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    configuration = next(iter(plans["configurations"]))
    for number, fold in enumerate(folds):
        network = nnunet_network(plans, dataset, configuration, seed + number)
        content = {
            "network_weights": network.state_dict(),
            "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01}]},
            "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.25)], "lrs": [0.01]},
            "_best_ema": np.float64(0.75),
            "current_epoch": 1000,
            "init_args": {
                "plans": plans,
                "configuration": configuration,
                "fold": fold,
                "dataset_json": dataset,
                "device": torch.device("cpu"),
            },
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": mirror,
        }
        (folder / f"fold_{fold}").mkdir()
        torch.save(content, folder / f"fold_{fold}" / checkpoint)
    return folder


def nnunet_network(plans: dict[str, Any], dataset: dict[str, Any], configuration: str, seed: int) -> torch.nn.Module:
    """The network that nnU-Net builds for plans, with large random weights, so that it says something."""
    from copy import deepcopy

    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    with quiet():
        manager = PlansManager(deepcopy(plans))
        described = manager.get_configuration(configuration)
        outputs = manager.get_label_manager(dataset).num_segmentation_heads
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network: torch.nn.Module = get_network_from_plans(
                described.network_arch_class_name,
                described.network_arch_init_kwargs,
                described.network_arch_init_kwargs_req_import,
                1,
                outputs,
                deep_supervision=False,
            )
            for parameter in network.parameters():
                torch.nn.init.normal_(parameter, std=0.3)
    return network


def nnunet_answer(
    folder: Path, array: npt.NDArray[Any], spacing_zyx: Sequence[float], *, tta: bool = False, exact: bool = True
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
    """Segmentation (z, y, x) and probabilities (k, z, y, x) by nnunetv2's own predictor, with all folds.

    It blends windows in float16, whose error is large where random weights are unsure; `exact`: in float32 instead.
    """
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    folds = tuple(sorted(path.name.removeprefix("fold_") for path in folder.glob("fold_*")))
    with quiet():
        predictor = nnUNetPredictor(use_mirroring=tta, device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(folder), folds, "checkpoint_final.pth")
        properties = {"spacing": list(spacing_zyx)}
        with blending_in_float32() if exact else contextlib.nullcontext():
            segmentation, probabilities = predictor.predict_single_npy_array(
                array[None].astype(np.float32), properties, None, None, True
            )
    return segmentation, probabilities


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps nnU-Net's chatter off the console."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def crafted_ct(shape: tuple[int, int, int] = (14, 40, 44), seed: int = 0) -> npt.NDArray[np.int16]:
    """A body of soft tissue with structure and noise in air."""
    z, y, x = np.ogrid[tuple(slice(-1, 1, 1j * n) for n in shape)]
    body = (z / 1.5) ** 2 + (y / 0.9) ** 2 + (x / 0.8) ** 2 < 1
    texture = 80 * np.sin(6 * x + 3 * y) * np.cos(5 * y * z)
    noise = np.random.default_rng(seed).normal(0, 20, shape)
    return np.rint(np.where(body, 60 + texture + noise, -1000)).astype(np.int16)
