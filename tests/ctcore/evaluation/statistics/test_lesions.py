"""Lesion-level statistics by hand, against slow definitions and against picai_eval."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.statistics import curves, lesions, roc
from ctcore.evaluation.statistics.lesions import Findings
from ctcore.evaluation.statistics.statistic import point

with contextlib.redirect_stdout(io.StringIO()):
    from picai_eval.metrics import Metrics as PicaiMetrics

CONFIDENCES = (0.1, 0.25, 0.5, 0.9)
FINDING = st.one_of(
    st.tuples(st.just(True), st.sampled_from((0.0, *CONFIDENCES))),
    st.tuples(st.just(False), st.sampled_from(CONFIDENCES)),
)
STUDY = st.lists(st.lists(FINDING, max_size=4), min_size=1, max_size=12)
WITH_LESION = STUDY.filter(lambda study: any(is_lesion for made in study for is_lesion, _ in made))

Made = list[list[tuple[bool, float]]]

STUDY_BY_HAND: Made = [
    [(True, 0.9), (False, 0.95)],
    [(True, 0.0), (True, 0.4)],
    [(False, 0.4), (False, 0.2)],
    [],
]


def picai(study: Made) -> Any:
    """The same findings in picai_eval's metrics."""
    results = {str(index): [(int(truth), c, 1.0) for truth, c in made] for index, made in enumerate(study)}
    return PicaiMetrics(lesion_results=results)


@given(WITH_LESION)
def test_average_precision_is_picai_evals(study: Made) -> None:
    value = point(lesions.average_precision(Findings.of_cases(study)), len(study))
    assert value == pytest.approx(picai(study).AP, abs=1e-12)
    assert value == pytest.approx(curves.average_precision([finding for made in study for finding in made]), abs=1e-12)


@given(WITH_LESION)
def test_auroc_is_picai_evals(study: Made) -> None:
    metrics = picai(study)
    positive = [bool(metrics.case_target[str(index)]) for index in range(len(study))]
    scores = [float(metrics.case_pred[str(index)]) for index in range(len(study))]
    value = point(roc.auroc(scores, positive), len(study))
    if all(positive):
        assert value is None
    else:
        assert value == pytest.approx(metrics.auroc, abs=1e-12)


@given(WITH_LESION, st.sampled_from([0.1, 0.25, 0.5, 1.0, 3.0]))
def test_sensitivity_at_false_positives_is_the_best_of_all_thresholds(study: Made, target: float) -> None:
    flat = [finding for made in study for finding in made]
    n_lesions = sum(truth for truth, _ in flat)
    best = 0.0
    for threshold in CONFIDENCES:
        called = [truth for truth, confidence in flat if confidence >= threshold]
        if (len(called) - sum(called)) / len(study) <= target:
            best = max(best, sum(called) / n_lesions)
    value = point(lesions.sensitivity_at_false_positives(Findings.of_cases(study), target), len(study))
    assert value == pytest.approx(best, abs=1e-12)
    curve = curves.froc_curve(flat, len(study))
    assert curve is not None
    assert value == pytest.approx(curve.sensitivity[curve.false_positives_per_case <= target][-1], abs=1e-12)


def test_by_hand() -> None:
    findings = Findings.of_cases(STUDY_BY_HAND)
    # Confidences 0.95: 0 hits, 1 false; 0.9: 1, 1; 0.4: 2, 2; 0.2: 2, 3. Three lesions, four cases.
    assert point(lesions.average_precision(findings), 4) == pytest.approx((1 / 2 + 1 / 2) / 3)
    assert point(lesions.sensitivity_at_false_positives(findings, 0.25), 4) == pytest.approx(1 / 3)
    assert point(lesions.sensitivity_at_false_positives(findings, 0.5), 4) == pytest.approx(2 / 3)
    assert point(lesions.sensitivity_at_false_positives(findings, 0.2), 4) == 0
    assert point(lesions.lesion_sensitivity(findings), 4) == pytest.approx(2 / 3)
    assert point(lesions.lesion_sensitivity(findings, threshold=0.4), 4) == pytest.approx(2 / 3)
    assert point(lesions.lesion_sensitivity(findings, threshold=0.41), 4) == pytest.approx(1 / 3)
    negative = [False, False, True, True]
    assert point(lesions.false_positives_per_case(findings, negative), 4) == 1
    assert point(lesions.false_positives_per_case(findings, negative, threshold=0.3), 4) == 0.5
    assert point(lesions.false_positives_per_case(findings, [False] * 4), 4) is None


