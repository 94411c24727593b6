"""Which stack of each study is computed, and why not the others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ctcore.dicom.grid import ordered_grid
from ctcore.dicom.header import Header
from ctcore.dicom.stack import Stack
from ctcore.dicom.suitability import check_values, is_original, why_not_ct
from ctcore.errors import CaseError
from ctcore.volume import Geometry

DIGITS = 12
"""Hexadecimal digits of a digest that stands for a UID."""

Verdict = Literal["chosen", "faulty", "refused"]


@dataclass(frozen=True)
class DicomSeries:
    """A stack of slices, judged.

    Attributes:
        slices: in the order of their places where they make a grid.
        geometry: that grid, (slice, row, column); None where there is a fault.
        fault: why they make no CT, though they were meant to.
        verdict: `chosen` and `faulty` series are cases, the latter such that fail; `refused` ones are none.
        reason: why, in a few words.
        part: which of the series' stacks this is, from 1.
        parts: how many there are.
    """

    slices: tuple[Header, ...]
    geometry: Geometry | None
    fault: CaseError | None
    verdict: Verdict
    reason: str
    part: int = 1
    parts: int = 1

    @property
    def first(self) -> Header:
        """One slice, for what all have in common."""
        return self.slices[0]

    @property
    def digest(self) -> str:
        """What stands for the series where its UIDs, which lead to the patient, should not."""
        return digest_of(self.first.study, self.first.series)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all its slices as stored."""
        return sum(header.source.size for header in self.slices)

    @property
    def modified_ns(self) -> int:
        """When the last of its slices was changed, in nanoseconds since 1970."""
        return max(header.source.modified_ns for header in self.slices)


def digest_of(*uids: str) -> str:
    """Returns a short digest (hexadecimal) of UIDs: always the same, and no way back but by trying UIDs one knows."""
    return hashlib.sha256("\n".join(uids).encode()).hexdigest()[:DIGITS]


def judge(stacks: Iterable[Stack]) -> list[DicomSeries]:
    """Judges every stack, in the given order; of each study (of a patient) one at most is a case.

    That is, of the axial CT stacks of enough slices that make a grid, an original one before a derived one, then the
    one of most slices, then the thinnest, then the lowest series number. Where none makes a grid, the one of most
    slices is a case that fails with its fault.
    """
    judged = [_alone(stack) for stack in stacks]
    studies: dict[tuple[str, str], list[int]] = {}
    for index, (_, one) in enumerate(judged):
        study = one.first.study or one.first.series  # without a study, each series is one
        studies.setdefault((one.first.patient, study), []).append(index)
    result = [one for _, one in judged]
    for indices in studies.values():
        usable = [i for i in indices if result[i].verdict != "refused"]
        if not usable:
            continue
        best = min(usable, key=lambda i: _rank(*judged[i]))
        for i in usable:
            if i != best:
                result[i] = _passed_over(*judged[i], judged[best])
    return result


def _alone(stack: Stack) -> tuple[Stack, DicomSeries]:
    """Judges a stack by itself."""

    def series(
        slices: tuple[Header, ...], geometry: Geometry | None, fault: CaseError | None, verdict: Verdict, reason: str
    ) -> tuple[Stack, DicomSeries]:
        copies = f"; {stack.copies} copies of slices left out" if stack.copies else ""
        return stack, DicomSeries(slices, geometry, fault, verdict, reason + copies, stack.part, stack.parts)

    why_not = why_not_ct(stack)
    if why_not is not None:
        return series(stack.slices, None, None, "refused", why_not)
    try:
        check_values(stack)
        ordered, geometry = ordered_grid(stack.slices)
    except CaseError as error:
        return series(stack.slices, None, error, "faulty", str(error))
    kind = "original" if is_original(stack) else "derived, no original one"
    return series(ordered, geometry, None, "chosen", f"axial CT, {kind}, most slices")


def _rank(stack: Stack, series: DicomSeries) -> tuple[bool, bool, int, float, float, str, int]:
    """Returns what orders the stacks of a study; the lowest is chosen."""
    thickness = series.geometry.spacing[2] if series.geometry is not None else 0.0
    number = stack.first.number if stack.first.number is not None else float("inf")
    faulty = series.verdict == "faulty"
    return faulty, not is_original(stack), -len(stack.slices), thickness, number, stack.first.series, stack.part


def _passed_over(stack: Stack, series: DicomSeries, best: tuple[Stack, DicomSeries]) -> DicomSeries:
    """Returns a stack of whose study another one is the case."""
    if series.fault is not None:
        reason = series.reason
    elif is_original(best[0]) and not is_original(stack):
        reason = "derived; the study has an original series"
    elif len(best[0].slices) > len(stack.slices):
        reason = f"{len(stack.slices)} slices; another series of the study has {len(best[0].slices)}"
    else:
        reason = "as many slices as another series of the study, which is thinner or comes first"
    return DicomSeries(series.slices, series.geometry, series.fault, "refused", reason, series.part, series.parts)
