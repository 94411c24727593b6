"""One result against another, from files to a verdict."""

import json
from pathlib import Path

import numpy as np
import pytest

from ctcore import files
from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.compare import Difference, compare
from ctcore.evaluation.statistics.bootstrap import Estimate
from ctcore.volume import Geometry, Volume

SHAPE = (2, 4, 12)
GEOMETRY = Geometry(SHAPE, (1.0, 1.0, 1.0))
CASES = 24


def write_study(folder: Path, confidences: list[float], on_lesion: list[bool]) -> None:
    """Maps with one candidate a case, on the lesion's place or beside it."""
    for index, (confidence, hit) in enumerate(zip(confidences, on_lesion, strict=True)):
        array = np.zeros(SHAPE, np.float32)
        array[1, 2, 0 : 4 if hit else 0] = confidence
        array[1, 2, 8 : 12 if not hit else 8] = confidence
        files.write(Volume(array, GEOMETRY), folder / f"c{index:02d}.nii.gz")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Every other case has a lesion."""
    for index in range(CASES):
        array = np.zeros(SHAPE, np.uint8)
        array[1, 2, 0:4] = index % 2 == 0
        files.write(Volume(array, GEOMETRY), tmp_path / "labels" / f"c{index:02d}.nii.gz")
    return tmp_path / "labels"


def good_and_bad(tmp_path: Path) -> tuple[Path, Path]:
    """A finds every lesion but is unsure of the negative cases; B is blind."""
    rng = np.random.default_rng(0)
    positive = [index % 2 == 0 for index in range(CASES)]
    sure = [float(0.6 + 0.3 * rng.random()) if p else float(0.1 + 0.55 * rng.random()) for p in positive]
    blind = [float(0.1 + 0.8 * rng.random()) for _ in positive]
    write_study(tmp_path / "a", sure, positive)
    write_study(tmp_path / "b", blind, [False] * CASES)
    return tmp_path / "a", tmp_path / "b"


def test_the_better_one_is_named(labels: Path, tmp_path: Path) -> None:
    a, b = good_and_bad(tmp_path)
    seen: list[tuple[int, int]] = []
    found = compare(
        a, b, labels, tmp_path / "out", resamples=300, progress=lambda done, all_: seen.append((done, all_))
    )
    assert seen[-1] == (2 * CASES, 2 * CASES)
    assert found.ap.first.value is not None
    assert found.ap.first.value > 0.8
    assert found.ap.second.value == 0
    assert found.auroc.difference.value == pytest.approx(
        (found.auroc.first.value or 0) - (found.auroc.second.value or 0)
    )
    assert found.ap.verdict.startswith("A is better (p = ")
    assert found.auroc.verdict.startswith("A is better (p = ")
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert written["verdicts"]["ap"] == found.ap.verdict
    assert written["ap"]["p_value"] == pytest.approx(1 / 301, abs=0.02)
    turned = compare(b, a, labels, resamples=300)
    assert turned.ap.difference.value == pytest.approx(-(found.ap.difference.value or 0))
    assert turned.ap.verdict.startswith("B is better")


def test_a_result_does_not_beat_itself(labels: Path, tmp_path: Path) -> None:
    a, _ = good_and_bad(tmp_path)
    found = compare(a, a, labels, resamples=100)
    assert (found.auroc.verdict, found.ap.verdict) == ("no difference", "no difference")
    assert (found.auroc.p_value, found.ap.p_value) == (1.0, 1.0)


def test_cases_of_a_patient_stay_together(labels: Path, tmp_path: Path) -> None:
    a, b = good_and_bad(tmp_path)
    table = tmp_path / "patients.csv"
    table.write_text("case_id,patient_id\n" + "".join(f"c{n:02d},p{n // 8}\n" for n in range(CASES)))
    alone = compare(a, b, labels, resamples=200)
    together = compare(a, b, labels, patients=table, resamples=200)
    assert together.ap.difference.value == alone.ap.difference.value
    # of three patients there are four swaps, and the observed one is the most extreme
    assert together.ap.p_value == pytest.approx(0.25)
    table.write_text("case_id,sex\n" + "".join(f"c{n:02d},F\n" for n in range(CASES)))
    with pytest.raises(DatasetError, match="lacks the column 'patient_id'; add it"):
        compare(a, b, labels, patients=table)


def test_both_need_the_same_cases(labels: Path, tmp_path: Path) -> None:
    a, b = good_and_bad(tmp_path)
    (b / "c05.nii.gz").unlink()
    with pytest.raises(DatasetError, match="no prediction for the labels of 'c05'"):
        compare(a, b, labels)
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match="is a file; name a folder"):
        compare(a, a, labels, tmp_path / "file")


@pytest.mark.parametrize(
    ("value", "p", "verdict"),
    [
        (0.1, 0.01, "A is better (p = 0.01)"),
        (-0.1, 0.049, "B is better (p = 0.049)"),
        (-0.1, 0.05, "B is higher, but chance explains it (p = 0.05)"),
        (None, None, "undefined"),
        (0.2, None, "undefined"),
        (0.0, 1.0, "no difference"),
    ],
)
def test_verdicts(value: float | None, p: float | None, verdict: str) -> None:
    unknown = Estimate(None, None)
    assert Difference(unknown, unknown, Estimate(value, None), p, "test").verdict == verdict
