"""From four tiny patients to a multi-task predictor, by nnU-Net itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ctcore.datasets.case_labels import write_case_labels
from ctcore.errors import DatasetError, LabelError
from ctcore.files import read_ct
from ctcore.inference.backends.choose import Execution
from ctcore.json_files import write_json
from ctcore.nnunet.exported import load_model
from ctcore.nnunet.training.checkpoint import read_checkpoint
from ctcore.nnunet.training.course import read_course
from ctcore.nnunet.training.trained import trained_state
from ctcore.nnunet.workspace import Workspace
from ctcore.volume import Geometry, Volume
from stage2_multitask.dataset import workspace_at
from stage2_multitask.model import MultiTaskModel
from stage2_multitask.predictor import MultiTaskPredictor
from stage2_multitask.recipe import MultiTaskRecipe
from stage2_multitask.trainer import class_indices, export, train
from tests.ctcore.nnunet.tiny_training import shown
from tests.stage2_multitask.conftest import network_of


@pytest.fixture(scope="module")
def trained(planned: Workspace, recipe: MultiTaskRecipe) -> Path:
    """Fold 0, interrupted after its first epoch (segmentation), then finished (everything)."""
    epochs: list[int] = []

    def interrupt(done: int, total: int, figures: dict[str, float]) -> None:
        assert total == recipe.epochs
        assert {"train", "val", "dice", "auroc"} >= set(figures)
        epochs.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(planned.root, recipe, "0", workers=0, precision="fp32", progress=interrupt)
    with pytest.raises(DatasetError, match="no trained fold"):
        export(planned.root, recipe, planned.root / "nothing", trained_on="boxes")

    def count(done: int, total: int, figures: dict[str, float]) -> None:
        epochs.append(done)

    folder = train(planned.root, recipe, "0", workers=0, precision="fp32", progress=count)
    assert epochs == [1, 2]
    return folder


def test_a_finished_fold_is_not_trained_again(trained: Path, planned: Workspace, recipe: MultiTaskRecipe) -> None:
    def refuse(done: int, total: int, figures: dict[str, float]) -> None:
        raise AssertionError("a finished fold is trained again")

    before = (trained / "weights.safetensors").read_bytes()
    assert train(planned.root, recipe, "0", workers=0, progress=refuse) == trained
    assert (trained / "weights.safetensors").read_bytes() == before


def test_the_first_epoch_left_the_head_alone(trained: Path) -> None:
    log = "".join(path.read_text() for path in sorted(trained.glob("training_log*.txt")))
    assert [log.count(f"Epoch {epoch}") for epoch in range(3)] == [1, 1, 0]
    state = trained_state(trained)
    assert {name.split(".")[0] for name in state} == {"encoder", "decoder", "head"}
    average = read_checkpoint(trained / "checkpoint_final.pth", torch.device("cpu"))["moving_average"]
    assert all(torch.equal(tensor, average[name]) for name, tensor in state.items())
    for curve in ("loss/train_segmentation", "loss/train_classification"):
        assert [step for step, _ in shown(trained, curve)] == [1]  # the epoch that trains both
    assert [step for step, _ in shown(trained, "loss/validation_classification")] == [0, 1]
    assert {step for step, _ in shown(trained, "auroc")} <= {0, 1}


def test_the_page_tells_how_it_went(trained: Path) -> None:
    course = read_course(trained)
    assert [each.first_epoch for each in course.sessions] == [0, 1]
    facts = course.sessions[-1].facts
    assert facts["training cases by class"] == "non-PDAC 1, PDAC 1"
    assert (facts["training cases"], facts["validation cases"], facts["precision"]) == ("2", "2", "float32")
    page = (trained / "training.html").read_text()
    for told in ("<b>trained</b>", "smoothed pseudo-Dice", "training, segmentation", "continued at epoch 1"):
        assert told in page


def test_the_export_is_what_was_trained(
    trained: Path, planned: Workspace, recipe: MultiTaskRecipe, tmp_path: Path
) -> None:
    model = export(planned.root, recipe, tmp_path / "model", trained_on="boxes")
    assert load_model(tmp_path / "model", MultiTaskModel) == model
    assert (model.folds, model.trained_on, model.temperature) == (("0",), "boxes", 1.0)
    assert (model.class_names, model.lesion_label, model.head) == (("non-PDAC", "PDAC"), "lesion", recipe.head)

    crop = read_ct(planned.image_file("a"))
    corner = Volume(crop.array[:12, :12, :16], Geometry((12, 12, 16), crop.geometry.spacing))
    network = network_of(recipe, model.architecture).eval()
    state = {name: tensor.half().float() for name, tensor in trained_state(trained).items()}
    network.load_state_dict(state, strict=False)
    window = np.zeros((1, 1, 16, 16, 16), dtype=np.float32)
    window[0, 0, 2:14, 2:14] = model.normalization.apply(corner.array)
    with torch.no_grad():
        output = network(torch.from_numpy(window))
    segmentation = output.segmentation[0, :, 2:14, 2:14].softmax(0).numpy()
    answer = MultiTaskPredictor(tmp_path / "model", Execution("cpu", "torch", "fp32")).predict(corner)
    np.testing.assert_allclose(answer.lesion_probability, segmentation[1], atol=1e-5)
    np.testing.assert_array_equal(answer.segmentation, segmentation.argmax(0))
    assert list(answer.class_probabilities.values()) == pytest.approx(output.classes[0].softmax(0).tolist(), abs=1e-5)


def test_classes_become_indices() -> None:
    names = ("non-PDAC", "PDAC")
    assert class_indices({"a": "PDAC", "b": "non-PDAC"}, names) == {"a": 1, "b": 0}
    with pytest.raises(LabelError, match="case 'b' has class 'benign'; this recipe knows non-PDAC, PDAC"):
        class_indices({"a": "PDAC", "b": "benign"}, names)


def test_a_class_that_the_recipe_does_not_know_stops_training(tmp_path: Path, recipe: MultiTaskRecipe) -> None:
    write_json(workspace_at(tmp_path).plans_file, {})
    write_case_labels(workspace_at(tmp_path).case_labels_file, {"a": "benign"})
    with pytest.raises(LabelError, match="case 'a' has class 'benign'"):
        train(tmp_path, recipe, "0")
