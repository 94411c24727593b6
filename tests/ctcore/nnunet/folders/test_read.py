from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ctcore.errors import CheckpointError, PipelineError, RequestError
from ctcore.nnunet.folders.read import read_trained_folder
from tests.nnunet_folder import STAGE2_LABELS, dataset_of, plans_of, write_folder


def changed(plans: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Plans with other values in their configuration."""
    ((name, configuration),) = plans["configurations"].items()
    return plans | {"configurations": {name: configuration | values}}


@pytest.mark.parametrize("encoder", ["PlainConvUNet", "ResidualEncoderUNet"])
def test_old_and_new_plans_say_the_same(tmp_path: Path, encoder: str) -> None:
    found = [
        read_trained_folder(
            write_folder(tmp_path / str(old), plans_of(encoder=encoder, old=old), dataset_of(STAGE2_LABELS), ("0", "3"))
        )
        for old in (True, False)
    ]
    for trained in found:
        plan = trained.plan
        assert plan.architecture["network_class_name"].endswith(f"architectures.unet.{encoder}")
        assert plan.architecture["arch_kwargs"]["features_per_stage"] == [4, 8]
        assert (plan.patch_size, plan.spacing_mm, plan.labels) == ((8, 16, 16), (3.0, 1.5, 1.5), STAGE2_LABELS)
        assert (plan.normalization.lower, plan.normalization.std) == (-100, 70)
        assert plan.processing.image.arguments["order"] == 3
        assert list(trained.states) == ["0", "3"]
        assert trained.mirror_axes == (0, 1, 2)
        assert (trained.source.configuration, trained.source.trainer) == ("3d_fullres", "nnUNetTrainer")
    assert found[0].plan.architecture == found[1].plan.architecture
    for name, tensor in found[0].states["0"].items():
        assert torch.equal(tensor, found[1].states["0"][name])
    assert any(not torch.equal(tensor, found[0].states["3"][name]) for name, tensor in found[0].states["0"].items())


def test_only_the_trained_configuration_is_kept(tmp_path: Path) -> None:
    plans = plans_of()
    plans["configurations"]["3d_fullres_large"] = {"inherits_from": "3d_fullres", "batch_size": 8}
    plans["configurations"]["3d_lowres"] = plans["configurations"]["3d_fullres"]
    folder = write_folder(tmp_path / "model", plans, dataset_of(STAGE2_LABELS))
    content = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False)
    content["init_args"]["configuration"] = "3d_fullres_large"
    torch.save(content, folder / "fold_0" / "checkpoint_final.pth")
    kept = read_trained_folder(folder).source.plans["configurations"]
    assert sorted(kept) == ["3d_fullres", "3d_fullres_large"]


def test_a_flat_network_mirrors_its_own_axes(tmp_path: Path) -> None:
    plans = plans_of(spacing=(1.5, 1.5), patch=(16, 16))
    trained = read_trained_folder(write_folder(tmp_path / "m", plans, dataset_of(STAGE2_LABELS), mirror=(0, 1)))
    assert trained.mirror_axes == (1, 2)
    assert trained.plan.spacing_mm == (3.0, 1.5, 1.5)
    assert trained.plan.processing.keeps_slices


def test_regions_and_an_ignored_label(tmp_path: Path) -> None:
    labels = {"background": 0, "whole pancreas": [1, 2], "tumor": 2, "ignore": 3}
    trained = read_trained_folder(write_folder(tmp_path / "m", plans_of(), dataset_of(labels, (1, 2))))
    assert trained.plan.regions == ("whole pancreas", "tumor")
    assert trained.plan.labels == {"background": 0, "whole pancreas": 1, "tumor": 2}
    only_ignored = dataset_of(STAGE2_LABELS | {"ignore": 4})
    assert read_trained_folder(write_folder(tmp_path / "n", plans_of(), only_ignored)).plan.labels == STAGE2_LABELS


def test_which_checkpoint(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", plans_of(), dataset_of(STAGE2_LABELS), checkpoint="checkpoint_best.pth")
    assert read_trained_folder(folder).checkpoints["0"].name == "checkpoint_best.pth"
    with pytest.raises(RequestError, match=r"fold_0' holds no checkpoint_mine\.pth"):
        read_trained_folder(folder, checkpoint="checkpoint_mine.pth")


def test_missing_folds_and_files(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", plans_of(), dataset_of(STAGE2_LABELS), ("0", "1"))
    with pytest.raises(RequestError, match=r"has no fold_4; it has 0, 1: choose of these with --folds"):
        read_trained_folder(folder, ("0", "4"))
    (folder / "fold_1" / "checkpoint_final.pth").unlink()
    with pytest.raises(RequestError, match=r"fold_1' holds no checkpoint_final\.pth or checkpoint_best\.pth"):
        read_trained_folder(folder)
    assert list(read_trained_folder(folder, ("0",)).states) == ["0"]
    (folder / "plans.json").unlink()
    with pytest.raises(RequestError, match=r"lacks plans\.json"):
        read_trained_folder(folder)
    with pytest.raises(RequestError, match=r"lacks plans\.json"):
        read_trained_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("plans", "told"),
    [
        (changed(plans_of(old=True), UNet_class_name="SomeNet"), "Unknown architecture SomeNet"),
        (
            changed(plans_of(), architecture={"network_class_name": "os.system", "arch_kwargs": {}}),
            "architecture 'os.system' is unknown",
        ),
        (changed(plans_of(), normalization_schemes=["ZScoreNormalization"]), "normalises by ZScoreNormalization"),
        (changed(plans_of(), previous_stage="3d_lowres"), "cascade"),
        (changed(plans_of(), resampling_fn_data="mine"), "resampl|cannot be run"),
        (plans_of() | {"image_reader_writer": "NibabelIOWithReorient"}, "NibabelIOWithReorient"),
        (plans_of() | {"configurations": {}}, "3d_fullres not found"),
        ({"dataset_name": "x"}, "lack"),
        (plans_of() | {"foreground_intensity_properties_per_channel": {}}, "lack '0'"),
        (changed(plans_of(), spacing=["thin", 1, 1]), "cannot be used"),
    ],
    ids=["old", "new", "norm", "cascade", "resampling", "reader", "configuration", "empty", "intensities", "spacing"],
)
def test_plans_that_cannot_be_run(tmp_path: Path, plans: dict[str, Any], told: str) -> None:
    folder = write_folder(tmp_path / "m", plans_of(), dataset_of(STAGE2_LABELS))
    (folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(PipelineError, match=told) as caught:
        read_trained_folder(folder)
    assert "\n" not in str(caught.value)


def test_a_layer_that_is_no_layer(tmp_path: Path) -> None:
    plans = plans_of()
    folder = write_folder(tmp_path / "m", plans, dataset_of(STAGE2_LABELS))
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["nonlin"] = "os.system"
    (folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(RequestError, match=r"'os\.system' is not one of torch's layers"):
        read_trained_folder(folder)


def test_datasets_that_cannot_be_run(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", plans_of(), dataset_of(STAGE2_LABELS))
    for dataset, told in (
        (dataset_of(STAGE2_LABELS) | {"channel_names": {"0": "CT", "1": "PET"}}, "2 channels"),
        (dataset_of({"background": 0, "tumor": 7}), r"labels \[0, 7\]"),
        (dataset_of({"pancreas": 1}), "Background label not declared"),
        ({"channel_names": {"0": "CT"}}, "lack 'labels'"),
    ):
        (folder / "dataset.json").write_text(json.dumps(dataset))
        with pytest.raises(RequestError, match=told):
            read_trained_folder(folder)


def test_a_checkpoint_that_does_not_fit_its_plans(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", plans_of(), dataset_of(STAGE2_LABELS))
    (folder / "plans.json").write_text(json.dumps(plans_of(encoder="ResidualEncoderUNet")))
    with pytest.raises(CheckpointError, match=r"checkpoint_final\.pth' does not fit its plans: .*; give the plans"):
        read_trained_folder(folder)


def test_things_that_are_no_nnunet_checkpoint(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", plans_of(), dataset_of(STAGE2_LABELS))
    path = folder / "fold_0" / "checkpoint_final.pth"
    good = torch.load(path, weights_only=False)
    broken = {name: tensor * torch.nan for name, tensor in good["network_weights"].items()}
    for content, told in (
        ([1, 2], "not a checkpoint of nnU-Net v2"),
        ({"state_dict": {}}, "not a checkpoint of nnU-Net v2"),
        (good | {"network_weights": 3}, "not a checkpoint of nnU-Net v2"),
        (good | {"network_weights": broken}, "not finite"),
    ):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=told):
            read_trained_folder(folder)


def test_folds_of_two_trainings(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", plans_of(), dataset_of(STAGE2_LABELS), ("0", "1"))
    path = folder / "fold_1" / "checkpoint_final.pth"
    torch.save(torch.load(path, weights_only=False) | {"trainer_name": "Other"}, path)
    with pytest.raises(RequestError, match="give folds of one training"):
        read_trained_folder(folder)
