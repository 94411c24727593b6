"""Divisions into folds that come with a dataset, and what of them the cases on disk allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ctcore.datasets.description import Fold
from ctcore.errors import DatasetError
from ctcore.json_files import read_json


def read_splits(path: Path) -> tuple[Fold, ...]:
    """Reads nnU-Net's `splits_final.json` or the official folds of PANORAMA.

    nnU-Net's is a list of `{"train": [ids], "val": [ids]}`. PANORAMA's is `{"Fold 0 validation": [ids], ...}`: all
    other cases are for training.

    Raises:
        RequestError: the file is missing or is not JSON.
        DatasetError: it is neither of the two, or holds no fold.
    """
    document = read_json(path)
    if isinstance(document, dict) and document and all(_is_ids(ids) for ids in document.values()):
        return tuple(Fold(None, tuple(ids)) for ids in document.values())
    if isinstance(document, list) and document and all(_is_pair(fold) for fold in document):
        return tuple(Fold(tuple(fold["train"]), tuple(fold["val"])) for fold in document)
    raise DatasetError(
        f"'{path}' holds no folds; give nnU-Net's list of {{\"train\": [ids], \"val\": [ids]}} or PANORAMA's"
        ' {"Fold 0 validation": [ids]}'
    )


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, dict) and {"train", "val"} <= value.keys() and all(_is_ids(ids) for ids in value.values())


def folds_of(folds: Sequence[Fold], patients: Mapping[str, str]) -> list[dict[str, list[str]]]:
    """Returns given folds as nnU-Net's list, for the cases on disk.

    Cases that are not on disk are left out. A study whose patient is validated on is not trained on, also where the
    given folds have it so: 11 patients of PANORAMA have studies in several of its official folds.

    Args:
        folds: the given folds.
        patients: patient by case id, of all cases on disk.

    Raises:
        DatasetError: a case is in no fold, trained and validated on in one, validated on in two of PANORAMA's folds, or
            a fold keeps no case for training or for validation.
    """
    problem = next(iter(split_faults(folds).items()), None)
    if problem is not None:
        raise DatasetError(f"case '{problem[0]}' {problem[1]}; correct the splits")
    result = []
    for number, fold in enumerate(folds):
        validation = sorted(set(fold.validation) & patients.keys())
        validated = {patients[case_id] for case_id in validation}
        candidates: Iterable[str] = patients if fold.train is None else set(fold.train) & patients.keys()
        train = sorted(case_id for case_id in candidates if patients[case_id] not in validated)
        if not train or not validation:
            raise DatasetError(
                f"fold {number} keeps {len(train)} cases to train and {len(validation)} to validate on; give other"
                " splits or more of their cases"
            )
        result.append({"train": train, "val": validation})
    known = {case_id for fold in folds for case_id in (*(fold.train or ()), *fold.validation)}
    unknown = sorted(patients.keys() - known)
    if unknown:
        raise DatasetError(f"case '{unknown[0]}' (one of {len(unknown)}) is in no fold; add it or leave it out")
    return result


def split_faults(folds: Sequence[Fold]) -> dict[str, str]:
    """Returns, by case id, what is contradictory about a case's place in the folds."""
    faults: dict[str, str] = {}
    validated: dict[str, int] = {}
    for number, fold in enumerate(folds):
        for case_id in sorted(set(fold.train or ()) & set(fold.validation)):
            faults[case_id] = f"is in training and validation of fold {number}"
        if fold.train is None:
            for case_id in sorted(set(fold.validation)):
                if validated.setdefault(case_id, number) != number:
                    faults[case_id] = f"is in validation of folds {validated[case_id]} and {number}"
    return faults


def left_out_of_training(folds: Sequence[Fold], patients: Mapping[str, str]) -> dict[str, list[int]]:
    """Returns, by case id, the folds that do not train on a case because they validate on its patient's other study."""
    result: dict[str, list[int]] = {}
    for number, fold in enumerate(folds):
        validated = {patients[case_id] for case_id in fold.validation if case_id in patients}
        candidates = patients if fold.train is None else set(fold.train) & patients.keys()
        for case_id in candidates:
            if patients[case_id] in validated and case_id not in fold.validation:
                result.setdefault(case_id, []).append(number)
    return dict(sorted(result.items()))
