"""The output folder: which cases are finished, what the table says, and no half files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ctcore.errors import RequestError
from ctcore.files import CaseFile
from pipeline.outputs import OutputFolder
from pipeline.records import CaseRecord, FusionRecord, MadeWith
from pipeline.results_table import results_csv

MADE_WITH = MadeWith(
    bundle="abc", device="cpu", backend="torch", precision="fp32", folds=None, tta=False, format="nii.gz"
)


def record(**changes: Any) -> CaseRecord:
    """Returns a finished case."""
    values: dict[str, Any] = {
        "case_id": "a",
        "image": "a_0000.nii.gz",
        "status": "done",
        "score": 0.1,
        "classes": {"non-PDAC": 0.7, "PDAC": 1 / 3},
        "detection_max": 0.25,
        "fusion": FusionRecord(rule="mean", terms={}),
        "candidates": ({"confidence": 0.25},),
        "flags": ("roi_fallback", "demo_model"),
        "seconds": {"read": 0.5, "predict": 1.25},
        "made_with": MADE_WITH,
    }
    return CaseRecord(**(values | changes))


def finish(output: OutputFolder, case: CaseRecord) -> None:
    """Writes what a finished case leaves behind."""
    output.write_record(case)
    for path in (output.detection_path("a"), output.segmentation_path("a")):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"map")


def test_table_by_hand() -> None:
    failed = record(
        case_id='b,"x"',
        status="failed",
        error="bad",
        score=None,
        classes={},
        detection_max=None,
        candidates=(),
        flags=(),
    )
    assert results_csv([record(), failed], ("non-PDAC", "PDAC")) == (
        "case_id,status,score,p_non-PDAC,p_PDAC,detection_max,n_candidates,flags,seconds\n"
        "a,done,0.1,0.7,0.3333333333333333,0.25,1,roi_fallback;demo_model,1.75\n"
        '"b,""x""",failed,,,,,,,1.75\n'
    )


def test_finished_case_is_known_again(tmp_path: Path) -> None:
    output, case = OutputFolder(tmp_path), CaseFile("a", tmp_path / "a_0000.nii.gz")
    assert output.finished(case, MADE_WITH) is None
    finish(output, record())
    assert output.finished(case, MADE_WITH) == record()


@pytest.mark.parametrize(
    "change",
    [
        {"bundle": "other"},
        {"precision": "bf16"},
        {"folds": ("0",)},
        {"tta": True},
        {"format": "mha"},
        {"input_bytes": 1},
        {"input_modified_ns": 1},
    ],
)
def test_case_made_otherwise_is_not_finished(tmp_path: Path, change: dict[str, Any]) -> None:
    output, case = OutputFolder(tmp_path), CaseFile("a", tmp_path / "a_0000.nii.gz")
    finish(output, record())
    assert output.finished(case, MADE_WITH.model_copy(update=change)) is None


def test_incomplete_case_is_not_finished(tmp_path: Path) -> None:
    output, case = OutputFolder(tmp_path), CaseFile("a", tmp_path / "a_0000.nii.gz")
    finish(output, record(status="failed"))
    assert output.finished(case, MADE_WITH) is None
    finish(output, record())
    assert output.finished(CaseFile("a", tmp_path / "a.mha"), MADE_WITH) is None
    output.segmentation_path("a").unlink()
    assert output.finished(case, MADE_WITH) is None
    finish(output, record())
    output.record_path("a").write_text('{"case_id": "a"')
    assert output.finished(case, MADE_WITH) is None


def test_clearing_leaves_other_cases_alone(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    finish(output, record())
    for folder in output.maps_folders:
        (folder / "a.mha").write_bytes(b"other format")
        (folder / "ab.nii.gz").write_bytes(b"other case")
    output.clear_case("a")
    left = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert left == ["detection_maps/ab.nii.gz", "segmentations/ab.nii.gz"]


def test_record_with_nan_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    unwritable = record(fusion=FusionRecord(rule="mean", terms={"p_lesion": float("inf")}))
    with pytest.raises(ValueError, match="JSON"):
        output.write_record(unwritable.model_copy(update={"seconds": {"read": float("nan")}}))
    assert not any(p.is_file() for p in tmp_path.rglob("*"))


def test_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="is a file"):
        OutputFolder(tmp_path / "file")
    with pytest.raises(RequestError, match="cannot be made"):
        OutputFolder(tmp_path / "file" / "below")
