"""A folder of CTs, one after the other, to label maps on their own grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy.typing as npt

from ctcore.cts import read_case
from ctcore.errors import CaseError, first_line
from ctcore.files import CaseFile, write
from ctcore.geometry import Reorientation, as_stored, to_lps
from ctcore.volume import Volume

Answer: TypeAlias = Callable[[str, Volume, Reorientation], npt.NDArray[Any]]
"""From a case's id, its CT (z, y, x; HU) as the network takes it and the way back to that CT's label map."""


def write_label_maps(
    cases: Sequence[CaseFile],
    output: Path,
    answer: Answer,
    *,
    turn: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Writes `CASE.nii.gz` for every CT; one that cannot be used does not stop the others.

    Args:
        cases: the CTs.
        output: a folder that is the caller's alone.
        answer: gives the label map of a case.
        turn: whether the network takes CTs in LPS; else as they are stored.
        progress: called with cases done and in all.

    Returns:
        The reasons of the cases that failed, by case id.
    """
    failed: dict[str, str] = {}
    for done, case in enumerate(cases, start=1):
        try:
            stored = read_case(case)
            ct, reorientation = to_lps(stored) if turn else as_stored(stored)
            labels = reorientation.restore(answer(case.case_id, ct, reorientation))
            write(stored.with_array(labels), output / f"{case.case_id}.nii.gz")
        except CaseError as error:
            failed[case.case_id] = first_line(error)
        if progress:
            progress(done, len(cases))
    return failed
