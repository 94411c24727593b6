"""The benchmark of shapes: two phantoms, and its arithmetic by hand."""

import json

import pytest

from benchmarks import morphometry
from benchmarks.morphometry import Difference


def test_two_phantoms(capsys: pytest.CaptureFixture[str]) -> None:
    morphometry.main(["--cases", "1", "--contacts", "2"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["cases"] == 1
    assert figures["lesions in the right part"] in (0.0, 1.0)
    assert abs(figures["contact, mean error (degrees)"]) < 20
    assert figures["volume, 95th percentile of the relative error"] < 0.05


def test_the_summary() -> None:
    right = Difference(True, False, 2.0, 3.0, 0.5, -1.0, 0.02, 0.0, 2.0)
    wrong = Difference(False, False, 1.0, None, None, 1.0, 0.04, 4.0, 2.0)
    nothing = Difference(None, None, 1.0, None, None, None, None, None, 2.0)
    figures, bounds = morphometry.summary([right, wrong, nothing], [3.0, -5.0])
    assert figures["lesions in the right part"] == 0.5
    assert figures["of those more than 5 mm from a border"] is None
    assert figures["confluence found"] == pytest.approx(1 / 3)
    assert figures["duct, largest calibre, median error (voxel diagonals)"] == 0.25
    assert figures["bile duct, largest calibre, median error (voxel diagonals)"] == 0.5
    assert figures["contact, mean error (degrees)"] == -1.0
    assert [(bound.part, bound.reached) for bound in bounds] == [
        ("location", False),
        ("calibre", True),
        ("calibre", True),
        ("diameter", False),  # 95th percentile of 0 and 2 diagonals
        ("volume", True),
        ("contact", True),
    ]
