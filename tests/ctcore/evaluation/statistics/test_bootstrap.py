"""Bootstrap intervals against repeating the drawn cases one by one."""

import numpy as np
import pytest

from ctcore.evaluation.statistics import bootstrap
from ctcore.evaluation.statistics.bootstrap import auroc_interval, average_precision_interval, draws
from ctcore.evaluation.statistics.curves import auroc, average_precision

N = 40


def study() -> tuple[list[float], list[bool], list[list[tuple[bool, float]]]]:
    """Scores with ties, classes and findings of a small study."""
    rng = np.random.default_rng(3)
    positive = [bool(value) for value in rng.random(N) < 0.4]
    scores = [round(float(rng.random() * 0.7 + 0.3 * truth), 1) for truth in positive]
    findings = []
    for truth in positive:
        made = [(False, round(float(rng.random()), 1) + 0.05) for _ in range(rng.integers(3))]
        if truth:
            made.append((True, float(rng.choice([0.0, 0.4, 0.9]))))
        findings.append(made)
    return scores, positive, findings


def drawn_cases() -> list[np.ndarray]:
    """Every replicate as a list of case indices."""
    _, positive, _ = study()
    counts = np.concatenate(list(draws(np.array(positive), 200, 7, N)))
    return [np.repeat(np.arange(N), row) for row in counts]


def test_every_replicate_has_the_studys_numbers() -> None:
    _, positive, _ = study()
    for cases in drawn_cases():
        assert len(cases) == N
        assert np.array(positive)[cases].sum() == sum(positive)
    assert len({tuple(cases) for cases in drawn_cases()}) == 200


def test_intervals_equal_slow_replicates() -> None:
    scores, positive, findings = study()
    areas = [auroc([scores[i] for i in cases], [positive[i] for i in cases]) for cases in drawn_cases()]
    expected = np.percentile(np.array(areas, dtype=float), [2.5, 97.5])
    assert auroc_interval(scores, positive, 200, 7) == pytest.approx(tuple(expected), abs=1e-12)

    precisions = [average_precision([finding for i in cases for finding in findings[i]]) for cases in drawn_cases()]
    expected = np.percentile(np.array(precisions, dtype=float), [2.5, 97.5])
    assert average_precision_interval(findings, positive, 200, 7) == pytest.approx(tuple(expected), abs=1e-12)


def test_the_seed_decides() -> None:
    scores, positive, findings = study()
    assert auroc_interval(scores, positive, 300, 1) == auroc_interval(scores, positive, 300, 1)
    assert auroc_interval(scores, positive, 300, 1) != auroc_interval(scores, positive, 300, 2)
    first = average_precision_interval(findings, positive, 300, 1)
    assert first == average_precision_interval(findings, positive, 300, 1)
    assert first != average_precision_interval(findings, positive, 300, 2)


def test_chunks_cover_all_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_CHUNK_ELEMENTS", 3 * N)
    shapes = [drawn.shape for drawn in draws(np.array(study()[1]), 10, 0, N)]
    assert shapes == [(3, N), (3, N), (3, N), (1, N)]


def test_undefined_intervals() -> None:
    assert auroc_interval([0.1, 0.2], [True, True], 100, 0) is None
    assert auroc_interval([0.1, 0.2], [True, False], 0, 0) is None
    assert average_precision_interval([[(False, 0.3)], []], [True, False], 100, 0) is None
    assert average_precision_interval([[(True, 0.3)], []], [True, False], 0, 0) is None


def test_perfect_and_single_cases() -> None:
    assert auroc_interval([0.9, 0.8, 0.1], [True, True, False], 100, 0) == (1.0, 1.0)
    assert average_precision_interval([[(True, 0.9)], [(False, 0.1)]], [True, False], 100, 0) == (1.0, 1.0)


def test_replicates_without_a_lesion_are_left_out() -> None:
    interval = average_precision_interval([[(True, 0.9)], [], []], [True, True, False], 200, 0)
    assert interval == (1.0, 1.0)
