"""Statistics of case weights: the building blocks, by hand; and weights mean repeated cases, for every statistic."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.errors import DatasetError
from ctcore.evaluation.statistics import calibration, classification, decision, lesions, roc, statistic
from ctcore.evaluation.statistics.lesions import Findings
from ctcore.evaluation.statistics.statistic import (
    Statistic,
    bounded,
    difference,
    mean,
    mean_of,
    point,
    ratio,
    restricted,
)

N = 12


@dataclass
class Study:
    """Everything that is known of a few cases, with many ties."""

    scores: npt.NDArray[np.float64]
    positive: npt.NDArray[np.bool_]
    true: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    dice: npt.NDArray[np.float64]
    findings: list[list[tuple[bool, float]]]

    @classmethod
    def random(cls, seed: int, cases: int = N) -> "Study":
        rng = np.random.default_rng(seed)
        positive = rng.random(cases) < 0.5
        findings = [
            [(False, float(rng.choice([0.1, 0.3, 0.5, 0.9]))) for _ in range(rng.integers(3))]
            + [(True, float(rng.choice([0.0, 0.3, 0.5, 0.9]))) for _ in range(truth * rng.integers(3))]
            for truth in positive
        ]
        scores = rng.choice([0.0, 0.15, 0.3, 0.31, 0.7, 1.0], cases)
        dice = np.where(rng.random(cases) < 0.3, np.nan, rng.random(cases))
        return cls(scores, positive, rng.integers(3, size=cases), rng.integers(3, size=cases), dice, findings)

    def repeated(self, weights: npt.NDArray[np.int64]) -> "Study":
        """The study in which every case lies as often as its weight says."""
        picked = np.repeat(np.arange(len(weights)), weights)
        return Study(
            self.scores[picked],
            self.positive[picked],
            self.true[picked],
            self.predicted[picked],
            self.dice[picked],
            [self.findings[index] for index in picked],
        )

    @property
    def lesions(self) -> Findings:
        return Findings.of_cases(self.findings)


STATISTICS: dict[str, Callable[[Study], Statistic]] = {
    "auroc": lambda s: roc.auroc(s.scores, s.positive),
    "sensitivity": lambda s: roc.sensitivity(s.scores, s.positive, 0.3),
    "specificity": lambda s: roc.specificity(s.scores, s.positive, 0.3),
    "sensitivity at specificity": lambda s: roc.sensitivity_at_specificity(s.scores, s.positive, 0.6),
    "specificity at sensitivity": lambda s: roc.specificity_at_sensitivity(s.scores, s.positive, 0.6),
    "ap": lambda s: lesions.average_precision(s.lesions),
    "froc": lambda s: lesions.sensitivity_at_false_positives(s.lesions, 0.5),
    "lesion sensitivity": lambda s: lesions.lesion_sensitivity(s.lesions),
    "confident lesion sensitivity": lambda s: lesions.lesion_sensitivity(s.lesions, threshold=0.5),
    "false positives": lambda s: lesions.false_positives_per_case(s.lesions, ~s.positive),
    "brier": lambda s: calibration.brier(s.scores, s.positive),
    "brier of classes": lambda s: calibration.brier_of_classes(np.stack([s.scores, 1 - s.scores], 1), s.true // 2),
    "ece": lambda s: calibration.expected_calibration_error(s.scores, s.positive),
    "ece by mass": lambda s: calibration.expected_calibration_error(s.scores, s.positive, bins=3, binning="mass"),
    "net benefit": lambda s: decision.net_benefit(s.scores, s.positive, 0.3),
    "net benefit of all": lambda s: decision.net_benefit_of_all(s.positive, 0.3),
    "accuracy": lambda s: classification.accuracy(s.true, s.predicted, 3),
    "balanced accuracy": lambda s: classification.balanced_accuracy(s.true, s.predicted, 3),
    "macro f1": lambda s: classification.macro_f1(s.true, s.predicted, 3),
    "macro f2": lambda s: classification.macro_f_beta(s.true, s.predicted, 3, 2.0),
    "class f2": lambda s: classification.class_f_beta(s.true, s.predicted, 3, 1, 2.0),
    "class precision": lambda s: classification.class_precision(s.true, s.predicted, 3, 1),
    "macro precision": lambda s: classification.macro_precision(s.true, s.predicted, 3),
    "ap of cases": lambda s: roc.average_precision(s.scores, s.positive),
    "mean of several": lambda s: mean_of([roc.auroc(s.scores, s.true == k) for k in range(3)]),
    "class sensitivity": lambda s: classification.class_sensitivity(s.true, s.predicted, 3, 1),
    "class specificity": lambda s: classification.class_specificity(s.true, s.predicted, 3, 1),
    "dice": lambda s: mean(s.dice),
    "dice of positives": lambda s: restricted(mean(s.dice), s.positive),
    "difference": lambda s: difference(roc.auroc(s.scores, s.positive), mean(s.scores)),
}


@pytest.mark.parametrize("name", STATISTICS)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), repetitions=st.lists(st.integers(0, 3), min_size=N, max_size=N))
def test_weights_are_repetitions(name: str, seed: int, repetitions: list[int]) -> None:
    study, weights = Study.random(seed), np.array(repetitions)
    once = np.ones((1, weights.sum()), dtype=np.int64)
    expected = STATISTICS[name](study.repeated(weights))(once)
    both = STATISTICS[name](study)(np.stack([np.ones(N, dtype=np.int64), weights]))
    assert both.shape == (2,)
    assert both.dtype == np.float64
    np.testing.assert_allclose(both[1:], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", STATISTICS)
def test_nothing_is_undefined(name: str) -> None:
    made = STATISTICS[name](Study.random(0))
    assert np.isnan(made(np.zeros((3, N), dtype=np.int32))).all()
    assert made(np.zeros((0, N), dtype=np.int32)).shape == (0,)
    assert np.isnan(STATISTICS[name](Study.random(0, cases=0))(np.zeros((2, 0), dtype=np.int32))).all()


@pytest.mark.parametrize("name", STATISTICS)
def test_blocks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.random.default_rng(0).integers(3, size=(50, N))
    whole = STATISTICS[name](Study.random(5))(weights)
    monkeypatch.setattr(statistic, "MAX_ELEMENTS", 40)
    np.testing.assert_array_equal(STATISTICS[name](Study.random(5))(weights), whole)


def test_no_more_than_the_largest_block_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistic, "MAX_ELEMENTS", 40)
    rows = []

    def count(weights: statistic.Weights) -> statistic.Floats:
        rows.append(len(weights))
        return np.zeros(len(weights))

    assert bounded(count, 10)(np.ones((9, 3), dtype=int)).shape == (9,)
    assert rows == [4, 4, 1]
    assert bounded(count, 100)(np.ones((2, 3), dtype=int)).shape == (2,)
    assert rows[3:] == [1, 1]


def test_blocks_by_hand() -> None:
    weights = np.array([[1, 1, 1], [2, 0, 1], [0, 0, 1]])
    made = ratio([1.0, 2.0, 0.0], [1.0, 1.0, 0.0])
    assert made(weights)[:2].tolist() == [1.5, 1.0]
    assert np.isnan(made(weights)[2])
    assert point(made, 3) == 1.5
    assert mean([0.5, np.nan, 1.0])(weights).tolist() == [0.75, pytest.approx(2 / 3), 1.0]
    assert point(mean([np.nan, np.nan]), 2) is None
    assert point(restricted(mean([0.5, 0.1, 1.0]), [True, False, True]), 3) == 0.75
    assert point(difference(mean([1.0, 0.0]), mean([0.2, 0.2])), 2) == pytest.approx(0.3)


def test_a_mean_leaves_out_what_is_undefined() -> None:
    weights = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1]])
    made = mean_of([mean([0.5, np.nan, np.nan]), mean([np.nan, 1.0, np.nan])])
    assert made(weights)[:2].tolist() == [0.75, 0.5]
    assert np.isnan(made(weights)[2])
    assert np.isnan(mean_of([])(weights)).all()
    assert np.isnan(statistic.undefined(weights)).tolist() == [True] * 3


def test_infinite_values_are_refused() -> None:
    with pytest.raises(DatasetError, match="infinite"):
        mean([0.5, np.inf])
