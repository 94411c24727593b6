import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.nnunet_parity import segmentation_network
from benchmarks.panorama_networks import Models, make_models, stage_settings, window_gflop
from benchmarks.reference_flow import loaded_predictor
from ctcore.errors import RequestError
from ctcore.nnunet.exported import load_model
from pipeline.bundle import load_bundle
from stage2_multitask.model import MultiTaskModel


@pytest.fixture(scope="module")
def models(plans: Path, tmp_path_factory: pytest.TempPathFactory) -> Models:
    return make_models(plans, tmp_path_factory.mktemp("models"), folds=2)


def test_bundle_and_nnunets_folder_hold_the_same_network(models: Models) -> None:
    model = load_model(load_bundle(models.bundle).stage2, MultiTaskModel)
    assert model.folds == ("0", "1")
    predictor = loaded_predictor(models.nnunet[1], "cpu", tta=False)
    image = torch.randn((1, 1, *model.patch_size))
    with torch.inference_mode():
        ours = segmentation_network(models.bundle / "stage2", model)(image)
        theirs = predictor.network.eval()(image)
    torch.testing.assert_close(ours, theirs)
    first, second = predictor.list_of_parameters
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_operations_are_those_of_the_convolutions(plans: Path) -> None:
    described = json.loads((plans / "stage1_plans.json").read_text())
    settings = stage_settings(1, described, json.loads((plans / "stage1_dataset.json").read_text()), folds=1)
    z, y, x = settings.patch_size
    full = z * y * x
    half, quarter = full // 8, full // 64
    encoder = full * 27 * 1 * 4 + half * 27 * 4 * 6 + quarter * 27 * 6 * 8
    up = half * 8 * 6 + full * 6 * 4  # a transposed convolution of 2 x 2 x 2 gives each voxel one product
    decoder = half * 27 * 12 * 6 + full * 27 * 8 * 4 + full * 4 * 2
    assert window_gflop(settings) == pytest.approx(2 * (encoder + up + decoder) / 1e9)


def test_a_folder_without_plans_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"stage1_plans\.json' is missing; give --plans"):
        make_models(tmp_path, tmp_path / "models")


def test_labels_keep_their_values_and_the_lesion_its_name(models: Models) -> None:
    labels = load_model(models.bundle / "stage2", MultiTaskModel).labels
    assert labels["lesion"] == 1
    np.testing.assert_array_equal(sorted(labels.values()), range(7))
