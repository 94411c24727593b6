"""The folds of a training: nnU-Net's `splits_final.json`, made or kept."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ctcore.datasets.description import PSEUDO, Fold
from ctcore.datasets.splits import folds_of
from ctcore.errors import DatasetError
from ctcore.json_files import read_json, write_json
from ctcore.nnunet.preparation.dataset import TrainingCase
from ctcore.nnunet.workspace import Workspace

Split = dict[str, list[str]]
"""One fold as nnU-Net writes it: case ids under `train` and `val`."""

SIZES = 3
"""Strata of lesion volume: terciles of the patients with lesions."""

NO_LESION = -1
"""The stratum of patients without a lesion."""


def check_folds(cases: Sequence[TrainingCase], folds: int, given: Sequence[Fold] = ()) -> None:
    """Refuses folds that `write_splits` would refuse, before anything is known of the lesions."""
    given_folds(given, cases) if given else make_folds(cases, folds)


def write_splits(
    workspace: Workspace,
    cases: Sequence[TrainingCase],
    folds: int,
    given: Sequence[Fold] = (),
    lesion_ml: Mapping[str, float] | None = None,
) -> None:
    """Writes nnU-Net's `splits_final.json`, unless the workspace has as many folds of just these cases.

    Args:
        workspace: where to.
        cases: all cases.
        folds: folds to make where none are given.
        given: folds that come with the dataset; they replace those of the workspace.
        lesion_ml: volume of the lesions by case id, in ml; 0 where it is not given.

    Raises:
        DatasetError: a class has fewer patients than there are folds, or the given folds do not fit the cases.
    """
    path = workspace.preprocessed / "splits_final.json"
    if given:
        write_json(path, given_folds(given, cases))
    elif not _are_folds_of(path, cases, folds):
        write_json(path, make_folds(cases, folds, lesion_ml))


def make_folds(cases: Sequence[TrainingCase], folds: int, lesion_ml: Mapping[str, float] | None = None) -> list[Split]:
    """Returns `folds` folds, stratified by class and lesion size, grouped by patient, the same for the same cases.

    The patients are dealt out one after the other, sorted by class and within it by size: of any class, and of any
    size within a class, no fold validates on more than one patient more than another. A patient whose studies have
    several classes counts under the rarest of them, and by the study with the largest lesions. Cases with
    pseudo-labels are only ever trained on.

    Args:
        cases: all cases.
        folds: how many.
        lesion_ml: volume of the lesions by case id, in ml; 0 where it is not given.

    Raises:
        DatasetError: a class has fewer patients than there are folds, or a fold would validate on none of it.
    """
    manual = [case for case in cases if case.label_source != PSEUDO]
    frequency = Counter(case.class_name or "" for case in manual)
    studies: dict[str, list[TrainingCase]] = defaultdict(list)
    for case in manual:
        studies[case.patient].append(case)
    sizes = _sizes(studies, lesion_ml or {})
    strata: dict[tuple[str, int], list[str]] = defaultdict(list)
    for patient in sorted(studies):
        names = {case.class_name or "" for case in studies[patient]}
        strata[min(names, key=lambda name: (frequency[name], name)), sizes[patient]].append(patient)
    counts = Counter(name for each in studies.values() for name in {case.class_name or "" for case in each})
    named = [count for name, count in counts.items() if name] or list(counts.values())  # no class is not a class
    if folds < 2 or min(named, default=0) < folds:
        raise DatasetError(f"{folds} folds cannot be made of classes with {dict(counts)} patients; ask for fewer")
    generator = np.random.default_rng(0)
    dealt = [
        strata[stratum][index] for stratum in sorted(strata) for index in generator.permutation(len(strata[stratum]))
    ]
    fold_of = {patient: position % folds for position, patient in enumerate(dealt)}
    splits: list[Split] = [
        {
            "train": sorted(case.case_id for case in manual if fold_of[case.patient] != fold),
            "val": sorted(case.case_id for case in manual if fold_of[case.patient] == fold),
        }
        for fold in range(folds)
    ]
    class_of = {case.case_id: case.class_name for case in manual if case.class_name}
    for fold, split in enumerate(splits):  # patients of several classes count under one of them alone
        if lacking := set(class_of.values()) - {class_of.get(case_id) for case_id in split["val"]}:
            reason = f"fold {fold} would validate on no '{min(lacking)}'"
            raise DatasetError(f"{folds} folds cannot be made of these patients: {reason}; ask for fewer")
    return _with_pseudo_labels(splits, cases)


def _sizes(studies: Mapping[str, Sequence[TrainingCase]], lesion_ml: Mapping[str, float]) -> dict[str, int]:
    """Returns each patient's tercile of lesion volume, 0 to 2, or `NO_LESION`."""
    volumes = {
        patient: max(lesion_ml.get(case.case_id, 0.0) for case in its_studies)
        for patient, its_studies in studies.items()
    }
    ranked = sorted((patient for patient in volumes if volumes[patient] > 0), key=lambda name: (volumes[name], name))
    terciles = {patient: rank * SIZES // len(ranked) for rank, patient in enumerate(ranked)}
    return {patient: terciles.get(patient, NO_LESION) for patient in studies}


def given_folds(given: Sequence[Fold], cases: Sequence[TrainingCase]) -> list[Split]:
    """Returns given folds for the cases that there are; those with pseudo-labels need not be in them.

    Raises:
        DatasetError: they do not fit.
    """
    manual = {case.case_id: case.patient for case in cases if case.label_source != PSEUDO}
    return _with_pseudo_labels(folds_of(given, manual), cases)


def _with_pseudo_labels(splits: Sequence[Split], cases: Sequence[TrainingCase]) -> list[Split]:
    """Adds the cases with pseudo-labels to every training part, but where the fold validates on their patient."""
    patients = {case.case_id: case.patient for case in cases}
    pseudo = [case for case in cases if case.label_source == PSEUDO]
    result: list[Split] = []
    for split in splits:
        validated = {patients[case_id] for case_id in split["val"]}
        added = [case.case_id for case in pseudo if case.patient not in validated]
        result.append({"train": sorted([*split["train"], *added]), "val": split["val"]})
    return result


def _are_folds_of(path: Path, cases: Sequence[TrainingCase], folds: int) -> bool:
    """Tells whether a file holds so many folds of just these cases, with patients and pseudo-labels in their place."""
    splits = read_json(path) if path.is_file() else []
    manual = sorted(case.case_id for case in cases if case.label_source != PSEUDO)
    if len(splits) != folds or sorted(case_id for split in splits for case_id in split["val"]) != manual:
        return False
    known = set(manual)
    bare = [
        {"train": [case_id for case_id in split["train"] if case_id in known], "val": split["val"]} for split in splits
    ]
    patients = {case.case_id: case.patient for case in cases}
    whole = all(
        sorted([*split["train"], *split["val"]]) == manual
        and {patients[case_id] for case_id in split["train"]}.isdisjoint(patients[case_id] for case_id in split["val"])
        for split in bare
    )
    return whole and splits == _with_pseudo_labels(bare, cases)
