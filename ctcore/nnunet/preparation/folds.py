"""The folds of a training: nnU-Net's `splits_final.json`, made or kept."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from ctcore.datasets.description import Fold
from ctcore.datasets.splits import folds_of
from ctcore.errors import DatasetError
from ctcore.files import write_json
from ctcore.nnunet.preparation.dataset import TrainingCase
from ctcore.nnunet.workspace import Workspace

Split = dict[str, list[str]]
"""One fold as nnU-Net writes it: case ids under `train` and `val`."""


def write_splits(workspace: Workspace, cases: Sequence[TrainingCase], folds: int, given: Sequence[Fold] = ()) -> None:
    """Writes nnU-Net's `splits_final.json`.

    Args:
        workspace: where to.
        cases: all cases.
        folds: folds to make where none are given.
        given: folds that come with the dataset.

    Raises:
        DatasetError: a class has fewer patients than there are folds, or the given folds do not fit the cases.
    """
    kept = {case.case_id: case.patient for case in cases}
    splits = folds_of(given, kept) if given else make_folds(cases, folds)
    write_json(workspace.preprocessed / "splits_final.json", splits)


def make_folds(cases: Sequence[TrainingCase], folds: int) -> list[Split]:
    """Returns `folds` folds, stratified by class and grouped by patient, the same for the same cases.

    A patient whose studies have several classes counts under the rarest of them.

    Raises:
        DatasetError: a class has fewer patients than there are folds.
    """
    frequency = Counter(case.class_name or "" for case in cases)
    studies: dict[str, list[TrainingCase]] = defaultdict(list)
    for case in cases:
        studies[case.patient].append(case)
    members: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(studies):
        names = {case.class_name or "" for case in studies[patient]}
        members[min(names, key=lambda name: (frequency[name], name))].append(patient)
    counts = {name: len(patients) for name, patients in members.items()}
    if folds < 2 or min(counts.values()) < folds:
        raise DatasetError(f"{folds} folds cannot be made of classes with {counts} patients; ask for fewer")
    fold_of: dict[str, int] = {}
    generator = np.random.default_rng(0)
    for name in sorted(members):
        for position, index in enumerate(generator.permutation(counts[name])):
            for case in studies[members[name][index]]:
                fold_of[case.case_id] = position % folds
    return [
        {
            "train": sorted(case_id for case_id, number in fold_of.items() if number != fold),
            "val": sorted(case_id for case_id, number in fold_of.items() if number == fold),
        }
        for fold in range(folds)
    ]
