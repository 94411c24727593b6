"""A 2-D localizer from four tiny patients to masks: prepared, planned, trained, exported, run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ctcore.files import read_ct
from ctcore.inference.backends.choose import Execution
from ctcore.nnunet.exported import load_weights
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.planning.plan import plan
from stage1_localizer.dataset import prepare
from stage1_localizer.localizer import Localizer
from stage1_localizer.recipe import load
from stage1_localizer.trainer import export, train


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(["encoder=resenc"], marks=pytest.mark.slow, id="encoder=resenc"),
        ["encoder=timm:test_resnet", "features=[]", "margin_mm=validation"],
    ],
    ids=lambda changes: changes[0],
)
def test_the_export_is_what_was_trained(
    training_folder: Path, recipe_file: Path, tmp_path: Path, changes: list[str]
) -> None:
    # The planes of the CTs (32 x 32) are a patch, so that a slice is a window.
    changes = [*changes, "patch_size=[1, 32, 32]", "batch_size=4", "epochs=1"]
    recipe = load(str(recipe_file), changes)
    workspace = prepare([training_folder], tmp_path / "work", recipe, folds=2)
    plan(workspace, recipe)
    assert workspace.configuration()["patch_size"] == [32, 32]
    train(workspace.root, recipe, "0", workers=0)
    model = export(workspace.root, recipe, tmp_path / "model", trained_on="boxes")
    assert (model.patch_size, model.mirror_axes) == ((1, 32, 32), (1, 2))

    ct = read_ct(training_folder / "imagesTr" / "a_0000.nii.gz")
    network = build_unet(model.architecture, 1, 2)
    load_weights(network, tmp_path / "model", "0")
    slices = torch.from_numpy(model.normalization.apply(ct.array))[:, None]
    with torch.no_grad():  # one slice at a time
        logits = torch.cat([network(one[None]) for one in slices]).numpy()
    decided = np.abs(logits[:, 1] - logits[:, 0]) > 1e-3
    expected = logits.argmax(1)
    assert decided.mean() > 0.99
    for execution in (Execution("cpu", "torch", "fp32"), Execution("cpu", "openvino", "fp32")):
        localizer = Localizer(tmp_path / "model", execution)
        np.testing.assert_array_equal(localizer.segment(ct).array[decided], expected[decided])
    mirrored = Localizer(tmp_path / "model", Execution("cpu", "torch", "fp32"), tta=True)
    assert mirrored.locate(ct).box == mirrored.locate(ct).box.clip(ct.geometry.shape)
