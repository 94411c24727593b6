from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window
from torch import nn

from ctcore.errors import CaseError
from ctcore.geometry import Box
from ctcore.inference.aggregate import FOREGROUND_EPSILON
from ctcore.inference.backends.backend import ExactBackendName, ExactPrecision
from ctcore.inference.backends.torch_backend import TorchBackend
from ctcore.inference.cover import Guide
from ctcore.inference.predict import RunningEnsemble, predict_ensemble, window_boxes

Array = npt.NDArray[np.float32]


class FunctionBackend:
    """A network written as a function of the batch; counts its calls."""

    name: ExactBackendName = "torch"
    precision: ExactPrecision = "fp32"
    flags: tuple[str, ...] = ()

    def __init__(self, function: Callable[[Array], dict[str, Array]]) -> None:
        self.function = function
        self.batches: list[Array] = []

    def __call__(self, batch: Array) -> dict[str, Array]:
        self.batches.append(batch.copy())
        return self.function(batch)


def constant(*logits: float, classes: tuple[float, ...] | None = None) -> FunctionBackend:
    def function(batch: Array) -> dict[str, Array]:
        values = np.array(logits, np.float32)[None, :, None, None, None]
        outputs = {"segmentation": np.broadcast_to(values, (1, len(logits), *batch.shape[2:])).copy()}
        if classes is not None:
            outputs["classes"] = np.array([classes], np.float32)
        return outputs

    return FunctionBackend(function)


def random_image(*shape: int) -> Array:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def test_a_constant_network_stays_constant() -> None:
    answer = predict_ensemble([constant(1.5, -2.0, 0.25)], random_image(1, 11, 17, 23), (8, 6, 10))
    assert answer.segmentation.shape == (3, 11, 17, 23)
    assert answer.segmentation.dtype == np.float32
    assert answer.class_logits is None
    for label, logit in enumerate((1.5, -2.0, 0.25)):
        np.testing.assert_allclose(answer.segmentation[label], logit, rtol=1e-6)


def test_two_windows_by_hand() -> None:
    # Windows of 4 at 0 and 2; their weights are exp(-8), exp(-2), 1, exp(-2): sigma is half a voxel, the centre 2.
    values = iter([10.0, 20.0])
    backend = FunctionBackend(lambda batch: {"segmentation": np.full_like(batch, next(values))})
    answer = predict_ensemble([backend], np.zeros((1, 2, 1, 6), np.float32), (2, 1, 4))
    w = [math.exp(-8), math.exp(-2), 1.0, math.exp(-2)]
    third = (w[2] * 10 + w[0] * 20) / (w[2] + w[0])
    fourth = (w[3] * 10 + w[1] * 20) / (w[3] + w[1])
    np.testing.assert_allclose(answer.segmentation[0, 0, 0], [10, 10, third, fourth, 20, 20], rtol=1e-6)


def test_a_voxelwise_network_does_not_see_the_windows() -> None:
    torch.manual_seed(0)
    network = nn.Conv3d(2, 3, 1)
    image = random_image(2, 9, 14, 13)
    whole = network(torch.from_numpy(image)[None])[0].detach().numpy()
    answer = predict_ensemble([TorchBackend(network)], image, (6, 6, 5))
    np.testing.assert_allclose(answer.segmentation, whole, atol=1e-5)


def test_blending_equals_nnunets_placement_and_weight_in_double_precision(unet: Callable[[int], nn.Module]) -> None:
    network = unet(0)
    image, patch = random_image(1, 13, 20, 25), (8, 12, 16)
    weight = compute_gaussian(patch, dtype=torch.float64, device=torch.device("cpu")).numpy()
    total, weights = np.zeros((3, 13, 20, 25)), np.zeros((13, 20, 25))
    steps = compute_steps_for_sliding_window((13, 20, 25), patch, 0.5)
    for z in steps[0]:
        for y in steps[1]:
            for x in steps[2]:
                inside = (slice(z, z + 8), slice(y, y + 12), slice(x, x + 16))
                with torch.no_grad():
                    logits = network(torch.from_numpy(image[(slice(None), *inside)].copy())[None])[0].numpy()
                total[(slice(None), *inside)] += weight * logits
                weights[inside] += weight
    answer = predict_ensemble([TorchBackend(network)], image, patch)
    np.testing.assert_allclose(answer.segmentation, total / weights, atol=1e-4)


