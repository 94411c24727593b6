"""What is packed comes out equal, and is small."""

from __future__ import annotations

import pytest

from pipeline.packed_records import PackedRecords
from pipeline.records import CaseRecord, FusionRecord

CANDIDATE = {"confidence": 1 / 3, "centroid_lps_mm": [0.1, -2.0, 3e-7], "box": {"start": [0, 1, 2], "stop": [3, 4, 5]}}


def make(case_id: str) -> CaseRecord:
    return CaseRecord(
        case_id=case_id,
        image="ä <script>.nii.gz",
        status="done",
        score=0.1 + 0.2,
        fusion=FusionRecord(rule="mean", terms={"p_lesion": 1e-300}),
        candidates=(CANDIDATE,) * 5,
        seconds={"read": 0.1},
    )


def test_records_come_out_as_they_went_in() -> None:
    records = PackedRecords()
    for case_id in ("b", "a"):
        records[case_id] = make(case_id)
    assert dict(records) == {"b": make("b"), "a": make("a")}
    assert list(records) == ["b", "a"]
    assert ("a" in records, "c" in records, len(records)) == (True, False, 2)
    del records["b"]
    assert list(records.values()) == [make("a")]
    with pytest.raises(KeyError):
        records["b"]


def test_a_record_is_kept_in_little() -> None:
    records = PackedRecords()
    records["a"] = make("a")
    assert len(records._packed["a"]) < 1000
