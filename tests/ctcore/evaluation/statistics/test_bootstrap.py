"""Bootstrap intervals against drawing case by case, scipy's BCa, and what must have no interval."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.statistics.bootstrap import Estimate, estimates
from ctcore.evaluation.statistics.calibration import expected_calibration_error
from ctcore.evaluation.statistics.curves import auroc as curve_auroc
from ctcore.evaluation.statistics.curves import average_precision as curve_average_precision
from ctcore.evaluation.statistics.lesions import Findings, average_precision
from ctcore.evaluation.statistics.roc import auroc
from ctcore.evaluation.statistics.sampling import Design
from ctcore.evaluation.statistics.statistic import Floats, Weights, difference, mean, ratio, restricted

N = 40
Made = list[list[tuple[bool, float]]]


def study() -> tuple[list[float], list[bool], Made]:
    """Scores with ties, classes and findings of a small study."""
    rng = np.random.default_rng(3)
    positive = [bool(value) for value in rng.random(N) < 0.4]
    scores = [round(float(rng.random() * 0.7 + 0.3 * truth), 1) for truth in positive]
    findings: Made = []
    for truth in positive:
        made = [(False, round(float(rng.random()), 1) + 0.05) for _ in range(rng.integers(3))]
        if truth:
            made.append((True, float(rng.choice([0.0, 0.4, 0.9]))))
        findings.append(made)
    return scores, positive, findings


def slow_bca(value: float, drawn: Floats, deleted: list[Floats]) -> tuple[float, float]:
    """The interval by its formula, from the replicates and every stratum's leave-one-out values."""
    z0 = stats.norm.ppf(np.mean([1.0 if x < value - 1e-12 else 0.5 * (abs(x - value) <= 1e-12) for x in drawn]))
    cubes = squares = 0.0
    for values in deleted:
        for x in values:
            influence = (len(values) - 1) * (np.mean(values) - x) / len(values)
            cubes, squares = cubes + influence**3, squares + influence**2
    a = cubes / (6 * squares**1.5)
    levels = [stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))) for z in (-1.959963984540054, 1.959963984540054)]
    low, high = np.quantile(drawn, levels)
    return float(low), float(high)


def test_intervals_equal_slow_replicates() -> None:
    scores, positive, findings = study()
    replicates = 200

    def area(cases: npt.NDArray[np.intp]) -> float:
        return curve_auroc([scores[i] for i in cases], [positive[i] for i in cases]) or 0.0

    def precision(cases: npt.NDArray[np.intp]) -> float:
        return curve_average_precision([finding for i in cases for finding in findings[i]]) or 0.0

    statistics = {"auroc": auroc(scores, positive), "ap": average_precision(Findings.of_cases(findings))}
    found = estimates(statistics, positive, replicates, 7)
    drawn = [np.repeat(np.arange(N), row) for rows in Design.of(positive).draws(replicates, 7) for row in rows]
    for name, slow in (("auroc", area), ("ap", precision)):
        value = slow(np.arange(N))
        deleted = [
            np.array([slow(np.delete(np.arange(N), i)) for i in range(N) if positive[i] is truth])
            for truth in (False, True)
        ]
        expected = slow_bca(value, np.array([slow(cases) for cases in drawn]), deleted)
        assert found[name].value == pytest.approx(value, abs=1e-12)
        assert found[name].ci95 == pytest.approx(expected, abs=1e-12)


def test_one_stratum_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=60)
    ours = estimates({"mean": mean(values)}, np.zeros(60, dtype=int), 20_000, 0)["mean"]
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1))
    assert ours.value == pytest.approx(values.mean())
    assert ours.ci95 == pytest.approx(theirs.confidence_interval, abs=0.01)


def test_parts_of_a_stratum_give_the_patients_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).exponential(size=400)
    statistic = {"mean": mean(values)}
    monkeypatch.setattr("ctcore.evaluation.statistics.bootstrap.JACKKNIFE_BLOCKS", 400)
    whole = estimates(statistic, np.zeros(400, dtype=int), 4000, 0)["mean"].ci95
    monkeypatch.setattr("ctcore.evaluation.statistics.bootstrap.JACKKNIFE_BLOCKS", 100)
    assert estimates(statistic, np.zeros(400, dtype=int), 4000, 0)["mean"].ci95 == pytest.approx(whole, abs=0.01)


