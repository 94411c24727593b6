"""What is kept of measurements comes back equal; records of before there were any still load."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from pydantic import ValidationError

from ctcore.morphometry.gland import Part
from ctcore.morphometry.measures import GlandMeasures, RegionMeasures
from pipeline.measurements_record import (
    ContactRecord,
    DuctRecord,
    GlandRecord,
    MeasuredLesionRecord,
    MeasurementsRecord,
)
from pipeline.packed_records import PackedRecords
from pipeline.records import CaseRecord


def a_lesion(**changes: Any) -> MeasuredLesionRecord:
    """Returns a lesion."""
    values: dict[str, Any] = {
        "number": 1,
        "candidate": 2,
        "volume_ml": 4.5,
        "diameter_mm": 21.5,
        "part": Part.HEAD,
        "position_mm": 30.25,
        "upstream_thickness_mm": 12.5,
        "downstream_thickness_mm": None,
        "contact": {
            "portal vein": ContactRecord(degrees=0.0, length_mm=0.0),
            "superior mesenteric artery": ContactRecord(degrees=120.4, length_mm=14.0),
        },
    }
    return MeasuredLesionRecord(**(values | changes))


def some(**changes: Any) -> MeasurementsRecord:
    """Returns measurements of a case."""
    values: dict[str, Any] = {
        "gland": GlandRecord(volume_ml=80.25, length_mm=182.4, confluence_mm=61.0, thickness_mm=18.5),
        "duct": DuctRecord(largest_mm=5.5, median_mm=4.0, length_mm=90.0, dilated_mm=60.0, along_gland=((2.5, 5.0),)),
        "bile_duct": DuctRecord(largest_mm=9.0, median_mm=7.0, length_mm=55.0, dilated_mm=None),
        "lesion_ml": 4.75,
        "lesions": (a_lesion(),),
    }
    return MeasurementsRecord(**(values | changes))


def of_case(**changes: Any) -> CaseRecord:
    """Returns a finished case with measurements."""
    return CaseRecord(**({"case_id": "a", "image": "a.nii.gz", "status": "done", "measurements": some()} | changes))


def test_what_is_written_comes_back_equal() -> None:
    record = of_case()
    written = json.dumps(record.model_dump(mode="json"), allow_nan=False)
    assert json.loads(written)["measurements"]["lesions"][0]["part"] == "head"
    assert CaseRecord.model_validate(json.loads(written)) == record
    packed = PackedRecords()
    packed["a"] = record
    assert packed["a"] == record


def test_a_record_of_before_there_were_measurements_loads() -> None:
    old = of_case().model_dump(mode="json")
    del old["measurements"]
    assert CaseRecord.model_validate(old).measurements is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        MeasurementsRecord.of(RegionMeasures(GlandMeasures(1.0, value, None, 1.0), None, None, ()), 0.0, {})
    with pytest.raises(ValidationError, match="finite number"):
        ContactRecord(degrees=value, length_mm=1.0)


def test_an_unknown_figure_is_refused() -> None:
    with pytest.raises(ValidationError, match="girth_mm"):
        MeasurementsRecord.model_validate(some().model_dump() | {"girth_mm": 1.0})
