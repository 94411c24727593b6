"""Which label maps a cohort is built around, and which patients they are of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ctcore import files
from ctcore.errors import CaseError, RequestError
from ctcore.json_files import read_json
from ctcore.phantom.anatomy import label_map

RECORDS = "phantoms"
"""Folder of a cohort that says how each case was made, and around which label map."""

_STUDY_OF_PATIENT = re.compile(r"(\d+)_\d+")


def patient_of(file: str) -> str:
    """Returns the patient of a label map's file name.

    PANORAMA's stems are PATIENT_STUDY, both digits; any other stem is a patient of its own.
    """
    stem = files.label_id_of(Path(file))
    match = _STUDY_OF_PATIENT.fullmatch(stem)
    return match[1] if match else stem


def patients_used(cohorts: Sequence[Path]) -> frozenset[str]:
    """Returns the patients around whose label maps the phantoms of these cohorts were built.

    Args:
        cohorts: Folders of phantoms.

    Raises:
        RequestError: A folder holds no record, or one of a phantom that is not built around a label map.
    """
    used: set[str] = set()
    for cohort in cohorts:
        paths = sorted((cohort / RECORDS).glob("*.json"))
        if not paths:
            raise RequestError(f"excluded cohort '{cohort}' holds no {RECORDS}/*.json: give a folder of phantoms")
        for path in paths:
            record = read_json(path)
            anatomy = record.get("anatomy") if isinstance(record, dict) else None
            if not isinstance(anatomy, str) or files.image_suffix(Path(anatomy)) is None:
                raise RequestError(
                    f"excluded phantom '{path}' has anatomy {anatomy!r}, not a label map: leave its cohort out"
                )
            used.add(patient_of(anatomy))
    return frozenset(used)


def choose_maps(
    folder: Path,
    lesions: Sequence[bool],
    generator: np.random.Generator,
    *,
    excluded: frozenset[str] = frozenset(),
    repeat: int = 1,
) -> list[Path]:
    """Picks one label map per case.

    The folder's maps are read in a random order until there are enough with and without lesion; a kind with fewer maps
    than the cases need is cycled.

    Args:
        folder: Label maps in PANORAMA's values.
        lesions: For each case, whether its map holds a lesion.
        generator: Source of randomness.
        excluded: Patients whose maps are not used.
        repeat: Cases in a row of one kind that share a map.

    Raises:
        RequestError: The folder is missing or has no usable map of a kind that is wanted.
    """
    if not folder.is_dir():
        raise RequestError(f"anatomy folder '{folder}' does not exist: give a folder of label maps")
    found = files.discover(folder)
    wanted = {kind: -(-sum(bool(lesion) is kind for lesion in lesions) // repeat) for kind in (True, False)}
    kept: dict[bool, list[Path]] = {True: [], False: []}
    left_out = 0
    for index in generator.permutation(len(found)):
        if all(len(kept[kind]) >= wanted[kind] for kind in kept):
            break
        path = found[int(index)].path
        if patient_of(path.name) in excluded:
            left_out += 1
            continue
        try:
            source = label_map(files.read(path))
        except CaseError:
            continue
        kind = source.has_lesion
        if len(kept[kind]) < wanted[kind]:
            kept[kind].append(path)
    for kind, word in ((True, "with"), (False, "without")):
        if wanted[kind] and not kept[kind]:
            rest = f" besides {left_out} of excluded patients" if left_out else ""
            raise RequestError(
                f"anatomy folder '{folder}' has no usable label map {word} a lesion (label 1){rest}:"
                " change the classes' fractions or give another folder"
            )
    turn = {True: 0, False: 0}
    chosen = []
    for lesion in lesions:
        kind = bool(lesion)
        chosen.append(kept[kind][turn[kind] // repeat % len(kept[kind])])
        turn[kind] += 1
    return chosen