def test_a_small_image_is_padded_with_the_fill_value_and_comes_back_in_its_shape() -> None:
    backend = FunctionBackend(lambda batch: {"segmentation": batch.copy()})
    image = random_image(1, 3, 8, 5)
    answer = predict_ensemble([backend], image, (6, 8, 9), fill=-7.0)
    (batch,) = backend.batches
    assert batch.shape == (1, 1, 6, 8, 9)
    np.testing.assert_array_equal(batch[0, :, 1:4, :, 2:7], image)
    assert (batch == -7.0).sum() == 6 * 8 * 9 - image.size
    np.testing.assert_allclose(answer.segmentation, image, rtol=1e-6)
    assert answer.segmentation.flags.c_contiguous


def test_the_image_is_not_changed() -> None:
    image = random_image(1, 8, 8, 8)
    before = image.copy()
    predict_ensemble([TorchBackend(nn.Identity())], image, (8, 8, 8), mirror_axes=(0, 1, 2))
    np.testing.assert_array_equal(image, before)


def test_mirroring_leaves_an_equivariant_network_alone() -> None:
    image = random_image(1, 9, 10, 11)
    plain = predict_ensemble([FunctionBackend(_cube)], image, (6, 6, 6))
    mirrored = predict_ensemble([FunctionBackend(_cube)], image, (6, 6, 6), mirror_axes=(0, 1, 2))
    np.testing.assert_allclose(mirrored.segmentation, plain.segmentation, atol=1e-5)


def test_mirroring_averages_over_all_combinations() -> None:
    def ramp(batch: Array) -> dict[str, Array]:  # the index along x whatever the image; the class: the first voxel
        segmentation = np.broadcast_to(np.arange(batch.shape[-1], dtype=np.float32), batch.shape).copy()
        return {"segmentation": segmentation, "classes": batch[:, :, 0, 0, 0].copy()}

    backend = FunctionBackend(ramp)
    image = np.arange(8, dtype=np.float32).reshape(1, 1, 2, 4)
    answer = predict_ensemble([backend], image, (1, 2, 4), mirror_axes=(1, 2), aggregation="mean")
    assert len(backend.batches) == 4
    np.testing.assert_allclose(answer.segmentation, 1.5)  # the ramp and its mirror image meet in the middle
    assert answer.class_logits is not None
    np.testing.assert_allclose(answer.class_logits, [(0 + 3 + 4 + 7) / 4])  # the four corners


@pytest.mark.parametrize("axes", [(3,), (-1,), (0, 0)])
def test_impossible_mirror_axes_are_refused(axes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="mirror axes"):
        predict_ensemble([constant(0.0)], random_image(1, 4, 4, 4), (4, 4, 4), mirror_axes=axes)


def _windows_with_classes() -> FunctionBackend:
    """Two windows: foreground probability 3/4 with class logits (4, 0), then 1/4 with (0, 8)."""
    answers = iter([(math.log(3), (4.0, 0.0)), (-math.log(3), (0.0, 8.0))])

    def function(batch: Array) -> dict[str, Array]:
        logit, classes = next(answers)
        segmentation = np.zeros((1, 2, *batch.shape[2:]), np.float32)
        segmentation[:, 1] = logit
        return {"segmentation": segmentation, "classes": np.array([classes], np.float32)}

    return FunctionBackend(function)


@pytest.mark.parametrize("foreground", [None, [1]])
def test_windows_count_for_the_class_by_their_foreground(foreground: list[int] | None) -> None:
    image = np.zeros((1, 2, 1, 6), np.float32)
    answer = predict_ensemble([_windows_with_classes()], image, (2, 1, 4), foreground=foreground)
    a, b = 0.75 + FOREGROUND_EPSILON, 0.25 + FOREGROUND_EPSILON
    assert answer.class_logits is not None
    np.testing.assert_allclose(answer.class_logits, [4 * a / (a + b), 8 * b / (a + b)], rtol=1e-5)


def test_other_aggregations_pass_through() -> None:
    image = np.zeros((1, 2, 1, 6), np.float32)
    answer = predict_ensemble([_windows_with_classes()], image, (2, 1, 4), aggregation="mean")
    assert answer.class_logits is not None
    np.testing.assert_allclose(answer.class_logits, [2.0, 4.0])


