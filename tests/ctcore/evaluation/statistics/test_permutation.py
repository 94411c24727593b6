"""The permutation test against enumeration by hand."""

import itertools

import numpy as np
import pytest

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.statistics import permutation
from ctcore.evaluation.statistics.curves import auroc as curve_auroc
from ctcore.evaluation.statistics.curves import average_precision as curve_average_precision
from ctcore.evaluation.statistics.lesions import Findings, average_precision
from ctcore.evaluation.statistics.permutation import permutation_test
from ctcore.evaluation.statistics.roc import auroc

Made = list[list[tuple[bool, float]]]


def systems(seed: int, cases: int) -> tuple[Made, Made]:
    """Findings of two systems on the same cases: the lesions are the same, candidates and confidences are not."""
    rng = np.random.default_rng(seed)
    lesions = rng.integers(3, size=cases)

    def one(hit: float) -> Made:
        return [
            [(True, float(rng.choice([0.0, 0.3, hit]))) for _ in range(number)]
            + [(False, float(rng.choice([0.1, 0.3, 0.8]))) for _ in range(rng.integers(3))]
            for number in lesions
        ]

    return one(0.9), one(0.2)


def slow_difference(first: Made, second: Made, swapped: tuple[bool, ...]) -> float:
    """The difference of AP with some cases swapped."""
    a = [y if swap else x for x, y, swap in zip(first, second, swapped, strict=True)]
    b = [x if swap else y for x, y, swap in zip(first, second, swapped, strict=True)]
    areas = [curve_average_precision([finding for made in system for finding in made]) for system in (a, b)]
    return (areas[0] or 0.0) - (areas[1] or 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_few_cases_are_enumerated(seed: int) -> None:
    first, second = systems(seed, 7)
    every = [slow_difference(first, second, swap) for swap in itertools.product([False, True], repeat=7)]
    expected = np.mean([abs(value) >= abs(every[0]) - 1e-12 for value in every])
    joint = average_precision(Findings.of_cases(first).followed_by(Findings.of_cases(second)))
    found = permutation_test(joint, 7, 64, 0)
    assert found.exact
    assert found.permutations == 64
    assert found.difference == pytest.approx(every[0], abs=1e-12)
    assert found.p == pytest.approx(expected, abs=1e-12)


def test_patients_are_swapped_whole() -> None:
    first, second = systems(2, 6)
    patients = ["a", "b", "a", "c", "c", "a"]
    every = [
        slow_difference(first, second, tuple({"a": swap[0], "b": swap[1], "c": swap[2]}[name] for name in patients))
        for swap in itertools.product([False, True], repeat=3)
    ]
    joint = average_precision(Findings.of_cases(first).followed_by(Findings.of_cases(second)))
    found = permutation_test(joint, 6, 100, 0, patients)
    assert found.permutations == 4
    assert found.p == np.mean([abs(value) >= abs(every[0]) - 1e-12 for value in every])


def test_drawn_swaps_approach_the_enumeration(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = systems(1, 10)
    joint = average_precision(Findings.of_cases(first).followed_by(Findings.of_cases(second)))
    exact = permutation_test(joint, 10, 512, 0)
    drawn = permutation_test(joint, 10, 511, 0)
    assert exact.exact
    assert not drawn.exact
    monkeypatch.setattr(permutation, "MAX_ELEMENTS", 700)  # seven blocks of 70 and one of 21
    in_blocks = permutation_test(joint, 10, 511, 3)
    assert exact.p is not None
    assert 0 < exact.p < 1
    for found in (drawn, in_blocks):
        assert found.permutations == 511
        assert found.p == pytest.approx(exact.p, abs=4 * np.sqrt(exact.p * (1 - exact.p) / 511) + 2 / 512)


def test_equal_systems_and_clear_winners() -> None:
    rng = np.random.default_rng(0)
    positive = np.arange(40) < 20
    good, bad = rng.normal(size=40) + 3 * positive, rng.normal(size=40)
    both = np.concatenate([positive, positive])
    same = permutation_test(auroc(np.concatenate([good, good]), both), 40, 200, 0)
    assert same.difference == 0
    assert same.p == 1
    better = permutation_test(auroc(np.concatenate([good, bad]), both), 40, 999, 0)
    assert better.difference == pytest.approx((curve_auroc(good, positive) or 0) - (curve_auroc(bad, positive) or 0))
    assert better.p == 1 / 1000


def test_undefined_and_impossible() -> None:
    without_lesion = Findings.of_cases([[(False, 0.3)], []])
    found = permutation_test(average_precision(without_lesion.followed_by(without_lesion)), 2, 10, 0)
    assert (found.difference, found.p) == (None, None)
    joint = auroc([0.1, 0.2, 0.3, 0.4], [True, False, True, False])
    with pytest.raises(RequestError, match="0 permutations"):
        permutation_test(joint, 2, 0, 0)
    with pytest.raises(DatasetError, match="1 groups"):
        permutation_test(joint, 2, 10, 0, ["a"])
