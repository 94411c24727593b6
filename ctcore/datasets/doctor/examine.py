"""Examining datasets: every case's files over processes, then what the cases say of one another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

from ctcore.datasets.description import TEST, Dataset
from ctcore.datasets.doctor.compare import compare_cases, compare_classes, duplicates
from ctcore.datasets.doctor.diagnosis import Diagnosis
from ctcore.datasets.doctor.finding import Finding
from ctcore.datasets.doctor.inspect import Order, inspect
from ctcore.datasets.label_names import project_name
from ctcore.datasets.parallel import over_cases


def examine(
    datasets: Sequence[Dataset],
    *,
    folds: int = 5,
    class_names: Collection[str] | None = None,
    label_names: Collection[str] | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Diagnosis:
    """Examines datasets that are to be prepared together.

    Args:
        datasets: what was read of them; images are opened here, one a process.
        folds: folds to make where none are given.
        class_names: the classes that cases must have one of; None: classes are not needed.
        label_names: names of the labels that label maps may hold; None: those of their own dataset.
        workers: processes.
        progress: called with cases done and in all.
    """
    found: dict[str, list[Finding]] = defaultdict(list)
    for dataset in datasets:
        for case_id, finding in compare_cases(dataset, class_names):
            found[case_id].append(finding)
    allowed = None if label_names is None else {project_name(name) for name in label_names}
    orders = [
        Order(
            case,
            {name: value for name, value in dataset.labels.items() if allowed is None or name in allowed},
            dict(dataset.lesion_expected),
        )
        for dataset in datasets
        for case in dataset.cases
    ]
    contents: list[tuple[bool, str, str]] = []
    for order, inspection in over_cases(orders, inspect, workers=workers, progress=progress):
        found[order.case.case_id] += inspection.findings
        if inspection.content is not None:
            contents.append((order.case.split == TEST, order.case.case_id, inspection.content))
    for case_id, finding in duplicates((case_id, content) for _, case_id, content in sorted(contents)):
        found[case_id].append(finding)
    return Diagnosis(
        len(orders),
        {case_id: tuple(sorted(found[case_id], key=_rank)) for case_id in sorted(found) if found[case_id]},
        tuple(compare_classes(datasets, class_names, folds)),
        sum(dataset.rows_without_image for dataset in datasets),
        sum(dataset.labels_without_image for dataset in datasets),
    )


def _rank(finding: Finding) -> tuple[bool, str, str]:
    return not finding.fault, finding.code, finding.message
