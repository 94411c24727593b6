"""Every number of a study, each as a statistic of the cases, so that one set of draws gives all intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.evaluation.class_figures import ClassTable, class_statistics
from ctcore.evaluation.matching import Outcome, match
from ctcore.evaluation.statistics import calibration, lesions, roc
from ctcore.evaluation.statistics.bootstrap import Estimate
from ctcore.evaluation.statistics.decision import net_benefit, net_benefit_of_all
from ctcore.evaluation.statistics.lesions import Findings, average_precision
from ctcore.evaluation.statistics.statistic import Statistic, mean
from ctcore.evaluation.study import DECISION_THRESHOLD, Study
from ctcore.evaluation.tables import CaseRecord
from ctcore.labels import CLASS_NAMES, NON_PDAC, PDAC

OVERLAP_SWEEP = tuple(round(0.05 * step, 2) for step in range(1, 11))
"""Smallest overlaps at which the AP is computed."""

SPECIFICITIES = SENSITIVITIES = (0.8, 0.9, 0.95)
FALSE_POSITIVES_PER_CASE = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
THRESHOLD_PROBABILITIES = (0.05, 0.1, 0.2, 0.3, 0.5)

SEPARATOR = "/"
"""Between the parts of a number's name, which become nested objects of `metrics.json`."""


def study_statistics(study: Study) -> dict[str, Statistic]:
    """Returns all statistics of a study by name, headline ones first."""
    scores, positive = study.scores, study.positive
    found: dict[str, Statistic] = headline_statistics(study.records)
    found |= _patients(scores, positive)
    found |= lesion_statistics(study.records)
    for overlap in OVERLAP_SWEEP:
        found[f"overlap_sweep/{overlap:.2f}"] = average_precision(findings_at(study, overlap))
    if is_probability(scores):
        found |= _calibration("score", scores, positive)
    probabilities = [record.probability for record in study.records]
    known = np.array([np.nan if p is None else p for p in probabilities], dtype=np.float64)
    if is_probability(known):
        found["patients/auroc_of_class_probability"] = roc.auroc(known, positive)
        found |= _calibration("class_probability", known, positive)
    found |= {f"classification/{name}": one for name, one in class_statistics(class_table(study)).items()}
    return found | segmentation_statistics(study.records)


def headline_statistics(records: Sequence[CaseRecord]) -> dict[str, Statistic]:
    """Returns AUROC and AP of some cases."""
    scores = np.array([record.score for record in records], dtype=np.float64)
    positive = np.array([record.positive for record in records], dtype=bool)
    findings, _ = findings_of(records)
    return {"auroc": roc.auroc(scores, positive), "ap": average_precision(findings)}


def segmentation_statistics(records: Sequence[CaseRecord]) -> dict[str, Statistic]:
    """Returns `segmentation/LABEL/dice` and `iou` of every label, and the same over the cases whose truth holds it."""
    found: dict[str, Statistic] = {}
    for name in sorted({name for record in records for name in record.agreement}):
        agreement = [record.agreement.get(name) for record in records]
        for suffix, chosen in (
            ("", agreement),
            ("_where_present", [a if a is not None and a.truth else None for a in agreement]),
        ):
            found[f"segmentation/{name}/dice{suffix}"] = mean([np.nan if a is None else a.dice for a in chosen])
            found[f"segmentation/{name}/iou{suffix}"] = mean([np.nan if a is None else a.iou for a in chosen])
    return found


def findings_of(records: Sequence[CaseRecord]) -> tuple[Findings, npt.NDArray[np.float64]]:
    """Returns the findings of some cases, and for each the lesion's longest axial diameter in mm (NaN: no lesion)."""
    case, is_lesion, confidence, size = [], [], [], []
    for index, record in enumerate(records):
        for lesion, hit in zip(record.components.lesions, record.match.lesion_confidences, strict=True):
            case.append(index)
            is_lesion.append(True)
            confidence.append(hit)
            size.append(lesion.diameter_mm)
        for candidate in record.match.candidates:
            if candidate.outcome is Outcome.FALSE_POSITIVE:
                case.append(index)
                is_lesion.append(False)
                confidence.append(candidate.confidence)
                size.append(np.nan)
    findings = Findings(
        np.array(case, dtype=np.intp), np.array(is_lesion, bool), np.array(confidence, np.float64), len(records)
    )
    return findings, np.array(size, dtype=np.float64)


