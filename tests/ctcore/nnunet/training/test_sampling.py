"""What nnU-Net's data loader draws once it is changed."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ctcore.nnunet.training.sampling import centre_on, draw_cases

LOCATIONS = {1: np.array([[0, 2, 2, 2]]), 4: np.array([[0, 9, 9, 9]]), 5: np.empty((0, 4))}


def recording_loader() -> Any:
    """Stands for nnU-Net's loader: its `get_bbox` returns the label that it was told to centre on."""

    def get_bbox(
        shape: Sequence[int], force_fg: bool, class_locations: Any, overwrite_class: Any = None, verbose: bool = False
    ) -> Any:
        return overwrite_class

    return SimpleNamespace(get_bbox=get_bbox, sampling_probabilities=None)


@pytest.mark.parametrize(
    ("label", "force", "locations", "expected"),
    [
        (1, True, LOCATIONS, 1),
        (1, False, LOCATIONS, None),  # a patch that need not hold a label
        (5, True, LOCATIONS, None),  # a label that the case does not have: any other
        (7, True, LOCATIONS, None),
        (1, True, None, None),
    ],
)
def test_centre_on(label: int, force: bool, locations: Any, expected: Any) -> None:
    loader = recording_loader()
    centre_on(loader, [label])
    assert loader.get_bbox((12, 12, 12), force, locations) == expected


def test_what_the_caller_asks_for_comes_first() -> None:
    loader = recording_loader()
    centre_on(loader, [1])
    assert loader.get_bbox((12, 12, 12), True, LOCATIONS, overwrite_class=4) == 4


def test_draw_cases() -> None:
    loader = recording_loader()
    draw_cases(loader, np.array([0.25, 0.75]))
    assert loader.sampling_probabilities.tolist() == [0.25, 0.75]
