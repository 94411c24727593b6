"""Calibrating a bundle: its temperature, fusion and operating points, fitted on a run over validation cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ctcore.detection.calibration import Calibration, choose_operating_point, fit_isotonic, fit_temperature
from ctcore.detection.fusion import FusionSettings, fuse
from ctcore.detection.fusion_fit import fit_logistic, fit_mean
from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.predictions import listed, read_table
from ctcore.json_files import read_json
from pipeline.bundle import Bundle
from pipeline.create_bundle import remade
from pipeline.records import CaseRecord
from pipeline.scored import map_score

FusionFit = Literal["keep", "mean", "logistic"]
"""Which fusion the new bundle has: that of the old one, or one of the rules with constants, fitted."""

SMALLEST_PROBABILITY = 1e-12
"""Stands for a probability of 0, whose logarithm is not finite."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ValidationCases:
    """What a run said of cases whose class is known.

    Attributes:
        classes: (cases,) index of the true class.
        probabilities: (cases, classes) by the bundle that is calibrated; (cases, 0) where it has no classifier.
        detection_max: (cases,) maximum of the detection map, before candidates were weighed by the class.
        positive: (cases,) whether the class is a lesion class.
    """

    classes: npt.NDArray[np.intp]
    probabilities: Floats
    detection_max: Floats
    positive: npt.NDArray[np.bool_]


def calibrate_bundle(
    bundle: Bundle,
    run: Path,
    case_labels: Path,
    output: Path,
    *,
    fitted_on: str,
    fusion: FusionFit = "keep",
    sensitivities: Sequence[float] = (0.95,),
    specificities: Sequence[float] = (),
    overwrite: bool = False,
) -> Bundle:
    """Makes a bundle with the same weights whose temperature, fusion, isotonic curve and operating points are fitted.

    The cases must not be those that the stages were trained on, or every score will look surer than it is. Where every
    class is a lesion class no case is without, and there is nothing to fit but the temperature; without a classifier
    there is no temperature. A table of efforts, limits of quality figures and the model card's metrics are not taken
    over: they were measured with other scores.

    Args:
        bundle: the bundle that made the run.
        run: output of `pipeline run` on validation cases.
        case_labels: table `case_id,class_name` with every case of the run.
        output: the folder to make.
        fitted_on: which cases these are, for whoever reads the bundle.
        fusion: whether to keep the fusion or fit one.
        sensitivities: sensitivities to find thresholds for.
        specificities: specificities to find thresholds for.
        overwrite: whether a bundle that already lies at `output` is replaced.

    Raises:
        RequestError: the run was made by another bundle, or cannot be read; or a fusion is to be fitted, and every
            class is a lesion class, or there is no classifier.
        DatasetError: a case has no class, or the cases are not of both kinds.
    """
    manifest = bundle.manifest
    unmeasured: dict[str, Any] = {
        "efforts": (),
        "quality": None,
        "features": None,
        "card": manifest.card.model_copy(update={"metrics": None}),
    }
    all_lesions = set(manifest.lesion_classes) == set(manifest.class_names)
    if all_lesions and fusion != "keep":
        raise RequestError(
            f"fusion '{fusion}' cannot be fitted: every class of '{bundle.folder}' is a lesion class; leave it out"
        )
    if not manifest.classifier and fusion != "keep":
        raise RequestError(f"fusion '{fusion}' cannot be fitted: '{bundle.folder}' has no classifier; leave it out")
    cases = read_cases(bundle, run, case_labels)
    if not manifest.classifier:
        scores = [map_score(float(d), manifest).score for d in cases.detection_max]
        found = _calibration(scores, cases, fitted_on, sensitivities, specificities)
        return remade(bundle, output, overwrite=overwrite, calibration=found, **unmeasured)
    model = read_json(bundle.stage2 / "model.json")
    step = fit_temperature(np.log(np.maximum(cases.probabilities, SMALLEST_PROBABILITY)), cases.classes)
    probabilities = tempered(cases.probabilities, step)
    temperature = float(model.get("temperature", 1.0)) * step
    if all_lesions:
        return remade(bundle, output, overwrite=overwrite, temperature=temperature, calibration=None, **unmeasured)
    lesion = [manifest.class_names.index(name) for name in manifest.lesion_classes]
    p_lesion = np.clip(probabilities[:, lesion].sum(axis=1), 0.0, 1.0)
    settings = _fusion(manifest.fusion, fusion, p_lesion, cases)
    scores = [
        fuse(
            dict(zip(manifest.class_names, row.tolist(), strict=True)), float(d), settings, manifest.lesion_classes
        ).score
        for row, d in zip(probabilities, cases.detection_max, strict=True)
    ]
    return remade(
        bundle,
        output,
        overwrite=overwrite,
        temperature=temperature,
        fusion=settings,
        calibration=_calibration(scores, cases, fitted_on, sensitivities, specificities),
        **unmeasured,
    )