def findings_at(study: Study, min_overlap: float) -> Findings:
    """Returns the findings with another smallest overlap of a hit."""
    rule = replace(study.rule, min_overlap=min_overlap)
    return findings_of([replace(record, match=match(record.components, rule)) for record in study.records])[0]


def class_table(study: Study) -> ClassTable:
    """Returns true and predicted classes.

    Without predicted classes, or where those are not the table's, a case is called positive at `DECISION_THRESHOLD`.
    """
    records = study.records
    called = {record.predicted_class for record in records}
    true = {record.class_name for record in records}
    if None not in called and (len(true | called) > 2 or true | called <= set(CLASS_NAMES)):
        names = tuple(sorted(true | {name for name in called if name is not None}, key=_class_order))
        return ClassTable(
            names,
            np.array([names.index(record.class_name) for record in records], dtype=np.int64),
            np.array([names.index(record.predicted_class or "") for record in records], dtype=np.int64),
        )
    names = CLASS_NAMES if true <= set(CLASS_NAMES) else ("negative", "positive")
    return ClassTable(names, study.positive.astype(np.int64), (study.scores >= DECISION_THRESHOLD).astype(np.int64))


def is_probability(values: npt.NDArray[np.float64]) -> bool:
    """Tells whether all values (cases,) are within 0..1."""
    return bool(((values >= 0) & (values <= 1)).all())


def nested(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """Returns estimates as nested objects by the parts of their names."""
    tree: dict[str, Any] = {}
    for name, estimate in estimates.items():
        *parts, last = name.split(SEPARATOR)
        place = tree
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = {"value": estimate.value, "ci95": None if estimate.ci95 is None else list(estimate.ci95)}
    return tree


def _patients(scores: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> dict[str, Statistic]:
    found: dict[str, Statistic] = {}
    for target in SPECIFICITIES:
        name = f"patients/sensitivity_at_specificity/{target:g}"
        found[name] = roc.sensitivity_at_specificity(scores, positive, target)
    for target in SENSITIVITIES:
        name = f"patients/specificity_at_sensitivity/{target:g}"
        found[name] = roc.specificity_at_sensitivity(scores, positive, target)
    found[f"patients/sensitivity_at_score/{DECISION_THRESHOLD:g}"] = roc.sensitivity(
        scores, positive, DECISION_THRESHOLD
    )
    found[f"patients/specificity_at_score/{DECISION_THRESHOLD:g}"] = roc.specificity(
        scores, positive, DECISION_THRESHOLD
    )
    return found


def lesion_statistics(records: Sequence[CaseRecord]) -> dict[str, Statistic]:
    """Returns `lesions/...`: sensitivity, by size and by false positives, and the false positives themselves."""
    findings, sizes = findings_of(records)
    positive = np.array([record.positive for record in records], dtype=bool)
    found: dict[str, Statistic] = {"lesions/sensitivity": lesions.lesion_sensitivity(findings)}
    for name, chosen in lesions.size_bins(sizes).items():
        found[f"lesions/sensitivity_by_size/{name}"] = lesions.lesion_sensitivity(findings, chosen)
    for target in FALSE_POSITIVES_PER_CASE:
        name = f"lesions/sensitivity_at_false_positives_per_case/{target:g}"
        found[name] = lesions.sensitivity_at_false_positives(findings, target)
    everyone = np.ones(positive.size, dtype=bool)
    found["lesions/false_positives_per_case"] = lesions.false_positives_per_case(findings, everyone)
    found["lesions/false_positives_per_negative_case"] = lesions.false_positives_per_case(findings, ~positive)
    return found


def _calibration(name: str, p: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> dict[str, Statistic]:
    found: dict[str, Statistic] = {
        f"calibration/{name}/brier": calibration.brier(p, positive),
        f"calibration/{name}/ece": calibration.expected_calibration_error(p, positive),
        f"calibration/{name}/ece_equal_mass": calibration.expected_calibration_error(p, positive, binning="mass"),
    }
    for threshold in THRESHOLD_PROBABILITIES:
        found[f"calibration/{name}/net_benefit/{threshold:g}"] = net_benefit(p, positive, threshold)
        found[f"calibration/{name}/net_benefit_of_all/{threshold:g}"] = net_benefit_of_all(positive, threshold)
    return found


def _class_order(name: str) -> tuple[bool, bool, str]:
    """Sorts non-PDAC first, PDAC next, others by name."""
    return (name != NON_PDAC, name != PDAC, name)