def test_one_set_of_draws_serves_all() -> None:
    scores, positive, _ = study()
    first, second = auroc(scores, positive), auroc([-score for score in scores], positive)
    alone = estimates({"a": first}, positive, 300, 1)
    found = estimates({"a": first, "difference": difference(first, first), "mirrored": second}, positive, 300, 1)
    assert found["a"] == alone["a"]
    assert found["difference"] == Estimate(0.0, None)
    assert found["a"].ci95 is not None
    assert found["mirrored"].ci95 is not None
    assert found["mirrored"].ci95 == pytest.approx([1 - end for end in reversed(found["a"].ci95)], abs=0.01)
    assert found["a"] != estimates({"a": first}, positive, 300, 2)["a"]


def test_patients_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    values, patients = np.repeat(rng.normal(size=30), 4), np.repeat(np.arange(30), 4)
    narrow = estimates({"mean": mean(values)}, np.zeros(120, dtype=int), 2000, 0)["mean"].ci95
    wide = estimates({"mean": mean(values)}, np.zeros(120, dtype=int), 2000, 0, patients)["mean"].ci95
    assert narrow is not None
    assert wide is not None
    assert (wide[1] - wide[0]) / (narrow[1] - narrow[0]) == pytest.approx(2, abs=0.2)  # sqrt(4) cases a patient


def test_undefined_statistics_have_neither_value_nor_interval() -> None:
    found = estimates({"auroc": auroc([0.1, 0.2], [True, True])}, [1, 1], 100, 0)
    assert found["auroc"] == Estimate(None, None)
    assert estimates({}, [1, 0], 10, 0) == {}
    assert estimates({"m": mean([])}, [], 10, 0)["m"] == Estimate(None, None)


def test_no_replicates_no_interval() -> None:
    scores, positive, _ = study()
    found = estimates({"auroc": auroc(scores, positive)}, positive, 0, 0)["auroc"]
    assert found.ci95 is None
    assert found.value == pytest.approx(curve_auroc(scores, positive))


def test_perfect_results_have_no_interval() -> None:
    found = estimates({"auroc": auroc([0.9, 0.8, 0.1], [True, True, False])}, [1, 1, 0], 100, 0)
    assert found["auroc"] == Estimate(1.0, None)


def test_a_statistic_that_rests_on_two_cases_has_no_interval() -> None:
    values = np.arange(50) / 50
    for members, has_interval in ((2, False), (6, True)):
        stratum = restricted(mean(values), np.arange(50) < members)
        found = estimates({"m": stratum}, np.zeros(50, dtype=int), 2000, 0)["m"]
        assert found.value == pytest.approx(values[:members].mean())
        assert (found.ci95 is not None) is has_interval


def test_a_few_undefined_replicates_are_left_out() -> None:
    stratum = restricted(ratio([1.0] * 4 + [0.0] * 46, [1.0] * 50), np.arange(50) < 5)
    found = estimates({"m": stratum}, np.zeros(50, dtype=int), 2000, 0)["m"]
    assert found.ci95 is not None
    assert not np.isnan(found.ci95).any()


def test_a_statistic_that_resampling_shifts_has_no_interval() -> None:
    def repeats(weights: Weights) -> Floats:
        """The mean square of the weights: 1 where all count once, about 2 in every replicate."""
        return np.asarray((weights.astype(np.float64) ** 2).mean(axis=1))

    assert estimates({"r": repeats}, np.zeros(50, dtype=int), 200, 0)["r"] == Estimate(1.0, None)

    rng = np.random.default_rng(0)
    p = rng.random(250)
    calibrated = expected_calibration_error(p, rng.random(250) < p)
    drawn = np.concatenate([calibrated(weights) for weights in Design.of(np.zeros(250)).draws(1000, 0)])
    value = float(calibrated(np.ones((1, 250), dtype=int))[0])
    assert 0 < np.mean(drawn < value) < 0.25
    assert estimates({"ece": calibrated}, np.zeros(250, dtype=int), 1000, 0)["ece"] == Estimate(value, None)


def test_impossible_requests() -> None:
    with pytest.raises(RequestError, match="bootstrap -1"):
        estimates({}, [1, 0], -1, 0)
    with pytest.raises(RequestError, match="seed -2"):
        estimates({}, [1, 0], 1, -2)
    with pytest.raises(DatasetError, match="3 groups"):
        estimates({}, [1, 0], 1, 0, groups=[1, 2, 3])