def test_an_ensemble_is_the_mean_of_its_networks() -> None:
    image = random_image(1, 7, 7, 9)
    answer = predict_ensemble(
        [constant(1.0, 2.0, classes=(1.0, 0.0)), constant(4.0, -2.0, classes=(3.0, 5.0))], image, (4, 4, 4)
    )
    np.testing.assert_allclose(answer.segmentation[0], 2.5, rtol=1e-6)
    np.testing.assert_allclose(answer.segmentation[1], 0.0, atol=1e-6)
    assert answer.class_logits is not None
    np.testing.assert_allclose(answer.class_logits, [2.0, 2.5], rtol=1e-6)


def test_an_ensemble_must_agree_on_its_outputs() -> None:
    image = random_image(1, 4, 4, 4)
    with pytest.raises(ValueError, match="no networks"):
        predict_ensemble([], image, (4, 4, 4))
    with pytest.raises(ValueError, match="classification head"):
        predict_ensemble([constant(1.0, 2.0, classes=(1.0, 0.0)), constant(1.0, 2.0)], image, (4, 4, 4))
    with pytest.raises(ValueError, match=r"\(3, 4, 4, 4\) for a window of \(4, 4, 4\); \(2, 4, 4, 4\)"):
        predict_ensemble([constant(1.0, 2.0), constant(1.0, 2.0, 3.0)], image, (4, 4, 4))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_answer_that_is_not_finite_fails_the_case(value: float) -> None:
    def function(batch: Array) -> dict[str, Array]:
        segmentation = batch.copy()
        segmentation[0, 0, 1, 2, 3] = value
        return {"segmentation": segmentation}

    with pytest.raises(
        CaseError, match=r"'segmentation' output is not finite in the window \(0, 0, 0\) to \(4, 4, 4\)"
    ):
        predict_ensemble([FunctionBackend(function)], random_image(1, 4, 4, 4), (4, 4, 4))


def test_folds_one_after_the_other_are_the_ensemble(two_headed: Callable[[int], nn.Module]) -> None:
    image, patch = random_image(1, 9, 20, 17), (8, 12, 16)
    folds = [TorchBackend(two_headed(seed)) for seed in range(3)]
    running = RunningEnsemble(image, patch)
    for count, fold in enumerate(folds, start=1):
        alone = running.add_apart(fold)
        expected = predict_ensemble([fold], image, patch)
        np.testing.assert_allclose(alone.segmentation, expected.segmentation, atol=1e-6)
        np.testing.assert_array_equal(alone.class_logits, expected.class_logits)
        so_far, together = running.prediction(), predict_ensemble(folds[:count], image, patch)
        np.testing.assert_allclose(so_far.segmentation, together.segmentation, atol=1e-6)
        assert so_far.class_logits is not None
        assert together.class_logits is not None
        np.testing.assert_allclose(so_far.class_logits, together.class_logits, atol=1e-6)
    np.testing.assert_array_equal(running.finish().segmentation, so_far.segmentation)


def test_guided_windows_see_what_exact_windows_in_their_place_would(two_headed: Callable[[int], nn.Module]) -> None:
    network = TorchBackend(two_headed(0))
    image, patch = random_image(1, 20, 30, 40), (8, 12, 16)
    mask = np.zeros((20, 30, 40), dtype=bool)
    mask[8:11, 10:13, 20:24] = True
    answer = predict_ensemble([network], image, patch, guide=Guide(mask, (1, 1, 1)))
    assert answer.box == Box((6, 6, 14), (14, 18, 30))
    crop = np.ascontiguousarray(image[(slice(None), *answer.box.slices)])
    alone = predict_ensemble([network], crop, patch)
    np.testing.assert_allclose(answer.segmentation, alone.segmentation, atol=1e-6)
    np.testing.assert_array_equal(answer.class_logits, alone.class_logits)


def test_a_guided_image_smaller_than_a_window_comes_back_in_its_shape() -> None:
    backend = FunctionBackend(lambda batch: {"segmentation": batch.copy()})
    image = random_image(1, 3, 20, 5)
    mask = np.zeros((3, 20, 5), dtype=bool)
    mask[1, 8:11, 2] = True
    answer = predict_ensemble([backend], image, (6, 8, 9), guide=Guide(mask, (1, 1, 1)))
    assert answer.box == Box((0, 6, 0), (3, 14, 5))
    np.testing.assert_allclose(answer.segmentation, image[:, :, 6:14], rtol=1e-6)


