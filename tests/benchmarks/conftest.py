"""Plans of nnU-Net's for two networks that compute in milliseconds, laid out as PANORAMA's are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

TORCH_NAMES = {
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}
RESAMPLING = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
RESAMPLE = "resample_data_or_seg_to_shape"
HOUNSFIELD = {"mean": 50.0, "std": 60.0, "percentile_00_5": -100.0, "percentile_99_5": 200.0}


def tiny_plans(spacing: tuple[float, float, float], patch: tuple[int, int, int]) -> dict[str, Any]:
    """Returns the plans of a U-Net with three narrow levels."""
    architecture = {
        "n_stages": 3,
        "features_per_stage": [4, 6, 8],
        "kernel_sizes": [[3, 3, 3]] * 3,
        "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
        "n_conv_per_stage": [1, 1, 1],
        "n_conv_per_stage_decoder": [1, 1],
        "conv_bias": True,
        **TORCH_NAMES,
    }
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(patch),
        "spacing": list(spacing),
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": RESAMPLE,
        "resampling_fn_seg": RESAMPLE,
        "resampling_fn_probabilities": RESAMPLE,
        "resampling_fn_data_kwargs": RESAMPLING,
        "resampling_fn_seg_kwargs": RESAMPLING | {"is_seg": True, "order": 1},
        "resampling_fn_probabilities_kwargs": RESAMPLING | {"order": 1},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": architecture,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    return {
        "dataset_name": "Dataset001_Tiny",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": HOUNSFIELD},
    }


@pytest.fixture(scope="session")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plans and dataset files of both stages."""
    folder = tmp_path_factory.mktemp("plans")
    stage1 = ["background", "pancreas"]
    stage2 = ["background", "tumor", "veins", "arteries", "pancreas", "pancreatic duct", "common bile duct"]
    for stage, labels, spacing, patch in (
        (1, stage1, (18.0, 12.0, 12.0), (24, 32, 32)),
        (2, stage2, (9.0, 9.0, 9.0), (8, 16, 32)),
    ):
        dataset = {
            "channel_names": {"0": "CT"},
            "labels": {name: value for value, name in enumerate(labels)},
            "file_ending": ".nii.gz",
        }
        (folder / f"stage{stage}_plans.json").write_text(json.dumps(tiny_plans(spacing, patch)))
        (folder / f"stage{stage}_dataset.json").write_text(json.dumps(dataset))
    return folder
