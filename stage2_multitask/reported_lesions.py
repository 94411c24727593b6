"""How many lesions the report of a case counts, and whether its label map shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ctcore.datasets.description import PSEUDO, TEST, Dataset, DatasetCase
from ctcore.errors import CaseError, LabelError, first_line
from ctcore.nnunet.preparation.dataset import TrainingCase, lesion_ml_of


@dataclass(frozen=True)
class ReportedCase:
    """A case with the number of its lesions.

    Attributes:
        case: the case.
        class_name: its class.
        lesions: how many lesions its report counts.
        lesion_ml: volume of the lesions in its label map in ml; 0 without one.
        weak: whether it lacks a label map, or lesions in it.
    """

    case: DatasetCase
    class_name: str
    lesions: int
    lesion_ml: float
    weak: bool

    def to_train_on(self, labels: Mapping[str, int], *, pseudo: bool) -> TrainingCase:
        """Returns it as a case to train on; its files are those of the dataset."""
        case = self.case
        return TrainingCase(
            case.case_id,
            case.image,
            case.label or case.image,
            self.class_name,
            labels,
            case.patient_id,
            label_source=PSEUDO if pseudo else case.label_source,
        )


def reported_cases(dataset: Dataset) -> Iterator[tuple[DatasetCase, ReportedCase | str]]:
    """Yields every case but those of the test split with its report, or with the reason why it cannot be used.

    The label maps of cases with lesions are read; of the others it is enough that they are there.
    """
    for case in dataset.cases:
        if case.split == TEST:
            continue
        try:
            yield case, _reported(case, dataset)
        except CaseError as error:
            yield case, first_line(error)


def _reported(case: DatasetCase, dataset: Dataset) -> ReportedCase:
    if case.class_name is None:
        raise LabelError(f"it has no class in '{dataset.class_origin}'; add its row")
    lesions = lesions_reported(case, dataset.lesion_expected)
    if case.label is None:
        return ReportedCase(case, case.class_name, lesions, 0.0, weak=True)
    if not lesions:
        return ReportedCase(case, case.class_name, 0, 0.0, weak=False)
    drawn = ReportedCase(case, case.class_name, lesions, 0.0, weak=False).to_train_on(dataset.labels, pseudo=False)
    volume_ml = lesion_ml_of(drawn)
    return ReportedCase(case, case.class_name, lesions, volume_ml, weak=not volume_ml)


def lesions_reported(case: DatasetCase, lesion_expected: Mapping[str, bool]) -> int:
    """Returns how many lesions a case has: what its report counts, else one if its class has lesions, else none.

    Args:
        case: the case; it has a class.
        lesion_expected: for each class of which it is known, whether its cases have lesions.

    Raises:
        LabelError: class and count contradict each other, or neither says anything.
    """
    expected = lesion_expected.get(case.class_name or "")
    if case.lesion_count is None:
        if expected is None:
            raise LabelError(f"class '{case.class_name}' does not say whether there are lesions; add a lesion_count")
        return int(expected)
    if expected is not None and expected != (case.lesion_count > 0):
        raise LabelError(
            f"class '{case.class_name}', but a lesion_count of {case.lesion_count}; correct one of the two"
        )
    return case.lesion_count
