"""Which settings are taken, and what they turn into."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from stage2_multitask.heads.settings import ConvDenseSettings, FPNSettings, HeadSettings
from tests.stage2_multitask.heads.tiny import HEADS

ADAPTER: TypeAdapter[HeadSettings] = TypeAdapter(HeadSettings)


def test_what_bundles_hold_stays_valid() -> None:
    stored = {"kind": "fpn", "width": 48, "pooling": "average-max", "dropout": 0.2}
    settings = ADAPTER.validate_python(stored)
    assert settings == FPNSettings(width=48, pooling="average-max", dropout=0.2)
    assert settings.model_dump(exclude_defaults=True) == {"width": 48, "pooling": "average-max", "dropout": 0.2}


def test_a_table_without_a_kind_is_an_fpn() -> None:
    assert ADAPTER.validate_python({"width": 3}) == FPNSettings(width=3)
    assert ADAPTER.validate_python({}) == FPNSettings(width=64, pooling="average", attention=(), dropout=0.0)


@pytest.mark.parametrize("settings", HEADS.values())
def test_through_json(settings: HeadSettings) -> None:
    assert ADAPTER.validate_json(settings.model_dump_json()) == settings
    assert ADAPTER.validate_python(settings) is settings


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"kind": "gem"}, "'fpn', 'gap', 'masked-gem', 'conv-dense', 'decoder'"),
        ({"kind": "gap", "width": 3}, "width"),
        ({"kind": "fpn", "dropout": 1.0}, "dropout"),
        ({"attention": ["liver"]}, "attention"),
        ({"kind": "conv-dense", "widths": [1, 2, 3]}, "widths"),
        ({"kind": "masked-gem", "dropouts": [0.5, -0.1, 0.1]}, "dropouts"),
        ({"evidence": True}, "evidence is of the regions in attention"),
        ("fpn", "fpn"),
    ],
)
def test_refused(values: Any, named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        ADAPTER.validate_python(values)


def test_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ConvDenseSettings().normalize_logits = False  # type: ignore[misc]
