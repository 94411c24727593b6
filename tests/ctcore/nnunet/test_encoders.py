"""Which encoders there are."""

from __future__ import annotations

import pytest

from ctcore.nnunet.encoders import check_encoder, timm_model_of


def test_names() -> None:
    assert timm_model_of("resenc") is None
    assert timm_model_of("timm:resnet18") == "resnet18"
    for encoder in ("plain", "resenc", "timm:test_resnet"):
        assert check_encoder(encoder) == encoder


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("plane", r"did you mean 'plain'\? choose plain, resenc or timm:NAME"),
        ("unknown", r"^choose plain, resenc or timm:NAME$"),
        ("timm:", r"'' is not one of timm's models; choose one of timm\.list_models\(\)"),
        ("timm:resnet18.a1_in1k", r"'resnet18\.a1_in1k' is not one of timm's models; did you mean 'timm:resnet18'\?"),
        ("timm:convnxt_atto", r"did you mean 'timm:convnext_atto'\?"),
        ("timm:local-dir:/somewhere", "'local-dir:/somewhere' is not one of timm's models"),
    ],
)
def test_unknown_names(encoder: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_encoder(encoder)
