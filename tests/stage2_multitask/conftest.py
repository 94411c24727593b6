"""Boxes that stand for patients, a tiny recipe, and a network with random weights, exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.tiny import STAGE2, make_patient
from ctcore.datasets.case_labels import write_case_labels
from ctcore.files import write
from ctcore.inference.backends.choose import Execution
from ctcore.nnunet.exported import Normalization, save_model, unique_state
from ctcore.nnunet.planning.plan import architecture_of, plan
from ctcore.nnunet.workspace import Workspace
from stage2_multitask.dataset import prepare
from stage2_multitask.model import MultiTaskModel
from stage2_multitask.network import MultiTaskNetwork, build_network, exported_network
from stage2_multitask.recipe import MultiTaskRecipe, load

RECIPE = STAGE2.replace("epochs = 3", "epochs = 2")

CLASSES = {"a": "PDAC", "b": "non-PDAC", "c": "PDAC", "d": "non-PDAC"}


def network_of(
    recipe: MultiTaskRecipe, architecture: dict[str, Any], *, deep_supervision: bool = False
) -> MultiTaskNetwork:
    """A recipe's network with random weights."""
    return build_network(
        architecture,
        recipe.patch_size or (),
        recipe.labels,
        recipe.lesions,
        len(recipe.class_names),
        recipe.head,
        deep_supervision=deep_supervision,
    )


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # tiny networks wait for threads longer than they compute


@pytest.fixture(scope="session")
def training_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients, two with a lesion."""
    folder = tmp_path_factory.mktemp("patients")
    for seed, (case_id, class_name) in enumerate(CLASSES.items()):
        image, label = make_patient(seed, lesion=class_name == "PDAC")
        write(image, folder / "imagesTr" / f"{case_id}_0000.nii.gz")
        write(label, folder / "labelsTr" / f"{case_id}.nii.gz")
    write_case_labels(folder / "case_labels.csv", CLASSES)
    return folder


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny recipe as a file."""
    path = tmp_path_factory.mktemp("recipes") / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def recipe(recipe_file: Path) -> MultiTaskRecipe:
    """The tiny recipe."""
    return load(str(recipe_file))


@pytest.fixture(scope="session")
def architecture(recipe: MultiTaskRecipe) -> dict[str, Any]:
    """nnU-Net's description of the tiny recipe's U-Net."""
    return architecture_of(recipe)


@pytest.fixture(scope="session")
def planned(training_folder: Path, recipe: MultiTaskRecipe, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace planned by nnU-Net."""
    workspace = prepare([training_folder], tmp_path_factory.mktemp("workspace"), recipe, folds=2)
    plan(workspace, recipe)
    return workspace


@pytest.fixture
def execution() -> Execution:
    """A choice that any machine can carry out."""
    return Execution("cpu", "torch", "fp32")


@pytest.fixture
def random_model(tmp_path: Path, recipe: MultiTaskRecipe, architecture: dict[str, Any]) -> Callable[..., Path]:
    """Returns a function that exports networks of random weights, one for each fold (its seed)."""

    def make(name: str = "model", *, folds: tuple[str, ...] = ("0",), **changes: Any) -> Path:
        values: dict[str, Any] = {
            "architecture": architecture,
            "spacing_mm": recipe.spacing_mm,
            "patch_size": recipe.patch_size,
            "normalization": Normalization(lower=-100, upper=200, mean=50, std=25),
            "labels": recipe.labels,
            "folds": folds,
            "mirror_axes": (0, 1, 2),
            "trained_on": "nothing",
            "recipe": {},
            "lesion_label": recipe.lesion_label,
            "class_names": recipe.class_names,
            "head": recipe.head,
            "aggregation": recipe.aggregation,
        }
        model = MultiTaskModel(**(values | changes))
        states = {}
        for fold in folds:
            torch.manual_seed(int(fold))
            states[fold] = unique_state(exported_network(model))
        save_model(tmp_path / name, model, states)
        return tmp_path / name

    return make
