"""Tiny datasets written in each layout."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.files import write
from ctcore.volume import Geometry, Volume

SHAPE = (4, 6, 8)
GEOMETRY = Geometry(SHAPE, (1.0, 1.5, 2.0), (-3.0, 4.0, 5.0))


def ct(seed: int = 0, geometry: Geometry = GEOMETRY) -> Volume:
    """Air, tissue and bone at random."""
    return Volume(np.random.default_rng(seed).integers(-1000, 1000, geometry.shape).astype(np.int16), geometry)


def label_map(*values: int, geometry: Geometry = GEOMETRY, dtype: npt.DTypeLike = np.uint8) -> Volume:
    """Background with a row of voxels for each value."""
    array = np.zeros(geometry.shape, dtype)
    for row, value in enumerate(values):
        array[1, row] = value
    return Volume(array, geometry)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])


def write_json_file(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


CLINICAL_HEADER = ("PANORAMA_patient_id", "PANORAMA_study_id", "patient_age", "label", "level")


def write_panorama(folder: Path, classes: Mapping[str, str], automatic: Sequence[str] = ()) -> Path:
    """Studies with label maps, those in `automatic` in `automatic_labels`, the others in `manual_labels`."""
    for seed, (case_id, name) in enumerate(classes.items()):
        write(ct(seed), folder / "images" / f"{case_id}_0000.nii.gz")
        source = "automatic_labels" if case_id in automatic else "manual_labels"
        write(label_map(*((4, 2, 1) if name == "PDAC" else (4, 2))), folder / source / f"{case_id}.nii.gz")
    rows = [(case_id[:6], case_id, "", name, "radiology") for case_id, name in classes.items()]
    write_table(folder / "clinical_information.csv", CLINICAL_HEADER, rows)
    return folder


def write_msd(folder: Path, cases: Sequence[str], test: Sequence[str] = ()) -> Path:
    for seed, case_id in enumerate(cases):
        write(ct(seed), folder / "imagesTr" / f"{case_id}.nii.gz")
        write(label_map(1, 2), folder / "labelsTr" / f"{case_id}.nii.gz")
    for seed, case_id in enumerate(test):
        write(ct(100 + seed), folder / "imagesTs" / f"{case_id}.nii.gz")
    names = {"0": "background", "1": "pancreas", "2": "cancer"}
    write_json_file(folder / "dataset.json", {"modality": {"0": "CT"}, "labels": names})
    return folder


def write_subtypes(folder: Path, train: int = 2, validation: int = 1, test: int = 1) -> Path:
    """`train` and `validation` cases of each of the three subtypes."""
    for offset, (split, count) in enumerate((("train", train), ("validation", validation))):
        for subtype in range(3):
            for number in range(count):
                case_id = f"quiz_{subtype}_{offset}{number:02}"
                place = folder / split / f"subtype{subtype}"
                write(ct(50 * offset + 10 * subtype + number), place / f"{case_id}_0000.nii.gz")
                write(label_map(1, 2), place / f"{case_id}.nii.gz")
    for number in range(test):
        write(ct(900 + number), folder / "test" / f"quiz_{number:03}_0000.nii.gz")
    return folder


def write_nnunet(folder: Path, classes: Mapping[str, str], first_seed: int = 0, **dataset_json: Any) -> Path:
    """Cases in PANORAMA's values, with `dataset.json` where keywords say what is in it."""
    for seed, (case_id, name) in enumerate(classes.items(), first_seed):
        write(ct(seed), folder / "imagesTr" / f"{case_id}_0000.nii.gz")
        write(label_map(*((4, 1) if name == "PDAC" else (4,))), folder / "labelsTr" / f"{case_id}.nii.gz")
    write_table(folder / "case_labels.csv", ("case_id", "class_name"), classes.items())
    if dataset_json:
        write_json_file(folder / "dataset.json", dataset_json)
    return folder
