"""Boxes that stand for patients, a tiny recipe, and a localizer whose answer is set by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.tiny import STAGE1, make_patient
from ctcore.datasets.case_labels import write_case_labels
from ctcore.files import write
from ctcore.inference.backends.choose import Execution
from ctcore.nnunet.exported import Normalization, save_model
from ctcore.nnunet.planning.plan import architecture_of
from stage1_localizer.dataset import LABELS
from stage1_localizer.model import LocalizerModel
from stage1_localizer.recipe import LocalizerRecipe, load
from tests.stage1_localizer.trained_workspace import constant_state

RECIPE = STAGE1.replace("epochs = 3", "epochs = 2")

CLASSES = {"a": "PDAC", "b": "non-PDAC", "c": "PDAC", "d": "non-PDAC"}


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
def recipe(recipe_file: Path) -> LocalizerRecipe:
    """The tiny recipe."""
    return load(str(recipe_file))


@pytest.fixture
def execution() -> Execution:
    """A choice that any machine can carry out."""
    return Execution("cpu", "torch", "fp32")


@pytest.fixture
def constant_model(tmp_path: Path, recipe: LocalizerRecipe) -> Callable[..., Path]:
    """Returns a function that writes a localizer which sees pancreas everywhere, or nowhere."""

    def make(pancreas: bool, *, folds: tuple[str, ...] = ("0",), **changes: Any) -> Path:
        values: dict[str, Any] = {
            "architecture": architecture_of(recipe),
            "spacing_mm": recipe.spacing_mm,
            "patch_size": recipe.patch_size,
            "normalization": Normalization(lower=-100, upper=200, mean=50, std=25),
            "labels": LABELS,
            "folds": folds,
            "mirror_axes": (0, 1, 2),
            "trained_on": "nothing",
            "recipe": {},
            "margin_mm": recipe.margin_mm,
            "bridge_mm": recipe.bridge_mm,
            "minimum_ml": recipe.minimum_ml,
        }
        folder = tmp_path / ("everywhere" if pancreas else "nowhere")
        state = constant_state(recipe, pancreas=pancreas)
        save_model(folder, LocalizerModel(**(values | changes)), dict.fromkeys(folds, state))
        return folder

    return make
