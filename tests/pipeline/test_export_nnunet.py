"""Bundles as nnU-Net folders: the way back, and bundles that were trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ctcore.errors import RequestError
from ctcore.inference.backends.choose import Execution
from ctcore.json_files import read_json
from ctcore.nnunet.exported import load_model
from pipeline.bundle import DEMO_BUNDLE, load_bundle
from pipeline.cli import app
from pipeline.export_nnunet import export_nnunet
from pipeline.import_nnunet import NnunetFolder, import_nnunet
from stage2_multitask.model import MultiTaskModel
from stage2_multitask.predictor import MultiTaskPredictor
from tests.nnunet_folder import dataset_of, nnunet_answer, plans_of
from tests.pipeline.imported import SPACING_ZYX, ct_volume, imported

REGIONS = dataset_of({"background": 0, "whole pancreas": [1, 2], "tumor": 2}, (1, 2))


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("plans", "dataset"),
    [
        ({"old": True, "encoder": "ResidualEncoderUNet", "transpose": (1, 2, 0)}, None),
        ({}, REGIONS),
        ({"spacing": (1.5, 1.5), "patch": (16, 16)}, None),
    ],
    ids=["old resenc transposed", "regions", "2d"],
)
def test_there_and_back_nothing_is_lost(tmp_path: Path, plans: dict[str, Any], dataset: Any) -> None:
    mirror = (0, 1) if "patch" in plans else (0, 1, 2)
    bundle, folders = imported(tmp_path, plans_of(**plans), dataset, folds=("0", "all"), mirror=mirror)
    assert export_nnunet(bundle, tmp_path / "back") == ()
    for given, back in zip(folders, (tmp_path / "back" / "stage1", tmp_path / "back" / "stage2"), strict=True):
        for name in ("plans.json", "dataset.json"):
            assert read_json(back / name) == read_json(given / name)
        for fold in ("fold_0", "fold_all"):
            one, other = (
                torch.load(folder / fold / "checkpoint_final.pth", weights_only=False) for folder in (given, back)
            )
            assert one["network_weights"].keys() == other["network_weights"].keys()
            for name, tensor in one["network_weights"].items():
                assert torch.equal(tensor, other["network_weights"][name])
            for key in ("trainer_name", "inference_allowed_mirroring_axes"):
                assert one[key] == other[key]
            assert other["init_args"]["configuration"] == one["init_args"]["configuration"]
    ct = ct_volume().array
    for one, other in zip(
        *(nnunet_answer(f, ct, SPACING_ZYX) for f in (folders[1], tmp_path / "back" / "stage2")), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_bundle_trained_here_runs_in_nnunet(tmp_path: Path) -> None:
    words = ["bundle", "export-nnunet", "--bundle", str(DEMO_BUNDLE), "--output", str(tmp_path / "nnunet")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "the classification head is left out: nnU-Net segments alone\n" in result.output
    assert "nnU-Net resamples with splines" in result.output
    model = load_model(DEMO_BUNDLE / "stage2", MultiTaskModel)
    ct = ct_volume()
    folder = tmp_path / "nnunet" / "stage2"
    _, theirs = nnunet_answer(folder, ct.array, SPACING_ZYX)
    assert theirs.shape[0] == model.output_channels
    # Imported again it is the same network, resampled as nnU-Net does it.
    again = import_nnunet(NnunetFolder(tmp_path / "nnunet" / "stage1"), NnunetFolder(folder), tmp_path / "bundle")
    ours = MultiTaskPredictor(again.stage2, Execution("cpu", "torch", "fp32")).predict(ct)
    np.testing.assert_allclose(ours.lesion_probability, theirs[model.labels["lesion"]], atol=2e-6)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(RequestError, match="is not an empty folder"):
        export_nnunet(load_bundle(DEMO_BUNDLE), tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]


def test_an_architecture_that_nnunet_has_not(tmp_path: Path) -> None:
    from ctcore.nnunet.folders.write import write_trained_folder

    model = load_model(DEMO_BUNDLE / "stage2", MultiTaskModel)
    own = model.model_copy(
        update={"architecture": {"network_class_name": "ctcore.nnunet.timm_encoder.TimmUNet"}, "source": None}
    )
    with pytest.raises(RequestError, match=r"TimmUNet' is not nnU-Net's"):
        write_trained_folder(tmp_path / "m", own, {}, "Dataset001_x")
    assert not (tmp_path / "m").exists()


def test_a_strided_stem_is_not_nnunets(tmp_path: Path) -> None:
    from ctcore.nnunet.folders.write import write_trained_folder

    model = load_model(DEMO_BUNDLE / "stage2", MultiTaskModel)
    arguments = model.architecture["arch_kwargs"]
    strided = model.architecture | {"arch_kwargs": arguments | {"strides": [[2, 2, 2], *arguments["strides"][1:]]}}
    own = model.model_copy(update={"architecture": strided, "source": None})
    with pytest.raises(RequestError, match=r"stem has stride \[2, 2, 2\]"):
        write_trained_folder(tmp_path / "m", own, {}, "Dataset001_x")
