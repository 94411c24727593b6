"""Sliding-window prediction of one image by one network or by an ensemble."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcore.errors import CaseError
from ctcore.geometry import Box, Triple
from ctcore.inference.aggregate import Aggregation, WindowVotes, aggregate_classes, foreground_share
from ctcore.inference.backends.backend import CLASSES, FEATURES, SEGMENTATION, Backend
from ctcore.inference.batches import batch_of, windows_at_once
from ctcore.inference.blend import Blend
from ctcore.inference.cover import Guide, guided_windows
from ctcore.inference.windows import Padding, place_windows

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class WindowPrediction:
    """What the network says of an image.

    Attributes:
        segmentation: float32 logits (k, z, y, x) on the image's own grid, inside `box`.
        class_logits: float32 logits (n,), None where the network has no classification head.
        each_class_logits: the same of each network by itself, in the order in which they ran; empty without a head.
        features: float32 (d,) pooled features of the first network, a mean over the windows (weighted by their
            foreground where class logits are), unmirrored; None where it gives none.
        box: the part of the image's grid that the windows' hull covers: all of it without a guide. Outside, and where
            no window lies inside, is background.
    """

    segmentation: FloatArray
    class_logits: FloatArray | None
    box: Box
    each_class_logits: tuple[FloatArray, ...] = ()
    features: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class _OfImage:
    """What one network says of the image as a whole, and of the class in each window; None: it does not say."""

    classes: FloatArray | None
    votes: WindowVotes | None
    features: FloatArray | None


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
    guide: Guide | None = None,
) -> WindowPrediction:
    """Runs several networks (folds) over the same windows; the logits are the mean of theirs.

    An ensemble needs no more memory than one network. Arguments and errors: `RunningEnsemble`.
    """
    if not backends:
        raise ValueError("an ensemble of no networks cannot predict; give at least one backend")
    ensemble = RunningEnsemble(
        image,
        patch_size,
        step=step,
        mirror_axes=mirror_axes,
        foreground=foreground,
        aggregation=aggregation,
        fill=fill,
        guide=guide,
    )
    for backend in backends:
        ensemble.add(backend)
    return ensemble.finish()


class RunningEnsemble:
    """Networks (folds) that see the same windows of an image one after the other; their mean is there after each.

    Segmentation logits are summed into one array on the windows' hull; class logits are aggregated over the windows for
    each network, then averaged. Windows of depth 1, slices, are computed several at once.

    Args:
        image: normalised image (c, z, y, x).
        patch_size: length (z, y, x) of a window.
        step: greatest distance between neighbouring windows of the exact grid, as a fraction of the window.
        mirror_axes: spatial axes (0: z, 1: y, 2: x) for test-time augmentation; the logits are the mean over all
            combinations of mirrored axes, the plain image among them. Empty: no augmentation.
        foreground: labels whose probability says how much a window counts for the class; None: all but label 0.
        aggregation: how the windows' class logits become the image's.
        fill: value that surrounds an image smaller than a window (nnU-Net's is 0, after normalisation).
        guide: what the windows must cover; None: nnU-Net's grid over the whole image.

    Attributes:
        image: the padded image (c, z, y, x).
        windows: where they lie in it.

    Raises:
        ValueError: an argument is impossible.
    """

    def __init__(
        self,
        image: FloatArray,
        patch_size: Triple,
        *,
        step: float = 0.5,
        mirror_axes: tuple[int, ...] = (),
        foreground: Sequence[int] | None = None,
        aggregation: Aggregation = "foreground-weighted mean",
        fill: float = 0.0,
        guide: Guide | None = None,
    ) -> None:
        if image.ndim != 4:
            raise ValueError(f"image of shape {image.shape} is not (c, z, y, x)")
        if len(set(mirror_axes)) != len(mirror_axes) or not set(mirror_axes) <= {0, 1, 2}:
            raise ValueError(f"mirror axes {mirror_axes} are not distinct values among 0 (z), 1 (y) and 2 (x)")
        depth, height, width = image.shape[1:]
        self._shape: Triple = (depth, height, width)
        self._padding = Padding.to_fit(self._shape, patch_size)
        self.image: FloatArray = self._padding.apply(image, fill)
        self.windows = window_boxes(self._shape, patch_size, step, guide)
        self._mirror_axes, self._foreground, self._aggregation = mirror_axes, foreground, aggregation
        self._blend = Blend(self.windows)
        self._answers: list[_OfImage] = []

    def add(self, backend: Backend) -> None:
        """Runs one more network.

        Raises:
            CaseError: it answered with a value that is not finite.
            ValueError: an output's shape is impossible, or it has a classification head and another has none.
        """
        self._run(backend, self._blend)

    def add_apart(self, backend: Backend) -> WindowPrediction:
        """Runs one more network, and returns what it says by itself. Errors: `add`."""
        own = Blend(self.windows)
        answer = self._run(backend, own)
        self._blend.add_blend(own)
        return self._prediction(own.mean(1, last=True), [answer])

    def prediction(self) -> WindowPrediction:
        """Returns the mean of the networks so far, of which there is one at least."""
        return self._prediction(self._blend.mean(len(self._answers), last=False), self._answers)

    def finish(self) -> WindowPrediction:
        """Returns the same without a second array; nothing can be added afterwards."""
        return self._prediction(self._blend.mean(len(self._answers), last=True), self._answers)

    def on_image(self, values: FloatArray) -> tuple[FloatArray, Box]:
        """Returns values (k, z, y, x) of the windows' hull without padding, and where they lie on the image's grid."""
        before, box = self._padding.before, self._blend.box
        start = tuple(a - n for a, n in zip(box.start, before, strict=True))
        stop = tuple(b - n for b, n in zip(box.stop, before, strict=True))
        inside = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])).clip(self._shape)
        part = tuple(slice(a - o, b - o) for a, b, o in zip(inside.start, inside.stop, start, strict=True))
        return np.ascontiguousarray(values[(slice(None), *part)]), inside

    def influences(self, toward: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
        """Returns how a weighted sum of the image's class logits depends on those of every window: its gradient.

        Args:
            toward: weights (n,) of the image's class logits.

        Returns:
            (windows, n) of each network, in the order in which they ran.

        Raises:
            ValueError: a network has no classification head.
        """
        votes = [answer.votes for answer in self._answers if answer.votes is not None]
        if not votes or len(votes) < len(self._answers):
            raise ValueError("networks without a classification head say nothing of a class")
        return [each.influence(toward / len(votes)) for each in votes]

    def _run(self, backend: Backend, blend: Blend) -> _OfImage:
        """Adds a network's windows to a blend; returns what it says of the image."""
        answer = _run(backend, self.image, self.windows, blend, self._mirror_axes, self._foreground, self._aggregation)
        if self._answers and (self._answers[0].classes is None) != (answer.classes is None):
            raise ValueError("some networks of the ensemble have a classification head and others have none")
        self._answers.append(answer)
        return answer

    def _prediction(self, segmentation: FloatArray, answers: Sequence[_OfImage]) -> WindowPrediction:
        """Returns logits of the padded image's box, and what some networks say of the image, as its prediction."""
        logits, inside = self.on_image(segmentation)
        known = [answer.classes for answer in answers if answer.classes is not None]
        return WindowPrediction(
            logits,
            np.mean(known, axis=0, dtype=np.float32) if known else None,
            inside,
            tuple(known),
            answers[0].features if answers[0] is self._answers[0] else None,
        )


def window_boxes(image_shape: Triple, patch_size: Triple, step: float = 0.5, guide: Guide | None = None) -> list[Box]:
    """Returns the windows of an image (z, y, x), in the image padded to at least a window.

    Args:
        image_shape: length (z, y, x) of the image.
        patch_size: length (z, y, x) of a window.
        step: greatest distance between neighbouring windows of the exact grid, as a fraction of the window.
        guide: what the windows must cover; None: nnU-Net's grid over the whole image.

    Raises:
        ValueError: the step is out of range, or the guide is of another grid.
    """
    if guide is not None and guide.mask.shape != image_shape:
        raise ValueError(f"a guide of shape {guide.mask.shape} does not fit an image of {image_shape}")
    padding = Padding.to_fit(image_shape, patch_size)
    z, y, x = (a + n + b for a, n, b in zip(padding.before, image_shape, padding.after, strict=True))
    if guide is None:
        return place_windows((z, y, x), patch_size, step)
    return guided_windows(guide.padded(padding), patch_size, step)


def _run(
    backend: Backend,
    image: FloatArray,
    windows: Sequence[Box],
    blend: Blend,
    mirror_axes: tuple[int, ...],
    foreground: Sequence[int] | None,
    aggregation: Aggregation,
) -> _OfImage:
    """Adds one network's windows to the blend; returns what it says of the image, aggregated over the windows."""
    classes: list[FloatArray] = []
    features: list[FloatArray] = []
    shares: list[float] = []
    at_once = windows_at_once(windows[0].shape)
    for first in range(0, len(windows), at_once):
        group = windows[first : first + at_once]
        outputs = _with_mirrors(backend, batch_of(image, group, at_once), mirror_axes)
        for index, window in enumerate(group):
            answer = {name: output[index] for name, output in outputs.items()}
            segmentation = answer[SEGMENTATION]
            _check_finite(answer, window, backend)
            if FEATURES in answer:
                features.append(answer[FEATURES])
            if CLASSES in answer:
                classes.append(answer[CLASSES])
                if aggregation == "foreground-weighted mean":
                    labels = range(1, segmentation.shape[0]) if foreground is None else foreground
                    shares.append(foreground_share(segmentation, labels))
            blend.add(segmentation, window)
    weights = np.array(shares)
    # Shares cost more than pooling does: without a head that needs them, all windows count the same.
    pooling: Aggregation = "foreground-weighted mean" if shares else "mean"
    votes = WindowVotes(np.stack(classes), weights, aggregation) if classes else None
    return _OfImage(
        None if votes is None else votes.together(),
        votes,
        aggregate_classes(np.stack(features), weights, pooling) if features else None,
    )


def _with_mirrors(backend: Backend, batch: FloatArray, mirror_axes: tuple[int, ...]) -> dict[str, FloatArray]:
    """Returns the backend's outputs, logits averaged over every combination of mirrored axes, features unmirrored."""
    total = backend(batch)
    combinations = [c for n in range(1, len(mirror_axes) + 1) for c in itertools.combinations(mirror_axes, n)]
    for combination in combinations:
        axes = tuple(axis + 2 for axis in combination)
        mirrored = backend(np.ascontiguousarray(np.flip(batch, axes)))
        total[SEGMENTATION] += np.flip(mirrored[SEGMENTATION], axes)
        if CLASSES in total:
            total[CLASSES] += mirrored[CLASSES]
    for name in (SEGMENTATION, CLASSES):
        if name in total:
            np.divide(total[name], len(combinations) + 1, out=total[name])
    return total


def _check_finite(outputs: dict[str, FloatArray], window: Box, backend: Backend) -> None:
    for name, output in outputs.items():
        # One NaN or infinity makes the sum so; float64, lest large but finite values overflow.
        if not np.isfinite(output.sum(dtype=np.float64)):
            raise CaseError(
                f"the network's '{name}' output is not finite in the window {window.start} to {window.stop} "
                f"({backend.name}, {backend.precision}); use precision fp32 or check the image for NaN"
            )
