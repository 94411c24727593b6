"""The cases of a run's output are told by whole names."""

from __future__ import annotations

from pathlib import Path

from ctcore.evaluation.predictions import read_predictions


def test_a_case_whose_id_ends_like_a_channel_is_found(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("case_id,status,score\npatient_0000,done,0.5\n")
    for folder in ("detection_maps", "segmentations"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "patient_0000.nii.gz").touch()
    (case,) = read_predictions(tmp_path).cases
    assert case.case_id == "patient_0000"
    assert case.detection_map == tmp_path / "detection_maps" / "patient_0000.nii.gz"
