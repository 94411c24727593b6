"""Sliding-window prediction of one image by one network or by an ensemble."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcore.errors import CaseError
from ctcore.geometry import Box, Triple
from ctcore.inference.aggregate import Aggregation, aggregate_classes, foreground_share
from ctcore.inference.backends.backend import CLASSES, SEGMENTATION, Backend
from ctcore.inference.windows import Padding, gaussian_weight, place_windows

FloatArray = npt.NDArray[np.float32]


MOST_SLICES = 8
"""Slices that are computed at once, at most; more are not faster on a CPU (`python -m benchmarks.slices`)."""
SLICE_BATCH_PIXELS = MOST_SLICES * 256 * 256
"""Pixels that are computed at once, at most: bounds the memory."""


@dataclass(frozen=True, eq=False)
class WindowPrediction:
    """What the network says of an image.

    Attributes:
        segmentation: float32 logits (k, z, y, x) on the image's own grid.
        class_logits: float32 logits (n,), None where the network has no classification head.
    """

    segmentation: FloatArray
    class_logits: FloatArray | None


def predict_windows(
    backend: Backend,
    image: FloatArray,
    patch_size: Triple,
    *,
    step: float = 0.5,
    mirror_axes: tuple[int, ...] = (),
    foreground: Sequence[int] | None = None,
    aggregation: Aggregation = "foreground-weighted mean",
    fill: float = 0.0,
) -> WindowPrediction:
    """Runs a network over the windows of an image and blends their logits, as nnU-Net does but in float32.

    Args:
        backend: the network.
        image: normalised image (c, z, y, x).
        patch_size: length (z, y, x) of a window.
        step: greatest distance between neighbouring windows, as a fraction of the window.
        mirror_axes: spatial axes (0: z, 1: y, 2: x) for test-time augmentation; the logits are the mean over all
            combinations of mirrored axes, the plain image among them. Empty: no augmentation.
        foreground: labels whose probability says how much a window counts for the class; None: all but label 0.
        aggregation: how the windows' class logits become the image's.
        fill: value that surrounds an image smaller than a window (nnU-Net's is 0, after normalisation).

    Raises:
        CaseError: the network answered with a value that is not finite.
        ValueError: an argument, or an output's shape, is impossible.
    """
    return predict_ensemble(
        [backend],
        image,
        patch_size,
        step=step,
        mirror_axes=mirror_axes,
        foreground=foreground,
        aggregation=aggregation,
        fill=fill,
    )


def predict_ensemble(
    backends: Sequence[Backend],
    image: FloatArray,
    patch_size: Triple,
    *,
    step: float = 0.5,
    mirror_axes: tuple[int, ...] = (),
    foreground: Sequence[int] | None = None,
    aggregation: Aggregation = "foreground-weighted mean",
    fill: float = 0.0,
) -> WindowPrediction:
    """Runs several networks (folds) over the same windows; the logits are the mean of theirs.

    Segmentation logits are summed into one array, so that an ensemble needs no more memory than one network; class
    logits are aggregated over the windows for each network, then averaged. Windows of depth 1, slices, are computed
    several at once. Arguments and errors: `predict_windows`.
    """
    if not backends:
        raise ValueError("an ensemble of no networks cannot predict; give at least one backend")
    if image.ndim != 4:
        raise ValueError(f"image of shape {image.shape} is not (c, z, y, x)")
    if len(set(mirror_axes)) != len(mirror_axes) or not set(mirror_axes) <= {0, 1, 2}:
        raise ValueError(f"mirror axes {mirror_axes} are not distinct values among 0 (z), 1 (y) and 2 (x)")
    depth, height, width = image.shape[1:]
    padding = Padding.to_fit((depth, height, width), patch_size)
    padded = padding.apply(image, fill)
    depth, height, width = padded.shape[1:]
    windows = place_windows((depth, height, width), patch_size, step)

    blend = _Blend((depth, height, width), patch_size)
    answers = [_run(backend, padded, windows, blend, mirror_axes, foreground, aggregation) for backend in backends]
    classes = [answer for answer in answers if answer is not None]
    if classes and len(classes) != len(answers):
        raise ValueError("some networks of the ensemble have a classification head and others have none")
    return WindowPrediction(
        segmentation=np.ascontiguousarray(padding.remove(blend.mean())),
        class_logits=np.mean(classes, axis=0, dtype=np.float32) if classes else None,
    )


class _Blend:
    """The weighted mean of windows, accumulated in place."""

    def __init__(self, shape: Triple, patch_size: Triple) -> None:
        self._window_weight = gaussian_weight(patch_size)
        self._weights = np.zeros(shape, np.float32)
        self._sums: FloatArray | None = None

    def add(self, logits: FloatArray, window: Box) -> None:
        """Adds the logits (k, z, y, x) of a window; they are overwritten."""
        if self._sums is None:
            self._sums = np.zeros((logits.shape[0], *self._weights.shape), np.float32)
        if logits.shape != (self._sums.shape[0], *window.shape):
            raise ValueError(
                f"a network gave segmentation logits of {logits.shape} for a window of {window.shape}; "
                f"{(self._sums.shape[0], *window.shape)} was expected"
            )
        logits *= self._window_weight
        self._sums[(slice(None), *window.slices)] += logits
        self._weights[window.slices] += self._window_weight

    def mean(self) -> FloatArray:
        """Returns the blended logits (k, z, y, x); nothing can be added afterwards."""
        if self._sums is None:
            raise ValueError("no window was blended")
        self._sums /= self._weights
        return self._sums


def _run(
    backend: Backend,
    image: FloatArray,
    windows: Sequence[Box],
    blend: _Blend,
    mirror_axes: tuple[int, ...],
    foreground: Sequence[int] | None,
    aggregation: Aggregation,
) -> FloatArray | None:
    """Adds one network's windows to the blend; returns its aggregated class logits, None without a head."""
    classes: list[FloatArray] = []
    shares: list[float] = []
    at_once = windows_at_once(windows[0].shape)
    for first in range(0, len(windows), at_once):
        group = windows[first : first + at_once]
        outputs = _with_mirrors(backend, _batch(image, group, at_once), mirror_axes)
        for index, window in enumerate(group):
            answer = {name: output[index] for name, output in outputs.items()}
            segmentation = answer[SEGMENTATION]
            _check_finite(answer, window, backend)
            if CLASSES in answer:
                classes.append(answer[CLASSES])
                if aggregation == "foreground-weighted mean":
                    labels = range(1, segmentation.shape[0]) if foreground is None else foreground
                    shares.append(foreground_share(segmentation, labels))
            blend.add(segmentation, window)
    return aggregate_classes(np.stack(classes), np.array(shares), aggregation) if classes else None


def windows_at_once(patch_size: Triple) -> int:
    """Returns how many windows are one batch: one, but several slices."""
    depth, height, width = patch_size
    return max(1, min(MOST_SLICES, SLICE_BATCH_PIXELS // (height * width))) if depth == 1 else 1


def _batch(image: FloatArray, windows: Sequence[Box], length: int) -> FloatArray:
    """Returns windows (length, c, z, y, x) of an image; where there are fewer, zeros follow.

    A last batch of another length would be another network to compile.
    """
    batch = np.zeros((length, image.shape[0], *windows[0].shape), np.float32)
    for index, window in enumerate(windows):
        batch[index] = image[(slice(None), *window.slices)]
    return batch


def _with_mirrors(backend: Backend, batch: FloatArray, mirror_axes: tuple[int, ...]) -> dict[str, FloatArray]:
    """Returns the backend's outputs, averaged over every combination of mirrored axes."""
    total = backend(batch)
    combinations = [c for n in range(1, len(mirror_axes) + 1) for c in itertools.combinations(mirror_axes, n)]
    for combination in combinations:
        axes = tuple(axis + 2 for axis in combination)
        mirrored = backend(np.ascontiguousarray(np.flip(batch, axes)))
        total[SEGMENTATION] += np.flip(mirrored[SEGMENTATION], axes)
        if CLASSES in total:
            total[CLASSES] += mirrored[CLASSES]
    for output in total.values():
        np.divide(output, len(combinations) + 1, out=output)
    return total


def _check_finite(outputs: dict[str, FloatArray], window: Box, backend: Backend) -> None:
    for name, output in outputs.items():
        # One NaN or infinity makes the sum so; float64, lest large but finite values overflow.
        if not np.isfinite(output.sum(dtype=np.float64)):
            raise CaseError(
                f"the network's '{name}' output is not finite in the window {window.start} to {window.stop} "
                f"({backend.name}, {backend.precision}); use precision fp32 or check the image for NaN"
            )
