"""Whether one result beats another on the same cases: what `pipeline compare` does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.figures import findings_of
from ctcore.evaluation.matching import MatchingRule
from ctcore.evaluation.predictions import listed
from ctcore.evaluation.statistics.bootstrap import Estimate, estimates
from ctcore.evaluation.statistics.delong import paired_test
from ctcore.evaluation.statistics.lesions import average_precision
from ctcore.evaluation.statistics.permutation import permutation_test
from ctcore.evaluation.statistics.roc import auroc
from ctcore.evaluation.statistics.statistic import difference
from ctcore.evaluation.strata import PATIENT_COLUMN, read_strata
from ctcore.evaluation.study import Progress, Study, collect
from ctcore.json_files import write_json

COMPARISON_FILE = "comparison.json"
SCHEMA_VERSION = 1
SIGNIFICANCE = 0.05
"""p value below which a difference is called one."""


@dataclass(frozen=True)
class Difference:
    """One measure of both results.

    Attributes:
        first: of A.
        second: of B.
        difference: A minus B, with the interval of the paired bootstrap.
        p_value: two-sided, of the paired test; None where the measure is undefined.
        test: its name.
    """

    first: Estimate
    second: Estimate
    difference: Estimate
    p_value: float | None
    test: str

    @property
    def verdict(self) -> str:
        """What can be said of the difference, in one sentence."""
        value, p = self.difference.value, self.p_value
        if value is None or p is None:
            return "undefined"
        if value == 0:
            return "no difference"
        better = "A" if value > 0 else "B"
        if p < SIGNIFICANCE:
            return f"{better} is better (p = {p:.3g})"
        return f"{better} is higher, but chance explains it (p = {p:.3g})"


@dataclass(frozen=True)
class Comparison:
    """Two results on the same cases.

    Attributes:
        names: folders of A and B.
        cases: number of cases.
        positive: of them, positive ones.
        auroc: of the patients.
        ap: of the lesions.
        settings: what was asked for and chosen.
        warnings: what a reader must know, one line each.
    """

    names: tuple[str, str]
    cases: int
    positive: int
    auroc: Difference
    ap: Difference
    settings: dict[str, Any]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Returns the content of `comparison.json`."""
        verdicts = {"auroc": self.auroc.verdict, "ap": self.ap.verdict}
        return {"schema_version": SCHEMA_VERSION, **asdict(self), "verdicts": verdicts}


def compare(
    first: Path,
    second: Path,
    labels: Path,
    output: Path | None = None,
    *,
    rule: MatchingRule | None = None,
    lesion_label: str | None = None,
    case_labels: Path | None = None,
    positive_classes: Collection[str] = (),
    patients: Path | None = None,
    resamples: int = 2000,
    seed: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
) -> Comparison:
    """Compares two results: paired DeLong test of the AUROC, paired permutation test of the AP, intervals of both.

    Args:
        first: predictions A; see `collect`, as for `labels`, `lesion_label`, `case_labels` and `positive_classes`.
        second: predictions B, of the same cases.
        labels: folder of label maps.
        output: folder for `comparison.json`; None: nothing is written.
        rule: what makes a hit; by default the challenge's.
        lesion_label: name or value of the lesion.
        case_labels: table of classes.
        positive_classes: which of them are positive.
        patients: CSV with case_id and patient_id; cases of a patient are drawn and swapped together.
        resamples: bootstrap replicates, and permutations.
        seed: of both.
        workers: number of processes.
        progress: called after every case of either.

    Raises:
        RequestError: an argument is wrong, or predictions and labels do not fit each other.
        DatasetError: the two are not of the same cases, or a case has no patient.
    """
    if output is not None and output.exists() and not output.is_dir():
        raise RequestError(f"output '{output}' is a file; name a folder")
    done_before = 0

    def report(done: int, cases: int) -> None:
        if progress is not None:
            progress(done_before + done, 2 * cases)

    studies = []
    for folder in (first, second):
        studies.append(
            collect(
                folder,
                labels,
                rule=rule or MatchingRule(),
                lesion_label=lesion_label,
                case_labels=case_labels,
                positive_classes=positive_classes,
                workers=workers,
                progress=report,
            )
        )
        done_before = len(studies[0].records)
    groups = None if patients is None else _patients(patients, studies[0].case_ids)
    comparison = _compared(studies[0], studies[1], (str(first), str(second)), groups, resamples, seed)
    if output is not None:
        write_json(output / COMPARISON_FILE, comparison.as_dict())
    return comparison


def _patients(path: Path, case_ids: Sequence[str]) -> list[str]:
    """Returns the patient of every case."""
    found = read_strata(path, (), case_ids).patients
    if found is None:
        raise DatasetError(f"'{path}' lacks the column '{PATIENT_COLUMN}'; add it")
    return [found[case_id] for case_id in case_ids]


def _compared(
    a: Study, b: Study, names: tuple[str, str], groups: Sequence[str] | None, resamples: int, seed: int
) -> Comparison:
    """Computes differences and tests."""
    only = sorted(set(a.case_ids) ^ set(b.case_ids))
    if only:
        raise DatasetError(f"only one of '{names[0]}' and '{names[1]}' has {listed(only)}; compare the same cases")
    positive = a.positive
    areas = auroc(a.scores, positive), auroc(b.scores, positive)
    findings = findings_of(a.records)[0], findings_of(b.records)[0]
    precisions = average_precision(findings[0]), average_precision(findings[1])
    found = estimates(
        {
            "auroc a": areas[0],
            "auroc b": areas[1],
            "auroc": difference(*areas),
            "ap a": precisions[0],
            "ap b": precisions[1],
            "ap": difference(*precisions),
        },
        positive.astype(np.int64),
        resamples,
        seed,
        groups=groups,
    )
    by_delong = paired_test(a.scores, b.scores, positive)
    joint = average_precision(findings[0].on_rank_scale().followed_by(findings[1].on_rank_scale()))
    swapped = permutation_test(joint, len(a.records), resamples, seed, groups)
    warnings = tuple(f"{name}: {text}" for name, study in zip("AB", (a, b), strict=True) for text in study.warnings)
    return Comparison(
        names=names,
        cases=len(a.records),
        positive=int(positive.sum()),
        auroc=Difference(
            found["auroc a"],
            found["auroc b"],
            found["auroc"],
            None if by_delong is None else by_delong.p,
            "paired DeLong test",
        ),
        ap=Difference(found["ap a"], found["ap b"], found["ap"], swapped.p, "paired permutation test"),
        settings={
            **a.settings,
            "score": [a.settings["score"], b.settings["score"]],
            "resamples": resamples,
            "seed": seed,
        },
        warnings=warnings,
    )
