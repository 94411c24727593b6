"""A tiny recipe, its network's description, a plan for it, and folders of training cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ctcore.datasets.case_labels import write_case_labels
from ctcore.files import write
from ctcore.nnunet.environment import nnunet_environment
from ctcore.nnunet.exported import ExportedModel, Normalization
from ctcore.nnunet.planning.plan import architecture_of
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.volume import Geometry, Volume

SHAPE = (6, 8, 10)
DATASET_NAME = "Dataset007_Tiny"


def make_recipe(**changes: Any) -> TrainingRecipe:
    values: dict[str, Any] = {
        "name": "tiny",
        "description": "for tests",
        "spacing_mm": (3.0, 3.0, 3.0),
        "patch_size": (16, 16, 16),
        "batch_size": 2,
        "features": (4, 8, 8),
        "epochs": 4,
        "iterations_per_epoch": 2,
        "validation_iterations": 1,
        "optimizer": "adamw",
    }
    return TrainingRecipe(**(values | changes))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # tiny networks wait for threads longer than they compute


@pytest.fixture
def recipe() -> Callable[..., TrainingRecipe]:
    """Makes a recipe of a three-level network; keywords replace values."""
    return make_recipe


@pytest.fixture(scope="session")
def architecture() -> dict[str, Any]:
    """nnU-Net's description of the tiny recipe's network."""
    return architecture_of(make_recipe())


@pytest.fixture
def exported(architecture: dict[str, Any]) -> Callable[..., ExportedModel]:
    """Makes the description of an exported stage; keywords replace values."""

    def make(**changes: Any) -> ExportedModel:
        values: dict[str, Any] = {
            "stage": "stage1",
            "architecture": architecture,
            "spacing_mm": (3.0, 3.0, 3.0),
            "patch_size": (16, 16, 16),
            "normalization": Normalization(lower=-100, upper=200, mean=50, std=25),
            "labels": {"background": 0, "pancreas": 1},
            "folds": ("0",),
            "trained_on": "nothing",
            "recipe": {},
        }
        return ExportedModel(**(values | changes))

    return make


@pytest.fixture
def trainer_arguments(
    architecture: dict[str, Any], tmp_path: Path, recipe: Callable[..., TrainingRecipe]
) -> Iterator[dict[str, Any]]:
    """The arguments of nnU-Net's constructor for the tiny recipe, inside its environment."""
    settings = recipe()
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    plans = {
        "dataset_name": DATASET_NAME,
        "plans_name": "nnUNetPlans",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "image_reader_writer": "SimpleITKIO",
        "continue_training": False,
        "foreground_intensity_properties_per_channel": {},
        "configurations": {
            "3d_fullres": {
                "data_identifier": "nnUNetPlans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": settings.batch_size,
                "patch_size": list(settings.patch_size or ()),
                "spacing": list(settings.spacing_mm),
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                "resampling_fn_data": "resample_data_or_seg_to_shape",
                "resampling_fn_data_kwargs": resampling,
                "batch_dice": False,
                "architecture": architecture,
            }
        },
    }
    dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "pancreas": 1}, "file_ending": ".nii.gz"}
    preprocessed = tmp_path / "preprocessed" / DATASET_NAME / "nnUNetPlans_3d_fullres"
    preprocessed.mkdir(parents=True)
    (preprocessed / "case_a.b2nd").touch()  # nnU-Net tells the format by the names of its files
    with nnunet_environment(tmp_path, augmentation_workers=0):
        yield {
            "plans": plans,
            "configuration": "3d_fullres",
            "fold": 0,
            "dataset_json": dataset,
            "device": torch.device("cpu"),
        }


@pytest.fixture
def cases(tmp_path: Path) -> Callable[..., Path]:
    """Returns a function that writes a training folder of `case id -> class`."""

    def make(classes: dict[str, str], name: str = "data") -> Path:
        folder = tmp_path / name
        geometry = Geometry(SHAPE, (1.0, 1.5, 2.0), (-3.0, 4.0, 5.0))
        for seed, case_id in enumerate(classes):
            image = np.random.default_rng(seed).integers(-1000, 1000, SHAPE).astype(np.int16)
            write(Volume(image, geometry), folder / "imagesTr" / f"{case_id}_0000.nii.gz")
            write(Volume((image > 500).astype(np.uint8), geometry), folder / "labelsTr" / f"{case_id}.nii.gz")
        write_case_labels(folder / "case_labels.csv", classes)
        return folder

    return make
