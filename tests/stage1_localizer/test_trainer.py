"""From four tiny patients to a localizer, by nnU-Net itself."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.same import differences
from ctcore.errors import DatasetError
from ctcore.files import read, read_ct
from ctcore.inference.backends.choose import Execution
from ctcore.nnunet.exported import load_model, weights_file
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.planning.plan import architecture_of, plan
from ctcore.nnunet.training.trained import trained_state
from ctcore.nnunet.workspace import Workspace
from ctcore.volume import Geometry, Volume
from stage1_localizer.dataset import prepare
from stage1_localizer.localizer import Localizer
from stage1_localizer.model import LocalizerModel
from stage1_localizer.recipe import LocalizerRecipe, load
from stage1_localizer.trainer import export, train
from tests.stage1_localizer.conftest import RECIPE


@pytest.fixture(scope="module")
def planned(training_folder: Path, recipe: LocalizerRecipe, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A planned workspace."""
    workspace = prepare([training_folder], tmp_path_factory.mktemp("workspace"), recipe, folds=2)
    plan(workspace, recipe)
    return workspace


@pytest.fixture(scope="module")
def trained(planned: Workspace, recipe: LocalizerRecipe) -> Path:
    """Fold 0, interrupted after its first epoch, then finished."""
    epochs: list[int] = []

    def interrupt(done: int, total: int, figures: dict[str, float]) -> None:
        assert total == recipe.epochs
        assert {"train", "val", "dice"} <= set(figures)
        epochs.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(planned.root, recipe, "0", workers=0, progress=interrupt)
    with pytest.raises(DatasetError, match="no trained fold"):
        export(planned.root, recipe, planned.root / "nothing", trained_on="boxes")
    folder = train(planned.root, recipe, "0", workers=0, progress=lambda done, total, figures: epochs.append(done))
    assert epochs == [1, 2]
    return folder


def test_the_plan_is_the_recipes(planned: Workspace, recipe: LocalizerRecipe) -> None:
    plans = planned.plans()
    (configuration,) = plans["configurations"].values()
    assert configuration["architecture"] == json.loads(json.dumps(architecture_of(recipe)))
    assert configuration["patch_size"] == [16, 16, 16]
    assert configuration["normalization_schemes"] == ["CTNormalization"]
    assert plans["transpose_forward"] == [0, 1, 2]
    intensities = plans["foreground_intensity_properties_per_channel"]["0"]
    assert intensities["mean"] == pytest.approx(100, abs=1)
    assert intensities["std"] == pytest.approx(5, abs=1)


@pytest.mark.slow
def test_processes_plan_as_one_does(training_folder: Path, recipe: LocalizerRecipe, tmp_path: Path) -> None:
    """Slow: starting them takes far longer than planning four boxes."""
    one, two = (prepare([training_folder], tmp_path / str(workers), recipe, folds=2) for workers in (1, 2))
    plan(one, recipe)
    plan(two, recipe, workers=2)
    assert one.plans() == two.plans()
    assert differences(one.root, two.root) == []


def test_training_goes_on_where_it_stopped(trained: Path, planned: Workspace, recipe: LocalizerRecipe) -> None:
    log = "".join(path.read_text() for path in sorted(trained.glob("training_log*.txt")))
    assert [log.count(f"Epoch {epoch}") for epoch in range(3)] == [1, 1, 0]

    def refuse(done: int, total: int, figures: dict[str, float]) -> None:
        raise AssertionError("a finished fold is trained again")

    before = (trained / "weights.safetensors").read_bytes()
    assert train(planned.root, recipe, "0", workers=0, progress=refuse) == trained
    assert (trained / "weights.safetensors").read_bytes() == before


@pytest.mark.slow
def test_torchrun(planned: Workspace, recipe: LocalizerRecipe, tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    changes = ('name = "tiny"', 'name = "shared"'), ("epochs = 2", "epochs = 1")
    text = RECIPE
    for old, new in changes:
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "stage1_localizer", "train", "--workspace", str(planned.root), "--recipe", str(path)]
    command += ["--workers", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.count("Trained: ") == 1
    assert done.stdout.count("epoch 1/1") == 1
    model = export(planned.root, load(str(path)), tmp_path / "model", trained_on="boxes")
    assert model.folds == ("0",)

    failed = subprocess.run([*command, "--fold", "7"], capture_output=True, text=True, check=False, timeout=300)
    assert failed.returncode != 0
    assert "error: fold 7 is not in the split, which has folds 0 to 1" in failed.stderr


def test_the_export_is_what_was_trained(
    trained: Path, planned: Workspace, recipe: LocalizerRecipe, training_folder: Path, tmp_path: Path
) -> None:
    model = export(planned.root, recipe, tmp_path / "model", trained_on="boxes")
    assert load_model(tmp_path / "model", LocalizerModel) == model
    assert (model.folds, model.trained_on, model.mirror_axes) == (("0",), "boxes", (0, 1, 2))
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["fold_0.safetensors", "model.json"]

    # The localizer sees what training saw: its normalised image is nnU-Net's preprocessed one.
    ct = read_ct(training_folder / "imagesTr" / "a_0000.nii.gz")
    blosc2 = importlib.import_module("blosc2")
    expected = blosc2.open(str(planned.preprocessed / "nnUNetPlans_3d_fullres" / "a.b2nd"))[0]
    np.testing.assert_allclose(model.normalization.apply(ct.array), expected, atol=1e-5)

    best = export(planned.root, recipe, tmp_path / "best", trained_on="boxes", checkpoint="best")
    assert (model.checkpoint, best.checkpoint) == ("last", "best")
    exported = load_file(weights_file(tmp_path / "best", "0"))
    assert all(torch.equal(exported[name], half.half()) for name, half in trained_state(trained, "best").items())

    localizer = Localizer(tmp_path / "model", Execution("cpu", "torch", "fp32"))
    network = build_unet(model.architecture, 1, 2).eval()
    network.load_state_dict({k: v.half().float() for k, v in trained_state(trained).items()}, strict=False)
    low = model.normalization.apply(ct.array)[:16, :16, :16]
    with torch.no_grad():
        answer = network(torch.from_numpy(low)[None, None])[0].argmax(0).numpy()
    corner = Volume(ct.array[:16, :16, :16], Geometry((16, 16, 16), ct.geometry.spacing))
    np.testing.assert_array_equal(localizer.segment(corner).array, answer)

    found = localizer.locate(ct)
    assert found.box == found.box.clip(ct.geometry.shape)
    assert found.pancreas.geometry.allclose(read(planned.label_file("a")).geometry)
