"""Distance from reference cases: by hand, and against features of another make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ctcore.quality.outlier import FeatureReference, fit_reference


def reference(**changes: Any) -> FeatureReference:
    """Returns a reference of two features: variances 4 and 1, distances 0.1 to 2."""
    values: dict[str, Any] = {
        "mean": np.array([1.0, 2.0], np.float32),
        "precision": np.array([[0.25, 0.0], [0.0, 1.0]], np.float32),
        "distances": np.linspace(0.1, 2.0, 20, dtype=np.float32),
    }
    return FeatureReference(**(values | changes))


def test_distance_and_percentile_by_hand() -> None:
    found = reference()
    distance = found.distance(np.array([5.0, 3.5], np.float32))
    assert distance == pytest.approx(2.5)  # (4 / 2, 1.5 / 1)
    assert found.percentile(2.5) == 100
    assert found.percentile(1.04) == 50
    assert found.percentile(0.0) == 0
    assert found.distance(None) is None


def test_features_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit a reference"):
        reference().distance(np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"precision": np.zeros((2, 3), np.float32)}, "do not fit"),
        ({"mean": np.array([np.nan, 0], np.float32)}, "not finite"),
        ({"distances": np.arange(5, dtype=np.float32)}, "20 at least"),
        ({"distances": np.arange(30, 0, -1, dtype=np.float32)}, "must rise"),
    ],
)
def test_impossible_references_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        reference(**changes)


def test_arrays_go_to_a_file_and_back() -> None:
    found = reference()
    again = FeatureReference.from_tensors(found.tensors)
    assert again.percentile(1.04) == found.percentile(1.04)
    with pytest.raises(ValueError, match="are not mean, precision and distances"):
        FeatureReference.from_tensors({"mean": found.mean})


def test_a_fit_with_fewer_cases_than_features_tells_likes_from_unlikes() -> None:
    rng = np.random.default_rng(3)
    mixing = rng.normal(size=(5, 60))
    usual = (rng.normal(size=(90, 5)) @ mixing + 0.1 * rng.normal(size=(90, 60))).astype(np.float32)
    found = fit_reference(usual[:50])
    percentiles = [found.percentile(found.distance(row) or 0.0) for row in usual[50:]]
    assert 25 < np.mean(percentiles) < 75  # left out of the fit, as the reference cases were
    strange = usual[50:] + rng.normal(size=(40, 60)).astype(np.float32)
    assert min(found.percentile(found.distance(row) or 0.0) for row in strange) == 100


def test_few_cases_are_no_reference() -> None:
    with pytest.raises(ValueError, match="too few"):
        fit_reference(np.zeros((19, 4), np.float32))
