"""Everything the doctor found, as `doctor.json` and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ctcore.datasets.doctor.finding import Finding

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA_VERSION = 1
DOCTOR_FILE = "doctor.json"


@dataclass(frozen=True)
class Diagnosis:
    """Everything the doctor found.

    Attributes:
        examined: number of cases.
        cases: findings by case id, of cases that have any; sorted, faults first.
        dataset: findings of the datasets as a whole.
        rows_without_image: rows of tables of classes that no image belongs to.
        labels_without_image: label maps that no image belongs to.
    """

    examined: int
    cases: Mapping[str, tuple[Finding, ...]]
    dataset: tuple[Finding, ...] = ()
    rows_without_image: int = 0
    labels_without_image: int = 0

    @property
    def faulty(self) -> frozenset[str]:
        """Cases that a person has to decide about."""
        return frozenset(case_id for case_id, found in self.cases.items() if any(finding.fault for finding in found))

    @property
    def dataset_faulty(self) -> bool:
        """Whether a person has to decide about a dataset as a whole."""
        return any(finding.fault for finding in self.dataset)

    def to_json(self) -> dict[str, Any]:
        """Returns the content of `doctor.json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "examined": self.examined,
            "needs_a_person": bool(self.faulty) or self.dataset_faulty,
            "cases": {case_id: [_entry(finding) for finding in found] for case_id, found in self.cases.items()},
            "dataset": [_entry(finding) for finding in self.dataset],
            "rows_without_image": self.rows_without_image,
            "labels_without_image": self.labels_without_image,
        }

    def table(self) -> Table | None:
        """Returns a table of the findings, faults first, or None if there are none."""
        from rich.table import Table
        from rich.text import Text

        if not self.cases and not self.dataset:
            return None
        table = Table("case", "finding", "what", title="Findings")
        groups = [("(dataset)", self.dataset), *self.cases.items()]
        for fault in (True, False):
            for name, found in groups:
                for finding in found:
                    if finding.fault == fault:
                        style = "red" if fault else "yellow"
                        table.add_row(Text(name), Text(finding.code, style), Text(finding.message))
        return table

    def summary(self) -> Iterator[str]:
        """Yields the lines below the table."""
        notes = len(self.cases) - len(self.faulty)
        yield f"{self.examined} cases examined: {len(self.faulty)} need a person, {notes} more have notes"
        if self.rows_without_image:
            yield f"{self.rows_without_image} rows of the table of classes have no image"
        if self.labels_without_image:
            yield f"{self.labels_without_image} label maps have no image"


def _entry(finding: Finding) -> dict[str, Any]:
    return {"code": str(finding.code), "message": finding.message, "severity": "fault" if finding.fault else "note"}
