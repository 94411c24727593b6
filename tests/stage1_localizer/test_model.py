"""A localizer's `model.json`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ctcore.errors import BundleError
from ctcore.nnunet.exported import load_model
from stage1_localizer.model import LocalizerModel


def test_round_trip(constant_model: Callable[..., Path]) -> None:
    model = load_model(constant_model(True, margin_mm=(1.0, 2.0, 3.0)), LocalizerModel)
    assert (model.stage, model.margin_mm, model.minimum_ml) == ("stage1", (1.0, 2.0, 3.0), 0.5)


def test_the_other_stage_is_refused(constant_model: Callable[..., Path]) -> None:
    folder = constant_model(True)
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"stage": "stage2"}))
    with pytest.raises(BundleError, match="stage = 'stage2'"):
        load_model(folder, LocalizerModel)


def test_models_from_before_margins_were_found_still_load(constant_model: Callable[..., Path]) -> None:
    folder = constant_model(True)
    path = folder / "model.json"
    document = json.loads(path.read_text())
    del document["margins_found"]
    path.write_text(json.dumps(document))
    assert load_model(folder, LocalizerModel).margins_found is None
