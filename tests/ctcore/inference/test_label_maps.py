"""Label maps of a folder of CTs: on their own grids, each case by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.cts import find_cts
from ctcore.errors import CaseError
from ctcore.files import read, write
from ctcore.geometry import Reorientation
from ctcore.inference.label_maps import write_label_maps
from ctcore.volume import Geometry, Volume

TO_THE_RIGHT = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
ARRAY = 100 * (np.arange(24, dtype=np.int16).reshape(2, 3, 4) - 11)


@pytest.fixture
def cts(tmp_path: Path) -> Path:
    geometry = Geometry(ARRAY.shape, (1.0, 1.0, 1.0), direction=TO_THE_RIGHT)
    for name in ("a", "b"):
        write(Volume(ARRAY, geometry), tmp_path / "cts" / f"{name}.nii.gz")
    return tmp_path / "cts"


@pytest.mark.parametrize("turn", [True, False])
def test_as_the_network_takes_them_and_back(cts: Path, tmp_path: Path, turn: bool) -> None:
    seen: list[npt.NDArray[Any]] = []

    def answer(_case_id: str, ct: Volume, _way_back: Reorientation) -> npt.NDArray[Any]:
        seen.append(ct.array)
        return (ct.array > 0).astype(np.uint8)

    reports: list[tuple[int, int]] = []
    cases = find_cts(cts).cases
    assert not write_label_maps(cases, tmp_path, answer, turn=turn, progress=lambda *report: reports.append(report))
    np.testing.assert_array_equal(seen[0], ARRAY[:, :, ::-1] if turn else ARRAY)
    np.testing.assert_array_equal(read(tmp_path / "b.nii.gz").array, ARRAY > 0)
    assert reports == [(1, 2), (2, 2)]


def test_a_case_that_fails_is_told_and_leaves_nothing(cts: Path, tmp_path: Path) -> None:
    def answer(case_id: str, ct: Volume, _way_back: Reorientation) -> npt.NDArray[Any]:
        if case_id == "a":
            raise CaseError("case 'a': nothing to see\nin detail")
        return (ct.array > 0).astype(np.uint8)

    failed = write_label_maps(find_cts(cts).cases, tmp_path, answer)
    assert failed == {"a": "case 'a': nothing to see"}
    assert [path.name for path in tmp_path.glob("*.nii.gz")] == ["b.nii.gz"]
