"""nnU-Net's variables are set inside, put back afterwards, and nothing reaches the console."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from ctcore.nnunet.environment import nnunet_environment

NAMES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_compile", "nnUNet_n_proc_DA", "PYTHONWARNINGS")


@pytest.fixture(autouse=True)
def _some_variables_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("nnUNet_raw", "/the/users/own")


def test_variables_point_into_the_workspace(tmp_path: Path) -> None:
    with nnunet_environment(tmp_path, augmentation_workers=0):
        assert os.environ["nnUNet_raw"] == str(tmp_path / "raw")
        assert os.environ["nnUNet_preprocessed"] == str(tmp_path / "preprocessed")
        assert os.environ["nnUNet_results"] == str(tmp_path / "results")
        assert os.environ["nnUNet_n_proc_DA"] == "0"


def test_results_can_lie_elsewhere_and_workers_are_nnunets_own_choice(tmp_path: Path) -> None:
    with nnunet_environment(tmp_path, results=tmp_path / "elsewhere"):
        assert os.environ["nnUNet_results"] == str(tmp_path / "elsewhere")
        assert "nnUNet_n_proc_DA" not in os.environ


def test_variables_are_put_back(tmp_path: Path) -> None:
    before = dict(os.environ)
    with nnunet_environment(tmp_path, augmentation_workers=2):
        pass
    assert dict(os.environ) == before


def test_variables_are_put_back_after_an_exception(tmp_path: Path) -> None:
    before = dict(os.environ)
    with pytest.raises(KeyboardInterrupt), nnunet_environment(tmp_path, augmentation_workers=2):
        raise KeyboardInterrupt
    assert dict(os.environ) == before


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with nnunet_environment(tmp_path):
        print("please cite the following paper")
        warnings.warn("torch.jit is old", FutureWarning, stacklevel=1)
    print("after")
    assert capfd.readouterr() == ("after\n", "")


def test_background_processes_are_quiet_too(tmp_path: Path) -> None:
    code = "import warnings; warnings.warn('old', FutureWarning)"
    with nnunet_environment(tmp_path):
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stderr == ""
