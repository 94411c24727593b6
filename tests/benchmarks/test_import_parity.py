"""The whole comparison, with networks that compute in milliseconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks import import_parity
from benchmarks.panorama_networks import make_models

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("folds", [1, 5])
def test_imported_networks_say_what_nnunet_says(
    plans: Path, tmp_path: Path, folds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_parity, "SHAPE", (40, 70, 80))
    monkeypatch.setattr(import_parity, "SPACING_XYZ", (3.0, 3.0, 4.0))
    shutil.copytree(plans, tmp_path / "plans")
    low = tmp_path / "plans" / "stage1_plans.json"
    described = json.loads(low.read_text())
    described["configurations"]["3d_fullres"]["spacing"] = [9.0, 4.5, 4.5]  # of the baseline's B-splines
    low.write_text(json.dumps(described))
    models = make_models(tmp_path / "plans", tmp_path / "models", folds)
    figures, bounds = import_parity.measure(models.nnunet, tmp_path)
    assert [bound for bound in bounds if not bound.reached] == []
    assert figures["softmax_largest_nnunet_in_float32"] < 1e-5
    assert figures["map_nnunet_in_float32"] < 1e-5
    assert figures["dice_nnunet_in_float32"] > 0.999
    assert figures["pancreas_equal_nnunet_in_float32"] == 1
    assert figures["softmax_nnunet"] > 1e-5  # nnU-Net's float16


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert import_parity.main(["--plans", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "stage1_plans.json' is missing" in capsys.readouterr().err


def test_the_trained_part(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_parity, "PHANTOM_MARGIN_MM", 10.0)
    assert import_parity.main(["--output", str(tmp_path)]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["reached"]
    assert summary["softmax_trained"] <= import_parity.MOST_SOFTMAX