def test_what_no_window_covers_is_background() -> None:
    mask = np.zeros((4, 12, 24), dtype=bool)
    mask[:, :4, :8] = mask[:, 8:, 16:] = True
    guide = Guide(mask, (0, 0, 0))
    covered = np.zeros_like(mask)
    for window in window_boxes((4, 12, 24), (4, 4, 8), guide=guide):
        covered[window.slices] = True
    assert not covered[0, 0, -1]
    answer = predict_ensemble([constant(0.0, 5.0)], np.zeros((1, 4, 12, 24), np.float32), (4, 4, 8), guide=guide)
    assert answer.box == Box.whole((4, 12, 24))
    np.testing.assert_allclose(answer.segmentation[1, covered], 5.0, rtol=1e-6)
    assert (answer.segmentation[0] == 0).all()
    assert (np.exp(answer.segmentation[1, ~covered]) == 0).all()


def test_a_guide_of_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"guide of shape \(4, 4, 5\) does not fit an image of \(4, 4, 4\)"):
        predict_ensemble(
            [constant(0.0)], random_image(1, 4, 4, 4), (4, 4, 4), guide=Guide(np.ones((4, 4, 5), dtype=bool), (1, 1, 1))
        )


def test_an_image_must_have_channels() -> None:
    with pytest.raises(ValueError, match=r"\(4, 4, 4\) is not \(c, z, y, x\)"):
        predict_ensemble([constant(0.0)], random_image(4, 4, 4), (4, 4, 4))


def _cube(batch: Array) -> dict[str, Array]:
    return {"segmentation": np.concatenate([batch**3, -batch], axis=1)}


def _windows_with_features() -> FunctionBackend:
    """Two windows: foreground probability 3/4 with feature (8,), then 1/4 with (0,); mirrored ones say (100,)."""

    def function(batch: Array) -> dict[str, Array]:
        mirrored = batch[0, 0, 0, 0, 0] > batch[0, 0, 0, 0, -1]
        first = batch[0, 0].min() == 0
        segmentation = np.zeros((1, 2, *batch.shape[2:]), np.float32)
        segmentation[:, 1] = math.log(3) * (1 if first else -1)
        feature = 100.0 if mirrored else 8.0 if first else 0.0
        return {
            "segmentation": segmentation,
            "classes": np.zeros((1, 2), np.float32),
            "features": np.array([[feature]], np.float32),
        }

    return FunctionBackend(function)


@pytest.mark.parametrize("mirror_axes", [(), (2,)])
def test_features_are_a_mean_over_the_unmirrored_windows(mirror_axes: tuple[int, ...]) -> None:
    image = np.broadcast_to(np.arange(6, dtype=np.float32), (1, 2, 1, 6)).copy()
    a, b = 0.75 + FOREGROUND_EPSILON, 0.25 + FOREGROUND_EPSILON
    weighted = predict_ensemble([_windows_with_features()], image, (2, 1, 4), mirror_axes=mirror_axes)
    assert weighted.features is not None
    np.testing.assert_allclose(weighted.features, [8 * a / (a + b)], rtol=1e-5)
    plain = predict_ensemble([_windows_with_features()], image, (2, 1, 4), mirror_axes=mirror_axes, aggregation="mean")
    assert plain.features is not None
    np.testing.assert_allclose(plain.features, [4.0])


def test_features_are_the_first_networks_and_class_logits_are_kept_apart() -> None:
    image = random_image(1, 4, 4, 4)

    def folds() -> list[FunctionBackend]:
        def of(value: float) -> FunctionBackend:
            def function(batch: Array) -> dict[str, Array]:
                answer = {"classes": np.array([[value, 0]], np.float32), "features": np.array([[value]], np.float32)}
                return {"segmentation": np.zeros((1, 2, *batch.shape[2:]), np.float32)} | answer

            return FunctionBackend(function)

        return [of(1.0), of(5.0)]

    answer = predict_ensemble(folds(), image, (4, 4, 4))
    assert answer.features is not None
    assert answer.features.tolist() == [1.0]
    assert [logits.tolist() for logits in answer.each_class_logits] == [[1, 0], [5, 0]]
    running = RunningEnsemble(image, (4, 4, 4))
    apart = [running.add_apart(fold) for fold in folds()]
    assert apart[0].features is not None
    assert apart[1].features is None
    assert apart[1].each_class_logits[0].tolist() == [5, 0]
    assert predict_ensemble([constant(1.0, 2.0)], image, (4, 4, 4)).features is None
