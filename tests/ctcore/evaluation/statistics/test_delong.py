"""DeLong's variance against its definition by loops, and the cases that have none."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ctcore.errors import DatasetError
from ctcore.evaluation.statistics.delong import PairedTest, delong, paired_test

SCORE = st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9])
CASES = st.lists(st.tuples(SCORE, SCORE, st.booleans()), min_size=4, max_size=20).filter(
    lambda cases: 2 <= sum(truth for *_, truth in cases) <= len(cases) - 2
)


def by_loops(scores: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> tuple[list[float], np.ndarray]:
    """AUROCs and covariance by the U-statistic's definition: kernel psi over all pairs, its row and column means."""
    psi = [
        np.array([[(x > y) + 0.5 * (x == y) for y in row[~positive]] for x in row[positive]], dtype=float)
        for row in scores
    ]
    m, n = psi[0].shape
    areas = [float(kernel.mean()) for kernel in psi]
    covariance = np.zeros((len(psi), len(psi)))
    for r, first in enumerate(psi):
        for s, second in enumerate(psi):
            s10 = sum((first[i].mean() - areas[r]) * (second[i].mean() - areas[s]) for i in range(m)) / (m - 1)
            s01 = sum((first[:, j].mean() - areas[r]) * (second[:, j].mean() - areas[s]) for j in range(n)) / (n - 1)
            covariance[r, s] = s10 / m + s01 / n
    return areas, covariance


@given(CASES)
def test_equal_to_the_definition(cases: list[tuple[float, float, bool]]) -> None:
    scores = np.array([[a for a, _, _ in cases], [b for _, b, _ in cases]])
    positive = np.array([truth for *_, truth in cases])
    areas, covariance = by_loops(scores, positive)
    found = delong(scores, positive)
    assert found is not None
    np.testing.assert_allclose(found.auroc, areas, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, rtol=0, atol=1e-12)

    test = paired_test(scores[0], scores[1], positive)
    assert test is not None
    difference, variance = areas[0] - areas[1], covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert test.difference == pytest.approx(difference, abs=1e-12)
    if variance > 1e-12:
        assert test.p == pytest.approx(2 * stats.norm.sf(abs(difference) / np.sqrt(variance)), abs=1e-9)
        assert test.ci95 is not None
        low, high = difference - 1.96 * np.sqrt(variance), difference + 1.96 * np.sqrt(variance)
        assert test.ci95 == pytest.approx((max(low, -1), min(high, 1)), abs=1e-4)
    else:
        assert test.ci95 is None
        assert test.p == (1 if abs(difference) < 1e-12 else None)


def test_interval_by_hand() -> None:
    # Placements of the positive cases: 1, 1/2; of the negative ones: 1, 1/2. A = 3/4, variance 1/16 + 1/16.
    found = delong([0.9, 0.4, 0.2, 0.6], [True, True, False, False])
    assert found is not None
    assert found.auroc.tolist() == [0.75]
    assert found.covariance[0, 0] == pytest.approx(1 / 8)
    low, high = found.interval() or (0.0, 0.0)
    half = 1.959964 * np.sqrt(1 / 8) / (0.75 * 0.25)
    assert low == pytest.approx(1 / (1 + np.exp(half) / 3), abs=1e-6)
    assert high == pytest.approx(1 / (1 + np.exp(-half) / 3), abs=1e-6)


def test_every_system_has_its_interval() -> None:
    rng = np.random.default_rng(0)
    scores, positive = (
        rng.normal(size=(3, 60)) + np.array([[0.0], [1.0], [2.0]]) * (np.arange(60) < 25),
        np.arange(60) < 25,
    )
    found = delong(scores, positive)
    assert found is not None
    for index, row in enumerate(scores):
        alone = delong(row, positive)
        assert alone is not None
        assert found.interval(index) == pytest.approx(alone.interval())


def test_no_variance_no_interval() -> None:
    perfect, one_positive = (
        delong([0.9, 0.8, 0.1, 0.2], [True, True, False, False]),
        delong([1, 0, 2], [True, False, False]),
    )
    assert perfect is not None
    assert perfect.interval() is None
    assert perfect.auroc.tolist() == [1]
    assert one_positive is not None
    assert one_positive.interval() is None
    assert np.isnan(one_positive.covariance).all()
    assert delong([0.1, 0.2], [True, True]) is None
    assert paired_test([0.1, 0.2], [0.1, 0.2], [False, False]) is None


def test_degenerate_pairs() -> None:
    positive = [True, True, False, False]
    scores = [0.9, 0.1, 0.5, 0.3]
    assert paired_test(scores, scores, positive) == PairedTest(0.0, None, 1.0)
    assert paired_test(scores, np.array(scores) * 7 - 3, positive) == PairedTest(0.0, None, 1.0)
    right, wrong = [0.9, 0.8, 0.1, 0.2], [0.1, 0.2, 0.9, 0.8]
    assert paired_test(right, wrong, positive) == PairedTest(1.0, None, None)
    assert paired_test([1, 0, 2], [2, 0, 1], [True, False, False]) == PairedTest(-0.5, None, None)


def test_a_difference_that_is_the_same_for_every_case_has_no_scale() -> None:
    # Placements of A: 1/3, 1, 2/3 of both kinds of cases; of B: each 1/3 less, which floats are not exactly.
    a = [[3, 7, 5], [6, 1, 4]]
    b = [[0, 5, 3], [6, 2, 4]]
    test = paired_test([*a[0], *a[1]], [*b[0], *b[1]], [True] * 3 + [False] * 3)
    assert test is not None
    assert test.difference == pytest.approx(1 / 3)
    assert (test.ci95, test.p) == (None, None)


def test_impossible_scores() -> None:
    with pytest.raises(DatasetError, match=r"\(2,\) and \(3,\)"):
        paired_test([0.1, 0.2], [0.1, 0.2, 0.3], [True, False])
    with pytest.raises(DatasetError, match="score inf"):
        delong([0.1, np.inf], [True, False])
