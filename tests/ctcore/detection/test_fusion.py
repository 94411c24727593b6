"""Fusion rules by hand."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ctcore.detection.fusion import FusionRule, FusionSettings, LogisticConstants, fuse, score_of_map
from ctcore.errors import ProbabilityError, RequestError

P = {"non-PDAC": 0.2, "PDAC": 0.8}
LOGISTIC = LogisticConstants(intercept=-2.0, class_weight=3.0, map_weight=1.0)
RULES: tuple[FusionRule, ...] = ("mean", "max", "product", "noisy-or", "logistic")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("mean", 0.65),
        ("max", 0.8),
        ("product", math.sqrt(0.4)),
        ("noisy-or", 0.9),
        ("logistic", 1 / (1 + math.exp(-(-2 + 2.4 + 0.5)))),
    ],
)
def test_two_classes(rule: FusionRule, expected: float) -> None:
    result = fuse(P, 0.5, FusionSettings(rule=rule, logistic=LOGISTIC), ["PDAC"])
    assert result.score == pytest.approx(expected)
    assert result.scores == pytest.approx({"non-PDAC": 1 - expected, "PDAC": expected})
    assert list(result.scores) == list(P)
    assert result.label == "PDAC"
    assert result.rule == rule
    assert result.terms["p_lesion"] == pytest.approx(0.8)
    assert result.terms["detection_max"] == 0.5


def test_the_weight_is_the_classifiers() -> None:
    result = fuse(P, 0.5, FusionSettings(weight=0.9), ["PDAC"])
    assert result.score == pytest.approx(0.9 * 0.8 + 0.1 * 0.5)
    assert result.terms["weight"] == 0.9


def test_the_label_is_the_argmax() -> None:
    assert fuse(P, 0.0, FusionSettings(), ["PDAC"]).label == "non-PDAC"  # 0.4 against 0.6


def test_subtypes_share_the_map_by_their_probability() -> None:
    p = {"healthy": 0.2, "a": 0.6, "b": 0.2}
    result = fuse(p, 0.4, FusionSettings(weight=0.5), ["a", "b"])
    expected = {"healthy": 0.5 * 0.2 + 0.5 * 0.6, "a": 0.5 * 0.6 + 0.5 * 0.4 * 0.75, "b": 0.5 * 0.2 + 0.5 * 0.4 * 0.25}
    assert result.scores == pytest.approx(expected)
    assert result.score == pytest.approx(expected["a"] + expected["b"])
    assert result.label == "a"


def test_subtypes_with_a_map_each() -> None:
    p = {"healthy": 0.2, "a": 0.6, "b": 0.2}
    result = fuse(p, {"b": 0.9, "a": 0.1}, FusionSettings(weight=0.5), ["a", "b"])
    # each its own w p + (1 - w) d; healthy w p + (1 - w) (1 - the largest); the patient's score from 0.8 and 0.9
    assert result.scores == pytest.approx({"healthy": 0.15, "a": 0.35, "b": 0.55})
    assert result.score == pytest.approx(0.85)
    assert result.label == "b"
    assert result.terms["detection_max_a"] == 0.1
    assert result.terms["detection_max"] == 0.9
    largest = fuse(p, {"a": 0.1, "b": 0.9}, FusionSettings(rule="max"), ["a", "b"])
    assert largest.scores == pytest.approx({"healthy": 0.1, "a": 0.6, "b": 0.9})


def test_every_lesion_class_needs_its_map() -> None:
    with pytest.raises(RequestError, match=r"detection maps of \['a'\] are not those of the lesion classes"):
        fuse({"healthy": 0.2, "a": 0.6, "b": 0.2}, {"a": 0.5}, FusionSettings(), ["a", "b"])
    with pytest.raises(ProbabilityError, match="maximum of the detection map of 'b' is nan"):
        fuse({"healthy": 0.2, "a": 0.6, "b": 0.2}, {"a": 0.5, "b": math.nan}, FusionSettings(), ["a", "b"])


def test_subtypes_without_a_healthy_class() -> None:
    result = fuse({"a": 0.5, "b": 0.3, "c": 0.2}, 0.9, FusionSettings(), ["a", "b", "c"])
    assert result.scores == pytest.approx({"a": 0.475, "b": 0.285, "c": 0.19})
    assert result.score == pytest.approx(0.95)


def test_lesion_classes_of_probability_zero_share_equally() -> None:
    result = fuse({"healthy": 1.0, "a": 0.0, "b": 0.0}, 0.8, FusionSettings(), ["a", "b"])
    assert result.scores == pytest.approx({"healthy": 0.6, "a": 0.2, "b": 0.2})


@given(p=st.floats(0, 1), d=st.floats(0, 1), more=st.floats(0, 1), rule=st.sampled_from(RULES), weight=st.floats(0, 1))
def test_scores_stay_within_0_and_1_and_rise_with_the_map(
    p: float, d: float, more: float, rule: FusionRule, weight: float
) -> None:
    settings = FusionSettings(rule=rule, weight=weight, logistic=LOGISTIC)
    low, high = sorted((d, more))
    first = fuse({"non-PDAC": 1 - p, "PDAC": p}, low, settings, ["PDAC"])
    second = fuse({"non-PDAC": 1 - p, "PDAC": p}, high, settings, ["PDAC"])
    assert 0 <= first.score <= second.score + 1e-12
    assert second.score <= 1
    assert sum(first.scores.values()) == pytest.approx(1)


@given(weights=st.lists(st.floats(0.01, 1), min_size=3, max_size=6), d=st.floats(0, 1), rule=st.sampled_from(RULES))
def test_the_order_of_the_subtypes_is_kept(weights: list[float], d: float, rule: FusionRule) -> None:
    total = sum(weights)
    p = {f"class {index}": weight / total for index, weight in enumerate(weights)}
    lesion = list(p)[1:]
    scores = fuse(p, d, FusionSettings(rule=rule, logistic=LOGISTIC), lesion).scores
    order = sorted(lesion, key=lambda name: p[name])
    values = [scores[name] for name in order]
    assert all(a <= b + 1e-12 for a, b in pairwise(values))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, 1.1])
def test_impossible_values_are_refused(bad: float) -> None:
    with pytest.raises(ProbabilityError, match="maximum of the detection map is"):
        fuse(P, bad, FusionSettings(), ["PDAC"])
    with pytest.raises(ProbabilityError, match="probability of class 'PDAC' is"):
        fuse({"non-PDAC": 0.5, "PDAC": bad}, 0.5, FusionSettings(), ["PDAC"])


def test_probabilities_must_sum_to_1() -> None:
    with pytest.raises(ProbabilityError, match=r"sum to 1\.3"):
        fuse({"non-PDAC": 0.5, "PDAC": 0.8}, 0.5, FusionSettings(), ["PDAC"])


@pytest.mark.parametrize("lesion", [[], ["pdac"]])
def test_lesion_classes_must_exist(lesion: list[str]) -> None:
    with pytest.raises(RequestError, match="non-PDAC, PDAC"):
        fuse(P, 0.5, FusionSettings(), lesion)


def test_settings_are_checked_and_survive_json() -> None:
    with pytest.raises(ValidationError, match="needs its constants"):
        FusionSettings(rule="logistic")
    with pytest.raises(ValidationError):
        FusionSettings(weight=1.5)
    with pytest.raises(ValidationError):
        FusionSettings.model_validate({"rule": "median"})
    settings = FusionSettings(rule="logistic", logistic=LOGISTIC)
    assert FusionSettings.model_validate_json(settings.model_dump_json()) == settings


def test_a_score_of_the_map_alone() -> None:
    found = score_of_map(0.7, ("non-PDAC", "PDAC"), ("PDAC",))
    assert (found.score, found.label, found.rule, found.terms) == (0.7, "PDAC", "map", {"detection_max": 0.7})
    assert found.scores == {"non-PDAC": pytest.approx(0.3), "PDAC": 0.7}
    three = score_of_map(0.4, ("a", "b", "c"), ("a", "b"))
    assert three.scores == {"a": 0.2, "b": 0.2, "c": 0.6}
    assert fuse(P, 0.3, FusionSettings(rule="map"), ["PDAC"]).score == 0.3  # with a classifier that is not used
    for value, classes, told in ((math.nan, ("PDAC",), ProbabilityError), (0.5, ("x",), RequestError)):
        with pytest.raises(told):
            score_of_map(value, ("non-PDAC", "PDAC"), classes)
    with pytest.raises(ValidationError, match="could be weighed"):
        FusionSettings(rule="map", weigh_candidates=True)