def test_sizes() -> None:
    sizes = np.array([19.9, np.nan, 20.0, 40.0, 40.1])
    bins = lesions.size_bins(sizes)
    assert [bins[name].tolist() for name in ("< 2 cm", "2-4 cm", "> 4 cm")] == [
        [True, False, False, False, False],
        [False, False, True, True, False],
        [False, False, False, False, True],
    ]
    findings = Findings.of_cases([[(True, 0.9), (False, 0.5)], [(True, 0.0), (True, 0.3)], [(True, 0.0)]])
    assert point(lesions.lesion_sensitivity(findings, bins["2-4 cm"]), 3) == 0.5
    assert point(lesions.lesion_sensitivity(findings, bins["< 2 cm"]), 3) == 1
    assert point(lesions.lesion_sensitivity(findings, bins["> 4 cm"]), 3) == 0
    assert point(lesions.lesion_sensitivity(findings, np.zeros(5, dtype=bool)), 3) is None


def test_nothing_to_find_and_nothing_found() -> None:
    no_lesion, no_candidate = Findings.of_cases([[(False, 0.3)], []]), Findings.of_cases([[(True, 0.0)], []])
    assert point(lesions.average_precision(no_lesion), 2) is None
    assert point(lesions.sensitivity_at_false_positives(no_lesion, 1), 2) is None
    assert point(lesions.average_precision(no_candidate), 2) == 0
    assert point(lesions.sensitivity_at_false_positives(no_candidate, 1), 2) == 0


@given(WITH_LESION)
def test_ranks_change_neither_ap_nor_froc(study: Made) -> None:
    findings = Findings.of_cases(study)
    ranked = findings.on_rank_scale()
    assert ((ranked.confidence > 0) == (findings.confidence > 0)).all()
    assert ranked.confidence.max(initial=0) <= 1
    for made in (lesions.average_precision, lambda f: lesions.sensitivity_at_false_positives(f, 0.5)):
        assert point(made(ranked), len(study)) == point(made(findings), len(study))


def test_rank_scale_and_joining_by_hand() -> None:
    findings = Findings.of_cases([[(True, 0.2), (False, 0.01)], [(True, 0.0), (False, 0.2)]])
    assert findings.on_rank_scale().confidence.tolist() == [1, pytest.approx(1 / 3), 0, 1]
    joined = findings.followed_by(Findings.of_cases([[], [(True, 0.7)]]))
    assert joined.case.tolist() == [0, 0, 1, 1, 3]
    assert joined.confidence.tolist() == [0.2, 0.01, 0, 0.2, 0.7]
    assert joined.n_cases == 4


def test_impossible_findings() -> None:
    one = np.ones(1)
    with pytest.raises(DatasetError, match="of case 2, but there are 2 cases"):
        Findings(np.array([2]), np.array([True]), one, 2)
    with pytest.raises(DatasetError, match=r"shapes \(1,\), \(2,\) and \(1,\)"):
        Findings(np.array([0]), np.array([True, False]), one, 2)
    for wrong in (float("nan"), -0.1, float("inf")):
        with pytest.raises(DatasetError, match=f"confidence {wrong}"):
            Findings.of_cases([[(True, wrong)]])
    with pytest.raises(RequestError, match="0 false positives a case"):
        lesions.sensitivity_at_false_positives(Findings.of_cases([[]]), 0)
