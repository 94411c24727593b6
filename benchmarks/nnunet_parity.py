"""Exact windows in float32 beside nnU-Net's predictor, on the same network and the same images."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.label_dice import foreground_dice

if TYPE_CHECKING:
    import torch

    from ctcore.geometry import Triple
    from ctcore.inference.backends.choose import Execution
    from stage2_multitask.model import MultiTaskModel

PERCENTILE = 99.9

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
Window = tuple[tuple[slice, ...], DoubleArray]
"""Where a window lies, (c, z, y, x), and the network's logits (k, z, y, x) there."""


def measure_parity(stage2: Path, images: Sequence[FloatArray], device: str, backend: str = "auto") -> dict[str, Any]:
    """Returns how far this project and nnU-Net's predictor are apart, on the worst of the images.

    nnU-Net weighs and sums windows in float16, whose smallest numbers a window's corner needs: its own error is told as
    well, the distance from its windows as they are, blended in double precision.

    Args:
        stage2: exported stage-2 folder; its first fold is used.
        images: normalised images (1, z, y, x).
        device: `cpu` or `cuda`.
        backend: this project's: `auto`, `torch` or `openvino`.
    """
    from ctcore.inference.backends.choose import resolve
    from ctcore.nnunet.exported import load_model
    from stage2_multitask.model import MultiTaskModel

    execution = resolve(device, backend, "fp32")
    model = load_model(stage2, MultiTaskModel)
    network = segmentation_network(stage2, model)
    predictor = nnunet_predictor(network, model.patch_size, model.output_channels, device)
    found = []
    for image in images:
        logits, windows = nnunet_logits(predictor, image)
        nnunet, obvious = softmax(logits.astype(np.float64)), softmax(obvious_blend(windows, image.shape[1:]))
        ours = softmax(
            our_logits(segmentation_network(stage2, model), model.patch_size, image, execution).astype(np.float64)
        )
        apart = np.abs(ours - nnunet).max(axis=0)
        found.append(
            {
                "windows": len(windows),
                "max_softmax_difference": float(np.abs(ours - obvious).max()),
                "max_softmax_difference_nnunet": float(apart.max()),
                "percentile_softmax_difference_nnunet": float(np.percentile(apart, PERCENTILE)),
                "percentile_softmax_error_of_nnunet": float(
                    np.percentile(np.abs(nnunet - obvious).max(axis=0), PERCENTILE)
                ),
                "dice_nnunet": foreground_dice(ours.argmax(axis=0), nnunet.argmax(axis=0)),
                "dice_of_nnunet": foreground_dice(nnunet.argmax(axis=0), obvious.argmax(axis=0)),
            }
        )
    worst: dict[str, Any] = {name: max(one[name] for one in found) for name in found[0]}
    worst["backend"] = execution.backend
    return worst | {name: min(one[name] for one in found) for name in ("dice_nnunet", "dice_of_nnunet")}


def nnunet_predictor(network: torch.nn.Module, patch_size: Triple, outputs: int, device: str) -> Any:
    """Returns nnU-Net's predictor around a network; of its plans it needs to know the window and the outputs alone."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    with contextlib.redirect_stdout(io.StringIO()):  # it says what it does not do on a CPU
        predictor = nnUNetPredictor(use_mirroring=False, device=torch.device(device), allow_tqdm=False)
    predictor.manual_initialization(
        network=network,
        plans_manager=SimpleNamespace(get_label_manager=lambda _: SimpleNamespace(num_segmentation_heads=outputs)),
        configuration_manager=SimpleNamespace(patch_size=tuple(patch_size)),
        parameters=[network.state_dict()],
        dataset_json={},
        trainer_name="",
        inference_allowed_mirroring_axes=None,
    )
    return predictor


def nnunet_logits(predictor: Any, image: FloatArray) -> tuple[FloatArray, list[Window]]:
    """Returns nnU-Net's logits (k, z, y, x) of an image, and all of its windows as the network left them."""
    import torch

    answers: list[DoubleArray] = []
    # As double, hence copied: nnU-Net weighs the network's answer in place.
    hook = predictor.network.register_forward_hook(
        lambda _module, _inputs, output: answers.append(output[0].double().cpu().numpy())
    )
    logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(image)).float().numpy()
    hook.remove()
    shape = tuple(max(n, p) for n, p in zip(image.shape[1:], predictor.configuration_manager.patch_size, strict=True))
    places = predictor._internal_get_sliding_window_slicers(shape)
    return logits, list(zip(places, answers, strict=True))


def obvious_blend(windows: Sequence[Window], shape: tuple[int, ...]) -> DoubleArray:
    """Returns the mean of windows weighed by nnU-Net's Gaussian, in double precision and one window after the other.

    Args:
        windows: over an image that nnU-Net has padded, where it was smaller than a window.
        shape: of the image (z, y, x) without that padding.
    """
    import torch
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian

    patch = windows[0][1].shape[1:]
    padded = tuple(max(n, p) for n, p in zip(shape, patch, strict=True))
    weight = compute_gaussian(tuple(patch), dtype=torch.float64, device=torch.device("cpu")).numpy()
    total, weights = np.zeros((windows[0][1].shape[0], *padded)), np.zeros(padded)
    for place, logits in windows:
        total[place] += logits * weight
        weights[place[1:]] += weight
    first = [(p - n) // 2 for p, n in zip(padded, shape, strict=True)]
    inside = tuple(slice(a, a + n) for a, n in zip(first, shape, strict=True))
    blended: DoubleArray = (total / weights)[(slice(None), *inside)]
    return blended


def our_logits(network: torch.nn.Module, patch_size: Triple, image: FloatArray, execution: Execution) -> FloatArray:
    """Returns this project's logits (k, z, y, x): exact windows."""
    from ctcore.inference.backends.choose import make_backend
    from ctcore.inference.predict import predict_ensemble

    backend = make_backend(network, execution)
    return predict_ensemble([backend], image, patch_size).segmentation


def softmax(logits: DoubleArray) -> DoubleArray:
    """Returns the softmax over the first axis."""
    powers = np.exp(logits - logits.max(axis=0))
    probabilities: DoubleArray = powers / powers.sum(axis=0)
    return probabilities


def segmentation_network(stage2: Path, model: MultiTaskModel) -> torch.nn.Module:
    """Returns the segmenting part of the first fold: images to logits."""
    import torch

    from ctcore.nnunet.exported import load_weights
    from stage2_multitask.network import exported_network

    network = exported_network(model)
    load_weights(network, stage2, model.folds[0])

    class Segmentation(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> Any:
            return self.network(images, classify=False).segmentation

    return Segmentation().eval()
