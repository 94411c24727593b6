"""The predictor: grids, softmax, temperature, ensembles."""

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
from ctcore.resample import reach, resample_array
from ctcore.volume import Geometry, Volume
from stage2_multitask.predictor import MultiTaskPredictor, softmax, to_grid

MakeModel = Callable[..., Path]


@pytest.fixture
def roi() -> Volume:
    """A crop of 2 mm voxels: the network's 4 mm grid has (16, 18, 20) voxels."""
    array = np.random.default_rng(0).normal(50, 100, (32, 36, 40)).astype(np.float32)
    return Volume(array, Geometry(array.shape, (2.0, 2.0, 2.0)))


def test_softmax_by_hand() -> None:
    logits = np.array([[0.0, 1000.0], [math.log(3.0), 1000.0]])
    result = softmax(logits, axis=0)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [[0.25, 0.5], [0.75, 0.5]], rtol=1e-6)
    assert logits[0, 1] == 1000.0
    np.testing.assert_allclose(softmax(np.array([[-1e4, 0.0]]), axis=1), [[0.0, 1.0]])


@pytest.mark.parametrize("slab", [1, 150, 400, 10**9])
def test_slab_by_slab_equals_whole(slab: int) -> None:
    logits = np.random.default_rng(1).normal(0, 3, (4, 5, 6, 7)).astype(np.float32)
    shape = (13, 11, 12)
    whole = resample_array(logits, shape)
    powers = np.exp(whole.astype(np.float64))
    (lesion, other), segmentation = to_grid(logits, shape, [2, 0], slab_voxels=slab)
    np.testing.assert_allclose(other, powers[0] / powers.sum(axis=0), rtol=1e-4, atol=1e-6)
    assert lesion.dtype == np.float32
    assert segmentation.dtype == np.uint8
    np.testing.assert_allclose(lesion, powers[2] / powers.sum(axis=0), rtol=1e-4, atol=1e-6)
    decided = np.diff(np.sort(whole, axis=0)[-2:], axis=0)[0] > 1e-4
    np.testing.assert_array_equal(segmentation[decided], whole.argmax(axis=0)[decided])
    assert decided.mean() > 0.99


def test_logits_are_resampled_before_the_softmax() -> None:
    logits = np.array([[0.0, 0.0], [0.0, math.log(9.0)]], dtype=np.float32)[:, None, None, :]
    (lesion,), _ = to_grid(logits, (1, 1, 4), [1])
    # Between the voxels the logit is a quarter and three quarters of log 9; the mean of probabilities is another value.
    odds = np.array([1.0, 9**0.25, 9**0.75, 9.0])
    np.testing.assert_allclose(lesion[0, 0], odds / (1 + odds), rtol=1e-5)


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


@pytest.mark.parametrize("slab", [1, 10**9])
def test_logits_of_a_part_reach_the_grid_as_those_of_the_whole(slab: int) -> None:
    logits = np.random.default_rng(1).normal(0, 3, (3, 6, 7, 8)).astype(np.float32)
    box, shape = Box((1, 2, 0), (5, 6, 5)), (11, 9, 12)
    (whole,), labels = to_grid(logits, shape, [1])
    inside = logits[(slice(None), *box.slices)]
    (part,), part_labels = to_grid(inside, shape, [1], box=box, grid=(6, 7, 8), slab_voxels=slab)
    known = reach(box, (6, 7, 8), shape)
    assert known is not None
    assert known.voxels > 50
    np.testing.assert_allclose(part[known.slices], whole[known.slices], atol=1e-5)
    np.testing.assert_array_equal(part_labels[known.slices], labels[known.slices])
    outside = np.ones(shape, dtype=bool)
    outside[known.slices] = False
    assert (part[outside] == 0).all()
    assert (part_labels[outside] == 0).all()


def test_a_part_too_small_for_any_voxel_is_background() -> None:
    box = Box((0, 0, 0), (1, 1, 1))
    (lesion,), labels = to_grid(np.full((2, 1, 1, 1), 5.0, np.float32), (2, 2, 2), [1], box=box, grid=(8, 8, 8))
    assert not lesion.any()
    assert not labels.any()


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
