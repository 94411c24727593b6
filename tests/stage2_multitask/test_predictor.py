"""The predictor: grids, temperature, ensembles, labels on demand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ctcore.errors import BundleError, RequestError
from ctcore.geometry import Box
from ctcore.inference.backends.choose import Execution
from ctcore.inference.effort import Effort
from ctcore.volume import Geometry, Volume
from stage2_multitask.predictor import MultiTaskPredictor

MakeModel = Callable[..., Path]


@pytest.fixture
def roi() -> Volume:
    """A crop of 2 mm voxels: the network's 4 mm grid has (16, 18, 20) voxels."""
    array = np.random.default_rng(0).normal(50, 100, (32, 36, 40)).astype(np.float32)
    return Volume(array, Geometry(array.shape, (2.0, 2.0, 2.0)))


def test_answers_lie_on_the_rois_grid(random_model: MakeModel, execution: Execution, roi: Volume) -> None:
    network = MultiTaskPredictor(random_model(), execution)
    assert network.class_names == ("non-PDAC", "PDAC")
    assert network.lesion_label == 1
    assert network.labels["pancreas"] == 4
    answer = network.predict(roi)
    assert answer.lesion_probability.shape == answer.segmentation.shape == roi.geometry.shape
    assert answer.lesion_probability.dtype == np.float32
    assert answer.segmentation.dtype == np.uint8
    assert 0 <= answer.lesion_probability.min() < answer.lesion_probability.max() <= 1
    assert list(answer.class_probabilities) == ["non-PDAC", "PDAC"]
    assert sum(answer.class_probabilities.values()) == pytest.approx(1)
    lesions = answer.segmentation == 1
    assert (answer.lesion_probability[lesions] >= 1 / 7 - 1e-6).all()


def log_odds(probabilities: dict[str, float]) -> float:
    return math.log(probabilities["PDAC"] / probabilities["non-PDAC"])


def test_temperature_divides_the_logits(random_model: MakeModel, execution: Execution, roi: Volume) -> None:
    plain = MultiTaskPredictor(random_model("plain"), execution).predict(roi)
    cooled = MultiTaskPredictor(random_model("cooled", temperature=4.0), execution).predict(roi)
    assert log_odds(plain.class_probabilities) != pytest.approx(0, abs=1e-4)
    assert log_odds(cooled.class_probabilities) == pytest.approx(log_odds(plain.class_probabilities) / 4, rel=1e-3)
    np.testing.assert_array_equal(plain.segmentation, cooled.segmentation)


def test_priors_are_taken_out_before_the_temperature(
    random_model: MakeModel, execution: Execution, roi: Volume
) -> None:
    plain = MultiTaskPredictor(random_model("plain"), execution).predict(roi)
    changes = {"class_priors": (0.8, 0.2), "temperature": 2.0}
    kept = MultiTaskPredictor(random_model("kept", **changes), execution).predict(roi)
    out = MultiTaskPredictor(random_model("out", post_hoc_adjustment=1.0, **changes), execution).predict(roi)
    of_plain = log_odds(plain.class_probabilities)
    assert log_odds(kept.class_probabilities) == pytest.approx(of_plain / 2, rel=1e-3)
    assert log_odds(out.class_probabilities) == pytest.approx((of_plain + math.log(4)) / 2, rel=1e-3)


@pytest.mark.parametrize("priors", [None, (0.2, 0.3, 0.5)])
def test_an_adjustment_needs_the_prior_of_each_class(random_model: MakeModel, priors: tuple[float, ...] | None) -> None:
    with pytest.raises(ValueError, match=r"post_hoc_adjustment 1\.0 needs a prior of each of"):
        random_model(post_hoc_adjustment=1.0, class_priors=priors)


def test_folds_are_averaged(random_model: MakeModel, execution: Execution, roi: Volume) -> None:
    folder = random_model(folds=("0", "1"), aggregation="mean")
    one, two, both, chosen = (
        log_odds(MultiTaskPredictor(folder, execution, folds=folds).predict(roi).class_probabilities)
        for folds in ([0], [1], None, [0, 1])
    )
    assert chosen == both
    assert one != pytest.approx(two, abs=1e-3)
    assert both == pytest.approx((one + two) / 2, rel=1e-3)
    with pytest.raises(RequestError, match="fold 2 is not in this model"):
        MultiTaskPredictor(folder, execution, folds=[2])


def test_mirroring_makes_the_answer_symmetric(random_model: MakeModel, execution: Execution) -> None:
    array = np.random.default_rng(0).normal(50, 100, (16, 16, 16)).astype(np.float32)
    roi = Volume(array, Geometry(array.shape, (4.0, 4.0, 4.0)))
    mirrored = roi.with_array(np.ascontiguousarray(array[:, ::-1]))
    averaged = MultiTaskPredictor(random_model(), execution, tta=True)
    one, two = averaged.predict(roi), averaged.predict(mirrored)
    np.testing.assert_allclose(one.lesion_probability, two.lesion_probability[:, ::-1], atol=1e-5)
    plain = MultiTaskPredictor(random_model(), execution)
    assert np.abs(plain.predict(roi).lesion_probability - one.lesion_probability).max() > 1e-4


