"""Bent label maps: labels stay whole, nothing is cut off, and the same draws give the same map."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from ctcore.labels import PanoramaLabel
from ctcore.phantom.anatomy import LabelMap
from ctcore.phantom.bending import GRAIN_MM, bent, rotation
from ctcore.phantom.cohort import MOST_BENT_MM
from ctcore.phantom.deformation import random_deformation
from ctcore.phantom.draws import Draws


def source(*, lesion: bool = True) -> LabelMap:
    """A gland of 36 x 24 x 40 mm (x, y, z) that fills its map."""
    array = np.full((20, 12, 18), PanoramaLabel.PANCREAS, np.uint8)
    if lesion:
        array[8:12, 5:8, 7:11] = PanoramaLabel.LESION
    return LabelMap(array, (2.0, 2.0, 2.0), {})


def draws(seed: int = 0) -> Draws:
    return Draws(np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(6))
def test_gland_and_lesion_stay_in_one_piece(seed: int) -> None:
    result = bent(source(), draws(seed), 5.0)
    assert result.has_lesion
    assert set(np.unique(result.array)) <= {0, PanoramaLabel.LESION, PanoramaLabel.PANCREAS}
    assert ndimage.label(result.array > 0)[1] == 1
    before, after = source().volume_ml(PanoramaLabel.PANCREAS), result.volume_ml(PanoramaLabel.PANCREAS)
    assert 0.5 < after / before < 2
    edge = result.array.copy()
    edge[1:-1, 1:-1, 1:-1] = 0
    assert not edge.any()  # nothing was cut off


def test_other_draws_give_another_map_and_the_same_the_same() -> None:
    first, again, other = (bent(source(), draws(seed), 4.0).array for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_without_turn_scale_and_field_it_is_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctcore.phantom.bending.TURN_DEGREES", 0.0)
    monkeypatch.setattr("ctcore.phantom.bending.SCALE", 0.0)
    result = bent(source(), draws(), 0.0).array
    inside = np.argwhere(result > 0)
    box = tuple(slice(low, high + 1) for low, high in zip(inside.min(0), inside.max(0), strict=True))
    assert np.array_equal(result[box], source().array)


def test_a_map_without_lesion_gets_none() -> None:
    assert not bent(source(lesion=False), draws(), 6.0).has_lesion


def test_a_lesion_is_never_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctcore.phantom.bending.rotation", lambda _: np.zeros((3, 3)))  # everything from the middle
    given, taken = source(), draws()
    given.array[8:12] = PanoramaLabel.PANCREAS
    given.array[0, 0, 0] = PanoramaLabel.LESION
    assert bent(given, taken, 4.0) is given
    assert taken.record["bending.lesion_lost"]
    assert not bent(source(lesion=False), draws(), 4.0).has_lesion


@pytest.mark.parametrize("seed", range(8))
def test_no_map_folds_over(seed: int) -> None:
    field = random_deformation(
        np.random.default_rng(seed), (-80, -60, -60), (80, 60, 60), GRAIN_MM[0], MOST_BENT_MM
    ).on_axes(*(np.arange(-high, high, 4.0) for high in (80, 60, 60)))
    slopes = [np.stack(np.gradient(along, 4.0, axis=(2, 1, 0)), -1) for along in field]
    assert np.linalg.det(np.stack(slopes, -2) + np.eye(3)).min() > 0


def test_turns_by_hand() -> None:
    quarter = np.pi / 2
    assert rotation(np.array([0, 0, quarter])) @ [1, 0, 0] == pytest.approx([0, 1, 0])
    assert rotation(np.array([quarter, 0, 0])) @ [0, 1, 0] == pytest.approx([0, 0, 1])
    assert rotation(np.array([0, quarter, 0])) @ [0, 0, 1] == pytest.approx([1, 0, 0])
