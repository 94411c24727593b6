"""A folder of ROI crops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctcore.files import read, write
from ctcore.volume import Geometry, Volume
from stage2_multitask.predict import predict_folder
from stage2_multitask.prediction import MultiTaskPrediction

TO_THE_RIGHT = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


class LeftHalfPredictor:
    """Calls the patient's left half (large x in LPS) a lesion."""

    as_stored = False
    class_names = ("non-PDAC", "PDAC")

    def __init__(self, *_: Any) -> None:
        pass

    def predict(self, roi: Volume) -> MultiTaskPrediction:
        labels = np.zeros(roi.geometry.shape, dtype=np.uint8)
        labels[:, :, roi.geometry.shape[2] // 2 :] = 1
        return MultiTaskPrediction(labels.astype(np.float32), labels, {"non-PDAC": 0.25, "PDAC": 0.75})


def test_results_lie_on_the_files_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stage2_multitask.predict.MultiTaskPredictor", LeftHalfPredictor)
    array = (np.arange(4 * 5 * 6) - 60).astype(np.int16).reshape(4, 5, 6)
    crops = tmp_path / "crops"
    for case_id, direction in (("left", Geometry((1, 1, 1), (1, 1, 1)).direction), ("right", TO_THE_RIGHT)):
        write(Volume(array, Geometry(array.shape, (1.0, 1.0, 1.0), direction=direction)), crops / f"{case_id}.nii.gz")
    (crops / "bad.nii.gz").write_bytes(b"")
    reports: list[tuple[int, int]] = []
    output = tmp_path / "out"
    failed = predict_folder(tmp_path, crops, output, device="cpu", progress=lambda *report: reports.append(report))

    assert list(failed) == ["bad"]
    assert reports == [(1, 3), (2, 3), (3, 3)]
    left, right = read(output / "left.nii.gz").array, read(output / "right.nii.gz").array
    assert (left[:, :, 3:] == 1).all()
    assert (left[:, :, :3] == 0).all()
    np.testing.assert_array_equal(right, left[:, :, ::-1])
    rows = (output / "classes.csv").read_text().splitlines()
    assert rows == ["case_id,p_non-PDAC,p_PDAC", "left,0.250000,0.750000", "right,0.250000,0.750000"]
