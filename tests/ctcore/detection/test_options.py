"""Candidate settings as command lines ask for them."""

from pathlib import Path

import pytest

from ctcore.detection.candidates import CandidateSettings
from ctcore.detection.options import ModeChoice, chosen_candidates
from ctcore.errors import RequestError
from ctcore.json_files import write_json


def test_options_or_a_file(tmp_path: Path) -> None:
    asked = (ModeChoice.DYNAMIC_MEAN, 0.2, 5.0)
    expected = CandidateSettings(mode="dynamic-mean", min_confidence=0.2, dynamic_threshold_factor=5.0)
    assert chosen_candidates(*asked, None) == expected
    write_json(tmp_path / "settings.json", {"mode": "fixed", "fixed_threshold": 0.5})
    expected = CandidateSettings(mode="fixed", fixed_threshold=0.5)
    assert chosen_candidates(*asked, tmp_path / "settings.json") == expected


def test_the_defaults_are_the_settings_own() -> None:
    assert chosen_candidates(ModeChoice.DYNAMIC_V2, 0.05, 2.5, None) == CandidateSettings()


def test_a_wrong_file_is_quoted(tmp_path: Path) -> None:
    write_json(tmp_path / "settings.json", {"min_voxels": -1})
    with pytest.raises(RequestError, match=r"settings\.json' is not valid: min_voxels = -1: .*docs/detection\.md"):
        chosen_candidates(ModeChoice.DYNAMIC, 0.05, 2.5, tmp_path / "settings.json")