def test_guided_windows_lie_around_the_pancreas(random_model: MakeModel, execution: Execution, roi: Volume) -> None:
    network = MultiTaskPredictor(random_model(), execution, windows="guided")
    pancreas = np.zeros(roi.geometry.shape, np.uint8)
    pancreas[14:17, 14:17, 14:17] = 1
    assert network.calls(roi.geometry) == 4  # 16, 18 and 20 voxels: 1, 2 and 2 windows of 16
    assert network.calls(roi.geometry, pancreas) == 1
    guided, exact = network.predict(roi, pancreas), network.predict(roi)
    seen = guided.lesion_probability > 0
    assert Box.of_mask(seen) == Box.of_mask(seen | (pancreas > 0))
    assert 0.5 < seen.mean() < 1
    assert (guided.segmentation[~seen] == 0).all()
    assert (exact.lesion_probability > 0).all()

    empty = network.predict(roi, np.zeros_like(pancreas))
    np.testing.assert_array_equal(empty.lesion_probability, exact.lesion_probability)
    plain = MultiTaskPredictor(random_model("plain"), execution).predict(roi, pancreas)
    np.testing.assert_array_equal(plain.lesion_probability, exact.lesion_probability)


def test_folds_one_after_the_other(random_model: MakeModel, execution: Execution, roi: Volume) -> None:
    folder = random_model(folds=("0", "1"))
    network = MultiTaskPredictor(folder, execution)
    running = network.begin(roi)
    first = running.add_apart()
    assert running.folds_left == 1
    one = MultiTaskPredictor(folder, execution, folds=[0]).predict(roi)
    np.testing.assert_allclose(first.lesion_probability, one.lesion_probability, atol=1e-6)
    assert first.class_probabilities == pytest.approx(one.class_probabilities)
    less = network.predict(roi, effort=Effort(1, False, "exact"))
    np.testing.assert_array_equal(less.lesion_probability, one.lesion_probability)
    running.add()
    together, both = running.finish(), network.predict(roi)
    np.testing.assert_allclose(together.lesion_probability, both.lesion_probability, atol=1e-6)


def test_calls_count_folds_and_mirrors(random_model: MakeModel, execution: Execution, roi: Volume) -> None:
    network = MultiTaskPredictor(random_model(folds=("0", "1")), execution, tta=True)
    mirrors = 1 << len(network.model.mirror_axes)
    assert mirrors > 1
    one = network.calls(roi.geometry, effort=Effort(1, False, "exact"))
    assert network.calls(roi.geometry) == 2 * mirrors * one


def test_a_model_of_the_other_stage(random_model: MakeModel, execution: Execution) -> None:
    folder = random_model()
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"stage": "stage1"}))
    with pytest.raises(BundleError, match="stage = 'stage1'"):
        MultiTaskPredictor(folder, execution)


def test_labels_on_demand(random_model: MakeModel, execution: Execution, roi: Volume) -> None:
    folder = random_model()
    answer = MultiTaskPredictor(folder, execution, segment=False).predict(roi)
    expected = MultiTaskPredictor(folder, execution).predict(roi)
    np.testing.assert_array_equal(answer.lesion_probability, expected.lesion_probability)
    assert answer.labels is None
    with pytest.raises(ValueError, match="made without segmentations; make it with segment=True"):
        _ = answer.segmentation


def test_features_and_what_each_fold_says(random_model: MakeModel, execution: Execution, roi: Volume) -> None:
    folder = random_model(folds=("0", "1"), aggregation="mean", temperature=2.0)
    both = MultiTaskPredictor(folder, execution).predict(roi)
    one, two = (MultiTaskPredictor(folder, execution, folds=[fold]).predict(roi) for fold in (0, 1))
    assert both.fold_probabilities == (one.class_probabilities, two.class_probabilities)
    assert both.features is not None
    assert one.features is not None
    np.testing.assert_array_equal(both.features, one.features)
    assert two.features is None  # the reference would be of the first fold


@pytest.mark.parametrize("head", [True, False])
def test_both_backends_give_the_same_features(random_model: MakeModel, roi: Volume, head: bool) -> None:
    folder = random_model(**({} if head else {"head": None, "class_names": ()}))
    torch, openvino = (
        MultiTaskPredictor(folder, Execution("cpu", backend, "fp32")).predict(roi).features
        for backend in ("torch", "openvino")
    )
    assert torch is not None
    assert openvino is not None
    assert torch.shape == openvino.shape
    np.testing.assert_allclose(torch, openvino, atol=1e-4)