def _calibration(
    scores: Sequence[float],
    cases: ValidationCases,
    fitted_on: str,
    sensitivities: Sequence[float],
    specificities: Sequence[float],
) -> Calibration:
    """Returns what is known of scores from the cases that they are of."""
    points = [choose_operating_point(scores, cases.positive, "sensitivity", value) for value in sensitivities]
    points += [choose_operating_point(scores, cases.positive, "specificity", value) for value in specificities]
    return Calibration(
        cases=len(scores),
        positive=int(cases.positive.sum()),
        fitted_on=fitted_on,
        isotonic=fit_isotonic(scores, cases.positive),
        operating_points=tuple(points),
    )


def read_cases(bundle: Bundle, run: Path, case_labels: Path) -> ValidationCases:
    """Reads what a run of the bundle said of cases, with their classes.

    Raises:
        RequestError: the run was made by another bundle, or cannot be read.
        DatasetError: a case has no class of the bundle's.
    """
    record = read_json(run / "run.json")
    made_by = record.get("bundle", {}).get("sha256") if isinstance(record, dict) else None
    if made_by != bundle.digest:
        raise RequestError(
            f"run '{run}' was made by bundle {str(made_by)[:12]}, not by '{bundle.folder}' ({bundle.digest[:12]});"
            " run that bundle on the validation cases"
        )
    if record.get("options", {}).get("early_exit"):
        raise RequestError(f"run '{run}' was made with --early-exit, where scores are of different folds; run without")
    done = [case for case in map(_case, sorted((run / "cases").glob("*.json"))) if case.status == "done"]
    rows = read_table(case_labels, ("case_id", "class_name"))
    missing = [case.case_id for case in done if case.case_id not in rows]
    if missing:
        raise DatasetError(f"'{case_labels}' has no row for {listed(missing)}; add their class")
    names, told = bundle.manifest.class_names, bundle.manifest.probability_names
    true = [rows[case.case_id]["class_name"] for case in done]
    unknown = [(case.case_id, name) for case, name in zip(done, true, strict=True) if name not in names]
    if unknown:
        case_id, name = unknown[0]
        raise DatasetError(f"case '{case_id}' in '{case_labels}' has class '{name}'; the bundle has {', '.join(names)}")
    probabilities = np.array([[case.classes[name] for name in told] for case in done], dtype=np.float64)
    return ValidationCases(
        np.array([names.index(name) for name in true], dtype=np.intp),
        probabilities.reshape(len(done), len(told)),
        np.array([_map_maximum(case) for case in done], dtype=np.float64),
        np.array([name in bundle.manifest.lesion_classes for name in true], dtype=bool),
    )


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """Returns the softmax (cases, classes) of the logits divided by a temperature."""
    logits = np.log(np.maximum(probabilities, SMALLEST_PROBABILITY)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = powers / powers.sum(axis=1, keepdims=True)
    return result


def _fusion(old: FusionSettings, wanted: FusionFit, p_lesion: Floats, cases: ValidationCases) -> FusionSettings:
    """Returns the fusion of the new bundle."""
    if wanted == "keep":
        return old
    fit = fit_mean if wanted == "mean" else fit_logistic
    found = fit(p_lesion, np.clip(cases.detection_max, 0.0, 1.0), cases.positive)
    return found.model_copy(update={"weigh_candidates": old.weigh_candidates})


def _map_maximum(case: CaseRecord) -> float:
    """Returns the maximum of a case's detection map that its score was made of."""
    if case.fusion is None:
        raise RequestError(f"the record of case '{case.case_id}' does not say how its score was made; run it again")
    return case.fusion.terms["detection_max"]


def _case(path: Path) -> CaseRecord:
    """Reads the record of a case."""
    return CaseRecord.read(path, otherwise="run the case again")
