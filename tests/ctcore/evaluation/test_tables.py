"""The tables of an evaluation, by hand."""

import csv
import io

import numpy as np
import pytest

from ctcore.evaluation.components import find_components
from ctcore.evaluation.matching import MatchingRule, match
from ctcore.evaluation.measure import Agreement
from ctcore.evaluation.tables import CASE_COLUMNS, LESION_COLUMNS, CaseRecord, case_table, lesion_table
from ctcore.volume import Geometry

SHAPE = (1, 1, 40)
GEOMETRY = Geometry(SHAPE, (1.0, 1.0, 1.0))


def record(
    case_id: str, candidates: list[tuple[int, int, float]], lesions: list[tuple[int, int]], **more: Agreement
) -> CaseRecord:
    detection_map, label = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, bool)
    for start, stop, confidence in candidates:
        detection_map[0, 0, start:stop] = confidence
    for start, stop in lesions:
        label[0, 0, start:stop] = True
    components = find_components(detection_map, label, GEOMETRY)
    matched = match(components, MatchingRule())
    positive = bool(lesions)
    name = "PDAC" if positive else "non-PDAC"
    return CaseRecord(case_id, positive, name, matched.detection_max, None, None, components, matched, more)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_a_case() -> None:
    found = rows(
        case_table([record("b", [], []), record("a", [(0, 8, 0.5), (30, 32, 0.25)], [(0, 10), (20, 22)])], ["c"])
    )
    assert [row["case_id"] for row in found] == ["a", "b", "c"]
    first = found[0]
    assert list(first) == list(CASE_COLUMNS)
    assert (first["status"], first["positive"], first["class_name"], first["predicted_class"]) == (
        "done",
        "1",
        "PDAC",
        "",
    )
    assert (first["n_lesions"], first["n_hits"], first["n_missed"]) == ("2", "1", "1")
    assert (first["n_candidates"], first["n_false_positives"], first["n_ignored"]) == ("2", "1", "0")
    assert float(first["best_overlap"]) == pytest.approx(0.8)
    assert (found[1]["n_candidates"], found[1]["score"]) == ("0", "0.0")
    assert (found[2]["status"], found[2]["score"]) == ("failed", "")


def test_the_dice_of_every_segmented_label() -> None:
    found = rows(
        case_table(
            [
                record("a", [], [], lesion=Agreement(2, 4, 4), duct=Agreement(0, 0, 0)),
                record("b", [], [], lesion=Agreement(0, 3, 0)),
            ],
            [],
        )
    )
    assert [(row["dice_lesion"], row["dice_duct"]) for row in found] == [("0.5", ""), ("0.0", "")]


def test_a_row_for_every_lesion_and_candidate() -> None:
    found = rows(lesion_table([record("a", [(0, 8, 0.5), (30, 32, 0.25)], [(0, 10), (20, 22)]), record("b", [], [])]))
    assert [(row["case_id"], row["outcome"]) for row in found] == [
        ("a", "hit"),
        ("a", "missed"),
        ("a", "false_positive"),
    ]
    hit, missed, false = found
    assert list(hit) == list(LESION_COLUMNS)
    assert (hit["lesion"], hit["candidate"], hit["confidence"], float(hit["overlap"])) == ("1", "1", "0.5", 0.8)
    assert float(hit["lesion_volume_ml"]) == pytest.approx(0.01)
    assert (float(hit["lesion_x_mm"]), float(hit["candidate_x_mm"])) == (4.5, 3.5)
    assert float(hit["lesion_diameter_mm"]) == pytest.approx(10, abs=0.5)
    assert (missed["lesion"], missed["candidate"], missed["confidence"], missed["overlap"]) == ("2", "", "", "")
    assert (false["lesion"], false["candidate"], false["confidence"]) == ("", "2", "0.25")


@pytest.mark.parametrize(
    ("agreement", "dice", "iou"),
    [(Agreement(2, 4, 4), 0.5, 2 / 6), (Agreement(0, 3, 0), 0.0, 0.0), (Agreement(5, 5, 5), 1.0, 1.0)],
)
def test_dice_and_iou(agreement: Agreement, dice: float, iou: float) -> None:
    assert agreement.dice == pytest.approx(dice)
    assert agreement.iou == pytest.approx(iou)


def test_two_empty_masks_have_no_overlap_to_speak_of() -> None:
    assert np.isnan(Agreement(0, 0, 0).dice)
    assert np.isnan(Agreement(0, 0, 0).iou)
