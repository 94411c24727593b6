"""The table of measurements, by hand."""

from __future__ import annotations

import csv
import io

from pipeline.measurements_table import HEADER, measurements_csv
from tests.pipeline.test_measurements_record import a_lesion, of_case, some


def test_table_by_hand() -> None:
    second = a_lesion(number=2, volume_ml=0.1)
    records = [
        of_case(measurements=some(lesions=(a_lesion(), second))),
        of_case(case_id="b", measurements=some(duct=None, bile_duct=None, lesion_ml=0.0, lesions=())),
        of_case(case_id='c,"x"', measurements=None),
        of_case(case_id="d", status="failed", error="why", measurements=None),
    ]
    table = measurements_csv(records)
    assert table == (
        "case_id,status,gland_volume_ml,gland_length_mm,gland_thickness_mm,gland_confluence_mm,"
        "duct_largest_mm,duct_median_mm,duct_length_mm,duct_dilated_mm,"
        "bile_duct_largest_mm,bile_duct_median_mm,bile_duct_length_mm,n_lesions,lesion_ml,"
        "main_lesion_candidate,main_lesion_volume_ml,main_lesion_diameter_mm,main_lesion_part,main_lesion_position_mm,"
        "main_lesion_upstream_thickness_mm,main_lesion_downstream_thickness_mm,"
        "portal_vein_degrees,portal_vein_mm,superior_mesenteric_vein_degrees,superior_mesenteric_vein_mm,"
        "splenic_vein_degrees,splenic_vein_mm,superior_mesenteric_artery_degrees,superior_mesenteric_artery_mm,"
        "coeliac_and_hepatic_artery_degrees,coeliac_and_hepatic_artery_mm,"
        "coeliac_and_splenic_artery_degrees,coeliac_and_splenic_artery_mm\n"
        "a,done,80.25,182.4,18.5,61.0,5.5,4.0,90.0,60.0,9.0,7.0,55.0,2,4.75,2,4.5,21.5,head,30.25,12.5,,"
        "0.0,0.0,,,,,120.4,14.0,,,,\n"
        "b,done,80.25,182.4,18.5,61.0,,,,,,,,0,0.0,,,,,,,,,,,,,,,,,,,\n"
        '"c,""x""",done,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\n'
        "d,failed,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\n"
    )
    assert {len(row) for row in csv.reader(io.StringIO(table))} == {len(HEADER)}
