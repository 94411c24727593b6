"""What cases say of one another: the part of the doctor that needs the whole dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from ctcore.datasets.description import PSEUDO, TEST, Dataset, DatasetCase
from ctcore.datasets.doctor.finding import Code, Finding
from ctcore.datasets.label_names import PANCREAS_PARTS, values_of
from ctcore.datasets.splits import folds_of, left_out_of_training, split_faults
from ctcore.errors import DatasetError, first_line

CaseFinding = tuple[str, Finding]
"""A case id and what was found of it."""


def compare_cases(dataset: Dataset, class_names: Collection[str] | None) -> Iterator[CaseFinding]:
    """Yields what the description of a dataset alone says of its cases.

    Args:
        dataset: the dataset.
        class_names: the classes that cases must have one of; None: classes are not needed.
    """
    places: dict[str, list[DatasetCase]] = defaultdict(list)
    for case in dataset.cases:
        places[case.case_id].append(case)
        if case.split != TEST:
            yield from ((case.case_id, finding) for finding in _completeness(dataset, case, class_names))
    for case_id, cases in places.items():
        if len(cases) > 1:
            listed = " and ".join(f"'{case.image.relative_to(dataset.folder)}'" for case in cases)
            yield case_id, Finding(Code.TWO_SPLITS, f"it is {listed}; rename or remove one")
    for case_id, reason in split_faults(dataset.folds).items():
        yield case_id, Finding(Code.TWO_SPLITS, f"it {reason}; correct the splits")
    patients = {case.case_id: case.patient_id for case in dataset.cases if case.split != TEST}
    for case_id, folds in left_out_of_training(dataset.folds, patients).items():
        yield (
            case_id,
            Finding(
                Code.PATIENT_IN_TWO_SPLITS,
                f"folds {folds} validate on another study of patient '{patients[case_id]}', so do not train on it",
                fault=False,
            ),
        )


def _completeness(dataset: Dataset, case: DatasetCase, class_names: Collection[str] | None) -> Iterator[Finding]:
    if case.label is None:
        yield Finding(Code.MISSING_LABEL, f"'{case.image.name}' has no label map; add it or leave the case out")
    if not dataset.has_classes:
        return
    needed = class_names is not None
    if case.class_name is None:
        yield Finding(Code.MISSING_CLASS, f"no class in {dataset.class_origin}; add it", fault=needed)
    elif class_names is not None and case.class_name not in class_names:
        yield Finding(
            Code.UNKNOWN_CLASS, f"class '{case.class_name}' is none of the recipe's: {', '.join(class_names)}"
        )


def duplicates(contents: Iterable[tuple[str, str]]) -> Iterator[CaseFinding]:
    """Yields the cases whose image holds the same voxels as that of a case before them, which can stay.

    Args:
        contents: case id and hash of every readable image, those to keep first.
    """
    first: dict[str, str] = {}
    for case_id, content in contents:
        other = first.setdefault(content, case_id)
        if other != case_id:
            yield case_id, Finding(Code.DUPLICATE_IMAGE, f"same voxels as case '{other}'; keep one")


def compare_classes(datasets: Sequence[Dataset], class_names: Collection[str] | None, folds: int) -> Iterator[Finding]:
    """Yields what is wrong with the datasets as a whole.

    Args:
        datasets: all that will be prepared together.
        class_names: the classes that cases must have one of; None: classes are not needed.
        folds: folds to make where none are given.
    """
    needed = class_names is not None
    for dataset in datasets:
        if not dataset.has_classes:
            yield Finding(
                Code.NO_CLASSES, f"'{dataset.folder}' gives no classes; add {dataset.class_origin}", fault=needed
            )
        if not values_of(dataset.labels, PANCREAS_PARTS):
            yield Finding(
                Code.LABEL_NAMES,
                f"no label of '{dataset.folder}' is pancreas or lesion: {', '.join(dataset.labels)}; rename them",
            )
        yield from _folds(dataset)
    cases = [case for dataset in datasets for case in _trainable(dataset)]
    strata = patients_by_class(cases)
    validated = patients_by_class([case for case in cases if case.label_source != PSEUDO])
    if len(strata) == 1 and None not in strata:
        yield Finding(Code.ONE_CLASS, f"every case is '{next(iter(strata))}'; add cases of another class", fault=needed)
    if any(dataset.folds for dataset in datasets):
        return
    for name in strata:
        patients = validated.get(name, set())
        if len(patients) < folds:
            yield Finding(
                Code.TOO_FEW_CASES,
                f"too few patients{f' of class {name!r}' if name else ''} for {folds} folds: {len(patients)};"
                " ask for fewer with --folds",
            )


def _trainable(dataset: Dataset) -> list[DatasetCase]:
    return [case for case in dataset.cases if case.split != TEST and case.label is not None]


def _folds(dataset: Dataset) -> Iterator[Finding]:
    """Yields why given folds cannot be kept, where that is not the fault of single cases."""
    if not dataset.folds or split_faults(dataset.folds):
        return
    try:
        manual = [case for case in _trainable(dataset) if case.label_source != PSEUDO]
        folds_of(dataset.folds, {case.case_id: case.patient_id for case in manual})
    except DatasetError as error:
        yield Finding(Code.UNUSABLE_SPLITS, first_line(error))


def patients_by_class(cases: Sequence[DatasetCase]) -> Mapping[str | None, set[str]]:
    """Returns the patients of each class; None stands for cases without one."""
    strata: dict[str | None, set[str]] = defaultdict(set)
    for case in cases:
        strata[case.class_name].add(case.patient_id)
    return strata
