from __future__ import annotations

import pytest
import torch

from ctcore.inference.backends.backend import named_outputs

SEGMENTATION = torch.zeros(1, 3, 2, 2, 2)
CLASSES = torch.zeros(1, 2)


def test_a_tensor_is_the_segmentation() -> None:
    assert list(named_outputs(SEGMENTATION)) == ["segmentation"]


def test_a_mapping_keeps_the_known_fields_in_a_fixed_order() -> None:
    answer = {"features": CLASSES, "classes": CLASSES, "depth": CLASSES, "segmentation": SEGMENTATION}
    outputs = named_outputs(answer)
    assert list(outputs) == ["segmentation", "classes", "features"]
    assert outputs["segmentation"] is SEGMENTATION
    assert outputs["classes"] is CLASSES


def test_a_head_that_is_none_is_absent() -> None:
    assert list(named_outputs({"segmentation": SEGMENTATION, "classes": None})) == ["segmentation"]


@pytest.mark.parametrize("answer", [[SEGMENTATION], {"classes": CLASSES}, {"segmentation": [SEGMENTATION]}, None])
def test_anything_else_is_refused(answer: object) -> None:
    with pytest.raises(TypeError, match=f"returned a {type(answer).__name__}; .* deep supervision off"):
        named_outputs(answer)
