"""Datasets in PANORAMA's layout around published label maps of full size, where these are beside the project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ctcore.files import read, write
from tests.ctcore.datasets.layouts_on_disk import write_json_file

NATIVE = Path(__file__).parents[4] / "shared" / "data" / "panorama" / "anatomy_native"
SMALLEST = ["100575_00001", "101635_00001"]
"""Stored as LPS and as RAS."""

HOUNSFIELD = np.array([-1000, 90, 150, 180, 110, 20, 10], np.int16)
"""What each of the seven labels looks like."""

needs_native = pytest.mark.skipif(
    not NATIVE.is_dir(), reason="the published PANORAMA label maps are not beside the project"
)


def write_native(folder: Path, case_ids: Sequence[str]) -> Path:
    """Writes a CT on the grid of each label map, a fold for each case, and links label maps and table."""
    (folder / "manual_labels").mkdir(parents=True)
    for seed, case_id in enumerate(case_ids):
        label = read(NATIVE / f"{case_id}.nii.gz")
        hounsfield = HOUNSFIELD[label.array.astype(np.uint8)]
        hounsfield[0, 0, seed] = -999  # no two are the same
        write(label.with_array(hounsfield), folder / "images" / f"{case_id}_0000.nii.gz")
        (folder / "manual_labels" / f"{case_id}.nii.gz").symlink_to(NATIVE / f"{case_id}.nii.gz")
    (folder / "clinical_information.csv").symlink_to(NATIVE.parent / "clinical_information.csv")
    write_json_file(folder / "splits.json", {f"Fold {k} validation": [case_id] for k, case_id in enumerate(case_ids)})
    return folder
