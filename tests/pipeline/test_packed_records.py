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
    for case_id in ("a", "b"):
        records[case_id] = make(case_id).model_copy(update={"detection_max": hash(case_id) / 3})
    content, words = records._packed["b"]
    assert words is records._packed["a"][1]  # kept once
    assert len(content) < len(words) / 10


def test_records_in_order_are_a_sequence_of_equal_records() -> None:
    records = PackedRecords()
    for case_id in ("c", "a", "b"):
        records[case_id] = make(case_id)
    ordered = records.in_order()
    assert list(ordered) == [make("a"), make("b"), make("c")]
    assert (ordered[-1], len(ordered), list(ordered[1:])) == (make("c"), 3, [make("b"), make("c")])
    assert ordered == records.in_order()
    assert hash(ordered) == hash(records.in_order())
    assert ordered != ordered[:2]


def test_others_of_the_same_id_take_its_place() -> None:
    records, others = PackedRecords(), PackedRecords()
    records["b"], records["a"] = make("b"), make("a")
    others["b"] = make("b").model_copy(update={"score": 1.0})
    assert [record.score for record in records.joined(others).in_order()] == [make("a").score, 1.0]
    assert len(records) == 2
