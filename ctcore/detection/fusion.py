"""Fusion: the class probabilities and the detection map's maximum become the score of a case."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ctcore.detection.candidates import PROBABILITY_TOLERANCE
from ctcore.errors import ProbabilityError, RequestError

FusionRule = Literal["mean", "max", "product", "noisy-or", "logistic", "map"]


class LogisticConstants(BaseModel):
    """Constants of the `logistic` rule, fitted on validation cases.

    Attributes:
        intercept: added to the weighted terms.
        class_weight: of the lesion class probability.
        map_weight: of the detection map's maximum.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    intercept: float = Field(allow_inf_nan=False)
    class_weight: float = Field(allow_inf_nan=False)
    map_weight: float = Field(allow_inf_nan=False)


class FusionSettings(BaseModel):
    """How the score is made of p, the probability of a lesion class, and d, the detection map's maximum.

    Attributes:
        rule: `mean` w p + (1 - w) d; `max` max(p, d); `product` sqrt(p d), the geometric mean; `noisy-or`
            1 - (1 - p)(1 - d); `logistic` 1 / (1 + exp(-(intercept + class_weight p + map_weight d))); `map` d alone,
            for networks without a classification head.
        weight: w of the `mean` rule; the others do not use it.
        logistic: constants of the `logistic` rule, which needs them.
        weigh_candidates: whether each candidate's confidence is multiplied by p (`FoundLesions.weighed`), so that
            candidates of different patients rank by both. The score is made of the map before that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: FusionRule = "mean"
    weight: float = Field(default=0.5, ge=0.0, le=1.0, allow_inf_nan=False)
    logistic: LogisticConstants | None = None
    weigh_candidates: bool = False

    @model_validator(mode="after")
    def _logistic_has_constants(self) -> FusionSettings:
        if self.rule == "logistic" and self.logistic is None:
            raise ValueError("rule 'logistic' needs its constants in 'logistic'; fit them on validation cases")
        return self

    @model_validator(mode="after")
    def _map_has_no_classes(self) -> FusionSettings:
        if self.rule == "map" and self.weigh_candidates:
            raise ValueError(
                "rule 'map' uses no class probabilities, by which candidates could be weighed; drop either"
            )
        return self


@dataclass(frozen=True)
class FusionResult:
    """The fused scores of a case.

    Attributes:
        score: of a lesion of any lesion class, 0..1.
        scores: by class name.
        label: the class with the highest score.
        rule: name of the rule.
        terms: what the score was made of: the lesion classes' probability, the map's maximum, the rule's constants.
    """

    score: float
    scores: dict[str, float]
    label: str
    rule: str
    terms: dict[str, float]


def fuse(
    class_probabilities: Mapping[str, float],
    detection_max: float | Mapping[str, float],
    settings: FusionSettings,
    lesion_classes: Collection[str],
) -> FusionResult:
    """Fuses the class probabilities with the maximum of the detection map, or of one map for every lesion class.

    With p[k] the probability of class k, P = sum of p over the lesion classes and d the largest maximum, the score is
    rule(P, d). Where all lesions are one label, lesion class k receives its share of it, score * p[k] / P, which does
    not change their order (equal shares if P is 0); for `mean` this is w p[k] + (1 - w) d p[k] / P. Where every lesion
    class has a label and a map of its own, it scores rule(p[k], d[k]). A class without lesion scores
    w p[k] + (1 - w)(1 - d) with `mean`, else its share p[k] / (1 - P) of 1 - score. With two classes the scores are
    therefore `score` and 1 - `score`.

    Args:
        class_probabilities: calibrated softmax by class name; sums to 1.
        detection_max: maximum of the detection map, 0..1; or the maximum of every lesion class's own map.
        settings: rule and constants.
        lesion_classes: names of the classes that stand for a lesion.

    Raises:
        ProbabilityError: a probability or the maximum is NaN or outside 0..1, or the probabilities do not sum to 1.
        RequestError: `lesion_classes` is empty or names a class without probability, or the maxima are not those of
            the lesion classes.
    """
    unknown = sorted(set(lesion_classes) - set(class_probabilities))
    if unknown or not lesion_classes:
        known = ", ".join(class_probabilities)
        raise RequestError(f"lesion classes {sorted(lesion_classes)} must be some of the classes: {known or 'none'}")
    p = {name: _probability(f"probability of class '{name}'", value) for name, value in class_probabilities.items()}
    own = _own_maxima(detection_max, lesion_classes) if isinstance(detection_max, Mapping) else {}
    d = max(own.values()) if own else _probability("maximum of the detection map", cast(float, detection_max))
    total = math.fsum(p.values())
    if abs(total - 1) > 10 * PROBABILITY_TOLERANCE:
        raise ProbabilityError(
            f"class probabilities {dict(class_probabilities)} sum to {total:g}, not 1; apply softmax"
        )

    lesion = {name: value for name, value in p.items() if name in lesion_classes}
    other = {name: value for name, value in p.items() if name not in lesion_classes}
    p_lesion = min(math.fsum(lesion.values()), 1.0)
    score = _apply(settings, p_lesion, d)
    if own:
        scores = {name: _apply(settings, value, own[name]) for name, value in lesion.items()}
    else:
        scores = {name: score * share for name, share in _shares(lesion).items()}
    if settings.rule == "mean":
        w = settings.weight
        scores |= {name: w * value + (1 - w) * (1 - d) for name, value in other.items()}
    else:
        scores |= {name: (1 - score) * share for name, share in _shares(other).items()}
    scores = {name: scores[name] for name in p}

    terms = {"p_lesion": p_lesion, "detection_max": d, **{f"detection_max_{name}": own[name] for name in own}}
    if settings.rule == "mean":
        terms["weight"] = settings.weight
    elif settings.rule == "logistic" and settings.logistic is not None:
        terms |= settings.logistic.model_dump()
    return FusionResult(score, scores, max(scores, key=scores.__getitem__), settings.rule, terms)


def score_of_map(detection_max: float, class_names: Sequence[str], lesion_classes: Collection[str]) -> FusionResult:
    """Makes the maximum of the detection map the score, where there are no class probabilities (rule `map`).

    The lesion classes share the score equally, the others what it leaves to 1.

    Args:
        detection_max: maximum of the detection map, 0..1.
        class_names: patient-level classes.
        lesion_classes: those of them that stand for a lesion.

    Raises:
        ProbabilityError: the maximum is NaN or outside 0..1.
        RequestError: `lesion_classes` is empty or names another class.
    """
    unknown = sorted(set(lesion_classes) - set(class_names))
    if unknown or not lesion_classes:
        raise RequestError(
            f"lesion classes {sorted(lesion_classes)} must be some of {', '.join(class_names) or 'none'}"
        )
    d = _probability("maximum of the detection map", detection_max)
    others = len(class_names) - len(set(lesion_classes))
    scores = {name: d / len(lesion_classes) if name in lesion_classes else (1 - d) / others for name in class_names}
    return FusionResult(d, scores, max(scores, key=scores.__getitem__), "map", {"detection_max": d})


def _own_maxima(maxima: Mapping[str, float], lesion_classes: Collection[str]) -> dict[str, float]:
    """Returns the maximum of every lesion class's own map, checked."""
    if set(maxima) != set(lesion_classes):
        raise RequestError(
            f"detection maps of {sorted(maxima)} are not those of the lesion classes {sorted(lesion_classes)}"
        )
    return {name: _probability(f"maximum of the detection map of '{name}'", value) for name, value in maxima.items()}


