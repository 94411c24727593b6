"""How fast and how right the intervals and tests are: `python -m benchmarks.uncertainty`.

Speed: 1,000 bootstrap replicates of AP and AUROC of 2,000 cases, picai_eval's bootstrap in turn. Coverage: simulated
studies whose true AUROC is known in closed form and whose true AP is that of a million cases; how many of their
intervals hold the truth? Level: how often do the paired tests call two equally good systems different at p < 0.05?

Prints every bound beside its figure and, as its last line, all figures as one JSON object. Exit code: 0 all bounds
reached, 1 some missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.bounds import Bound, print_bounds, print_figures
from benchmarks.peer import picai
from ctcore.console import progress
from ctcore.evaluation.statistics.bootstrap import estimates
from ctcore.evaluation.statistics.delong import Z_975, delong, paired_test
from ctcore.evaluation.statistics.lesions import Findings, average_precision
from ctcore.evaluation.statistics.permutation import permutation_test
from ctcore.evaluation.statistics.roc import auroc
from ctcore.evaluation.statistics.sampling import Design
from ctcore.evaluation.statistics.statistic import Statistic, point

REPLICATES = 1000
SPEED_CASES, SPEED_LIMIT_SECONDS = 2000, 10.0
PEER_REPLICATES = 20
"""Of picai_eval in each turn; its time is scaled to `REPLICATES`."""

NOMINAL, TOLERANCE = 0.95, 0.02
POPULATION = 1_000_000
"""Simulated cases whose AP is taken for the true one."""

LEVEL_STUDIES = 500
PERMUTATIONS = 999

BOUND_INTERVALS = ("AUROC, bootstrap", "AUROC, DeLong", "AP, bootstrap")


@dataclass(frozen=True)
class Scenario:
    """What studies are simulated.

    Attributes:
        positive: positive cases of a study.
        negative: negative cases of a study.
        auroc: true area of the binormal scores.
        false_positives: mean number per case.
    """

    positive: int
    negative: int
    auroc: float
    false_positives: float = 0.6

    @property
    def name(self) -> str:
        """For a table."""
        return f"{self.positive}+{self.negative} cases, AUROC {self.auroc:g}"


SCENARIOS = (Scenario(100, 150, 0.85), Scenario(100, 150, 0.95), Scenario(20, 30, 0.90))
SPEED_SCENARIO = Scenario(SPEED_CASES * 2 // 5, SPEED_CASES * 3 // 5, 0.85, false_positives=1.5)


@dataclass(frozen=True, eq=False)
class Study:
    """One simulated study.

    Attributes:
        positive: (cases,) whether each is.
        scores: (cases,) normal with unit variance, the positive ones' mean such that the area is the scenario's.
        findings: 1 lesion in a positive case, in 15 % of them 2; 85 % of the lesions are hit, with confidences of
            Beta(4, 2); false positives are Poisson in every case, with confidences of Beta(1.5, 4).
    """

    positive: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float64]
    findings: Findings

    @property
    def statistics(self) -> dict[str, Statistic]:
        """AUROC and AP."""
        return {"AUROC": auroc(self.scores, self.positive), "AP": average_precision(self.findings)}


def simulate(scenario: Scenario, seed: Sequence[int], times: int = 1) -> Study:
    """Draws a study, of `times` as many cases as the scenario has."""
    from scipy.special import ndtri

    rng = np.random.default_rng([*seed, scenario.positive, round(1000 * scenario.auroc)])
    positive = np.arange((scenario.positive + scenario.negative) * times) < scenario.positive * times
    scores = rng.normal(size=positive.size) + np.sqrt(2) * ndtri(scenario.auroc) * positive
    return Study(positive, scores, _findings(rng, _lesions(rng, positive), scenario.false_positives))


def _lesions(rng: np.random.Generator, positive: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Draws the number of lesions of every case."""
    return np.where(positive, 1 + (rng.random(positive.size) < 0.15), 0)


