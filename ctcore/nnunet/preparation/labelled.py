"""Cases with label maps that a stage is measured on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ctcore.datasets.description import Dataset
from ctcore.errors import DatasetError
from ctcore.nnunet.preparation.dataset import TrainingCase


def labelled_cases(dataset: Dataset) -> list[TrainingCase]:
    """Returns the cases of a dataset that have a label map.

    Raises:
        DatasetError: there are none, or two share an id.
    """
    cases = [TrainingCase.of(dataset, case, case.label) for case in dataset.cases if case.label is not None]
    return checked_cases(cases, f"'{dataset.folder}'")


def checked_cases(cases: Sequence[TrainingCase], origin: str) -> list[TrainingCase]:
    """Returns the cases, if there are some and each has an id of its own.

    Args:
        cases: the cases with label maps.
        origin: where they come from, for messages.

    Raises:
        DatasetError: there are none, or two share an id.
    """
    if not cases:
        raise DatasetError(f"no CT of {origin} has a label map; file names must agree (CASE_0000.nii.gz, CASE.nii.gz)")
    case_id, times = Counter(case.case_id for case in cases).most_common(1)[0]
    if times > 1:
        raise DatasetError(f"{origin} holds case '{case_id}' {times} times; rename them")
    return list(cases)