def _apply(settings: FusionSettings, p: float, d: float) -> float:
    """Returns the score that the rule makes of p and d."""
    if settings.rule == "mean":
        return settings.weight * p + (1 - settings.weight) * d
    if settings.rule == "max":
        return max(p, d)
    if settings.rule == "map":
        return d
    if settings.rule == "product":
        return math.sqrt(p * d)
    if settings.rule == "noisy-or":
        return 1 - (1 - p) * (1 - d)
    constants = settings.logistic
    if constants is None:
        raise RequestError("rule 'logistic' needs its constants; fit them on validation cases")
    logit = constants.intercept + constants.class_weight * p + constants.map_weight * d
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def _shares(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Returns each class's part of their sum, equal parts if all are 0."""
    total = math.fsum(probabilities.values())
    if total <= 0:
        return dict.fromkeys(probabilities, 1 / len(probabilities)) if probabilities else {}
    return {name: value / total for name, value in probabilities.items()}


def _probability(name: str, value: float) -> float:
    """Returns a value clipped to 0..1 within the rounding tolerance."""
    value = float(value)
    if not -PROBABILITY_TOLERANCE <= value <= 1 + PROBABILITY_TOLERANCE:
        raise ProbabilityError(f"{name} is {value:g}, not within 0..1; check the network's output for NaN")
    return min(max(value, 0.0), 1.0)