def _findings(rng: np.random.Generator, lesions: npt.NDArray[np.int64], false_positives: float) -> Findings:
    """Draws what a system finds in cases with so many lesions, and on average so many false positives."""
    cases = np.arange(lesions.size)
    lesion, false = np.repeat(cases, lesions), np.repeat(cases, rng.poisson(false_positives, lesions.size))
    hit = np.where(rng.random(lesion.size) < 0.85, rng.beta(4, 2, lesion.size), 0.0)
    return Findings(
        np.concatenate([lesion, false]),
        np.arange(lesion.size + false.size) < lesion.size,
        np.concatenate([hit, rng.beta(1.5, 4, false.size)]),
        lesions.size,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.uncertainty", description=__doc__)
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies per scenario (default: 1000)")
    parser.add_argument("--repeats", type=int, default=5, help="turns of the timing (default: 5)")
    options = parser.parse_args(arguments)

    speed = measure_speed(options.repeats)
    coverage = {scenario.name: measure_coverage(scenario, options.studies) for scenario in SCENARIOS}
    level = measure_level(min(LEVEL_STUDIES, options.studies))
    print_figures("speed", list(speed.items()))
    for name, of_scenario in coverage.items():
        rows = [(interval, ", ".join(f"{share:.3f}" for share in shares)) for interval, shares in of_scenario.items()]
        print_figures(f"{name}: truth held, below, above the interval; no interval", rows)
    print_figures("level: share of p < 0.05 for two equally good systems", list(level.items()))

    replicates = f"{REPLICATES} replicates of AP and AUROC, {SPEED_CASES} cases, seconds"
    bounds = [Bound("speed", replicates, speed["ours_seconds"], "at most", SPEED_LIMIT_SECONDS)]
    for name, of_scenario in coverage.items():
        for interval in BOUND_INTERVALS:
            distance = abs(of_scenario[interval][0] - NOMINAL)
            bounds.append(Bound(name, f"{interval}: |coverage - {NOMINAL:g}|", distance, "at most", TOLERANCE))
    print_bounds(bounds)
    figures = {"studies": options.studies, "speed": speed, "coverage": coverage, "level": level}
    print(json.dumps({"figures": figures, "bounds": [bound.as_dict() for bound in bounds]}))
    return 0 if all(bound.reached for bound in bounds) else 1


def measure_speed(repeats: int) -> dict[str, Any]:
    """Times both bootstraps on the same findings in turn; ours makes its BCa intervals, theirs percentiles."""
    study = simulate(SPEED_SCENARIO, [0])
    findings = study.findings
    results: dict[int, list[tuple[int, float, float]]] = {case: [] for case in range(findings.n_cases)}
    for case, is_lesion, confidence in zip(findings.case, findings.is_lesion, findings.confidence, strict=True):
        results[int(case)].append((int(is_lesion), float(confidence), float(is_lesion)))
    peer = picai().metrics.Metrics(results, case_pred=dict(enumerate(study.scores.tolist())))
    ours, theirs = [], []
    with progress("speed") as report:
        for turn in range(repeats):
            begin = time.perf_counter()
            found = estimates(study.statistics, study.positive, REPLICATES, seed=turn)
            ours.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            peer.bootstrap_score_ci(PEER_REPLICATES, seed=turn)
            theirs.append((time.perf_counter() - begin) * REPLICATES / PEER_REPLICATES)
            report(turn + 1, repeats)
    return {
        "cases": SPEED_CASES,
        "findings": int(findings.case.size),
        "replicates": REPLICATES,
        "ours_seconds": statistics.median(ours),
        "ours_slowest_seconds": max(ours),
        "picai_eval_seconds_scaled": statistics.median(theirs),
        "times_faster": statistics.median(b / a for a, b in zip(ours, theirs, strict=True)),
        "auroc_difference": abs((found["AUROC"].value or 0.0) - float(peer.auroc)),
        "ap_difference": abs((found["AP"].value or 0.0) - float(peer.AP)),
    }


def measure_coverage(scenario: Scenario, studies: int) -> dict[str, list[float]]:
    """Returns for every kind of interval how often it held the truth, missed it above or below, or was not given."""
    population = simulate(scenario, [1], max(1, POPULATION // (scenario.positive + scenario.negative))).findings
    truth = {"AUROC": scenario.auroc, "AP": point(average_precision(population), population.n_cases) or 0.0}
    outcomes: dict[str, list[int]] = {}
    with progress(scenario.name) as report:
        for number in range(studies):
            study = simulate(scenario, [2, number])
            for name, interval in _intervals(study, number).items():
                of_interval = outcomes.setdefault(name, [0, 0, 0, 0])
                of_interval[_outcome(interval, truth[name.split(",")[0]])] += 1
            report(number + 1, studies)
    return {name: [count / studies for count in counts] for name, counts in outcomes.items()}


def _intervals(study: Study, seed: int) -> dict[str, tuple[float, float] | None]:
    """Returns our intervals, and for comparison the plainer ones, of one study."""
    found = estimates(study.statistics, study.positive, REPLICATES, seed)
    by_delong = delong(study.scores, study.positive)
    if by_delong is None:
        raise ValueError("a simulated study lacks positive or negative cases; a scenario needs both")
    area, half = float(by_delong.auroc[0]), Z_975 * float(np.sqrt(by_delong.covariance[0, 0]))
    intervals: dict[str, tuple[float, float] | None] = {
        "AUROC, bootstrap": found["AUROC"].ci95,
        "AUROC, DeLong": by_delong.interval(),
        "AUROC, DeLong without logit": (area - half, area + half),
        "AP, bootstrap": found["AP"].ci95,
    }
    for name, statistic in study.statistics.items():
        drawn = [statistic(weights) for weights in Design.of(study.positive).draws(REPLICATES, seed)]
        low, high = np.percentile(np.concatenate(drawn), [2.5, 97.5])
        intervals[f"{name}, plain percentiles"] = (float(low), float(high))
    return intervals


def _outcome(interval: tuple[float, float] | None, truth: float) -> int:
    """Returns 0 held, 1 truth below the interval, 2 truth above it, 3 no interval."""
    if interval is None:
        return 3
    low, high = interval
    return 1 if truth < low else 2 if truth > high else 0


def measure_level(studies: int) -> dict[str, float]:
    """Returns how often the paired tests are below 0.05 though both systems are drawn alike."""
    scenario = SCENARIOS[0]
    below = {"AUROC, paired DeLong test": 0, "AP, paired permutation test": 0}
    with progress("level") as report:
        for number in range(studies):
            study = simulate(scenario, [3, number])
            rng = np.random.default_rng([4, number])
            cases = study.positive.size
            noise = rng.normal(size=(2, cases))  # both systems see the case's score, each with its own noise
            test = paired_test(study.scores + noise[0], study.scores + noise[1], study.positive)
            below["AUROC, paired DeLong test"] += test is not None and test.p is not None and test.p < 0.05
            lesions = _lesions(rng, study.positive)
            systems = [_findings(rng, lesions, scenario.false_positives) for _ in range(2)]
            joint = average_precision(systems[0].followed_by(systems[1]))
            p = permutation_test(joint, cases, PERMUTATIONS, number).p
            below["AP, paired permutation test"] += p is not None and p < 0.05
            report(number + 1, studies)
    return {name: count / studies for name, count in below.items()}


if __name__ == "__main__":
    sys.exit(main())
