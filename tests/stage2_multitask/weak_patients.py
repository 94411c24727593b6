"""Patients whose lesions a threshold finds, some of them counted but not drawn."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.files import write
from ctcore.json_files import write_json
from ctcore.volume import Geometry, Volume
from stage2_multitask.prediction import MultiTaskPrediction

SHAPE = (24, 32, 32)
GEOMETRY = Geometry(SHAPE, (4.0, 4.0, 4.0), (-60.0, 20.0, 5.0))
RAS = Geometry(SHAPE, (4.0, 4.0, 4.0), (60.0, -20.0, 5.0), (-1, 0, 0, 0, -1, 0, 0, 0, 1))
LABELS = {"background": 0, "lesion": 1, "pancreas": 4}

PANCREAS = np.s_[8:16, 10:20, 8:24]
ROI = np.s_[6:18, 8:22, 6:26]
"""The pancreas and 8 mm around it."""
SURE, UNSURE, FAR = np.s_[9:12, 11:14, 10:13], np.s_[12:15, 15:18, 18:21], np.s_[20:23, 26:29, 26:29]
PROBABILITIES = {300: 0.875, 250: 0.5, 350: 1.0}
"""Of the bright spots, by their HU: in the pancreas the first two, far from it the third."""


def image_array() -> npt.NDArray[np.int16]:
    array = np.full(SHAPE, -1000, np.int16)
    array[1:-1, 3:-3, 3:-3] = 0
    array[PANCREAS] = 100
    for place, hounsfield in zip((SURE, UNSURE, FAR), PROBABILITIES, strict=True):
        array[place] = hounsfield
    return array


def label_array(*, lesion: bool = False) -> npt.NDArray[np.uint8]:
    array = np.zeros(SHAPE, np.uint8)
    array[PANCREAS] = 4
    if lesion:
        array[9:12, 16:19, 10:13] = 1
    return array


class ThresholdNetwork:
    """Answers by the brightness of a spot; calls every spot lesion, and whatever else exceeds 50 HU pancreas."""

    lesion_labels: dict[str, int] = {}  # noqa: RUF012
    labels: dict[str, int] = LABELS

    def __init__(self, *_: Any) -> None:
        self.model = SimpleNamespace(recipe={"margin_mm": [8.0, 8.0, 8.0]})
        self.seen: list[Geometry] = []

    def predict(self, roi: Volume, /) -> MultiTaskPrediction:
        self.seen.append(roi.geometry)
        probability = np.zeros(roi.array.shape, np.float32)
        for hounsfield, value in PROBABILITIES.items():
            probability[roi.array == hounsfield] = value
        segmentation = np.select([probability > 0, roi.array > 50], [1, 4], 0).astype(np.uint8)
        return MultiTaskPrediction(probability, segmentation, {"non-PDAC": 0.5, "PDAC": 0.5})


def write_case(folder: Path, case_id: str, label: npt.NDArray[np.uint8] | None, geometry: Geometry = GEOMETRY) -> None:
    array = image_array()
    array[0, 0, : len(case_id)] = [ord(letter) % 40 for letter in case_id]  # no image is another's duplicate
    write(Volume(array, geometry), folder / "imagesTr" / f"{case_id}_0000.nii.gz")
    if label is not None:
        write(Volume(label, geometry), folder / "labelsTr" / f"{case_id}.nii.gz")


def write_patients(folder: Path) -> Path:
    """Two drawn cases of each class, and weak ones of all kinds."""
    drawn = {"a1": "PDAC", "a2": "PDAC", "n1": "non-PDAC", "n2": "non-PDAC"}
    for case_id, name in drawn.items():
        write_case(folder, case_id, label_array(lesion=name == "PDAC"))
    rows = [(case_id, name, "", "") for case_id, name in drawn.items()]
    for case_id, count in (("one", ""), ("two", "2"), ("three", "3")):
        write_case(folder, case_id, label_array(), RAS if case_id == "two" else GEOMETRY)
        rows.append((case_id, "PDAC", count, "p2" if case_id == "two" else ""))
    write_case(folder, "bare", None)
    write_case(folder, "healthy", None)
    rows += [("bare", "PDAC", "1", ""), ("healthy", "non-PDAC", "0", "")]
    with (folder / "case_labels.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([("case_id", "class_name", "lesion_count", "patient_id"), *rows])
    write_json(folder / "dataset.json", {"labels": LABELS})
    return folder
