"""The study's table of small and of large lesions."""

from __future__ import annotations

from pathlib import Path

from benchmarks.systems_table import Result, by_size
from ctcore.json_files import write_json

CASES = """case_id,patient_id,class_name,predicted_class,score,score_non-PDAC,score_PDAC
a,1,non-PDAC,non-PDAC,0.3,0.7,0.3
b,2,non-PDAC,PDAC,0.6,0.4,0.6
small,3,PDAC,PDAC,0.5,0.5,0.5
two,4,PDAC,PDAC,0.9,0.1,0.9
none,5,PDAC,non-PDAC,0.2,0.8,0.2
"""
LESIONS = """case_id,outcome,confidence,lesion,lesion_diameter_mm
b,false positive,0.6,,
small,missed,,1,12
two,hit,0.8,1,12
two,missed,,2,25
"""


def test_patients_count_by_their_largest_lesion(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text(CASES)
    (tmp_path / "lesions.csv").write_text(LESIONS)
    found = {"< 2 cm": {"value": 0.5, "ci95": [0.0, 1.0]}, "> 2 cm": {"value": 0.0, "ci95": None}}
    lesions = {"sensitivity_by_size": found, "false_positives_per_case": {"value": 0.2}}
    write_json(tmp_path / "metrics.json", {"lesions": lesions})
    result = Result.read(tmp_path)
    assert result.diameters.tolist() == [0, 0, 12, 25, 0]
    row = by_size("ours", result)
    assert (row["found < 2 cm"], row["found > 2 cm"]) == ("0.500 [0.000, 1.000]", "0.000")
    assert row["false positives a case"] == "0.20"
    # Against 0.3 and 0.6: small 0.5 and the unlabelled 0.2 win one of four, two's 0.9 both.
    assert row["AUROC < 2 cm"].startswith("0.250")
    assert row["2 cm and more"].startswith("1.000")
