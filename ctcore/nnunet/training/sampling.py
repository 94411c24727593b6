"""Changes of what nnU-Net's data loader draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

Corners = tuple[list[int], list[int]]


def draw_cases(loader: Any, probabilities: npt.NDArray[np.float64]) -> None:
    """Makes an nnU-Net data loader draw each case with a probability, in the order of its `indices`."""
    loader.sampling_probabilities = probabilities


def centre_on(loader: Any, labels: Sequence[int]) -> None:
    """Makes an nnU-Net data loader centre the patches that must hold a label on one of these, where the case has it."""
    loader.get_bbox = partial(_box_around, loader.get_bbox, tuple(labels))


def _box_around(
    place: Callable[..., Corners],
    labels: Sequence[int],
    shape: Sequence[int],
    force_fg: bool,
    class_locations: Mapping[Any, Sequence[Any]] | None,
    overwrite_class: Any = None,
    verbose: bool = False,
) -> Corners:
    """Stands for the loader's `get_bbox`, whose arguments these are, after the function itself and the labels."""
    if force_fg and overwrite_class is None and class_locations is not None:
        present = [label for label in labels if len(class_locations.get(label, ()))]
        if present:
            overwrite_class = present[np.random.randint(len(present))]  # noqa: NPY002 - the loader's generator
    return place(shape, force_fg, class_locations, overwrite_class, verbose)
