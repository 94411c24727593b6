"""Which cases are positive, and which class they are: from a table of case labels, or from the lesions themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.predictions import listed, read_table
from ctcore.labels import CLASS_NAMES, NON_PDAC, PDAC


@dataclass(frozen=True)
class CaseTruth:
    """The classes of a set of cases.

    Attributes:
        classes: class by case id, or None where a case is PDAC if its label holds a lesion and else non-PDAC.
        positive_classes: the classes that count as positive.
    """

    classes: Mapping[str, str] | None = None
    positive_classes: frozenset[str] = frozenset({PDAC})

    def class_of(self, case_id: str, has_lesion: bool) -> str:
        """Returns the class of a case."""
        if self.classes is None:
            return PDAC if has_lesion else NON_PDAC
        return self.classes[case_id]

    def is_positive(self, case_id: str, has_lesion: bool) -> bool:
        """Tells whether a case is positive."""
        return self.class_of(case_id, has_lesion) in self.positive_classes


def read_truth(path: Path | None, case_ids: Sequence[str], positive_classes: Collection[str] = ()) -> CaseTruth:
    """Reads a table `case_id,class_name`.

    Args:
        path: the table; None: a case is positive if its label holds a lesion.
        case_ids: the cases that it must have; others in it are not looked at.
        positive_classes: names of the classes that count as positive; needed unless all are `non-PDAC` or `PDAC`.

    Raises:
        RequestError: the table cannot be read, or it is not said which of its classes are positive.
        DatasetError: a case is missing or has no class.
    """
    if path is None:
        if positive_classes:
            raise RequestError(
                f"positive classes {sorted(positive_classes)} need a table of case labels; pass --case-labels"
            )
        return CaseTruth()
    rows = read_table(path, ("case_id", "class_name"))
    missing = [case_id for case_id in case_ids if case_id not in rows]
    if missing:
        raise DatasetError(f"'{path}' has no row for {listed(missing)}; add their class")
    classes = {case_id: rows[case_id]["class_name"] for case_id in case_ids}
    unnamed = [case_id for case_id, name in classes.items() if not name]
    if unnamed:
        raise DatasetError(f"'{path}' has no class for {listed(unnamed)}; add it")
    names = set(classes.values())
    if positive_classes:
        known = names | set(CLASS_NAMES)
        unknown = sorted(set(positive_classes) - known)
        if unknown:
            raise RequestError(f"positive class '{unknown[0]}' is none of the classes of '{path}': {sorted(names)}")
        return CaseTruth(classes, frozenset(positive_classes))
    other = next(((case_id, name) for case_id, name in classes.items() if name not in CLASS_NAMES), None)
    if other is not None:
        raise DatasetError(
            f"case '{other[0]}' in '{path}' has class '{other[1]}'; use {' or '.join(CLASS_NAMES)}, or say with"
            " --positive-class which classes are positive"
        )
    return CaseTruth(classes)
