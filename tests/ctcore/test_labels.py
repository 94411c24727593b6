"""PANORAMA's labels and classes."""

import numpy as np
import pytest

from ctcore.errors import RequestError
from ctcore.labels import (
    CLASS_NAMES,
    LESION_NAMES,
    PANORAMA_NAMES,
    SUBTYPE_NAMES,
    PanoramaLabel,
    lesion_classes_of,
    pancreas_mask,
)


def test_values_are_panoramas() -> None:
    assert {label.name: label.value for label in PanoramaLabel} == {
        "BACKGROUND": 0,
        "LESION": 1,
        "VEINS": 2,
        "ARTERIES": 3,
        "PANCREAS": 4,
        "DUCT": 5,
        "BILE_DUCT": 6,
    }
    assert sorted(PANORAMA_NAMES.values()) == [label.value for label in PanoramaLabel]
    assert PANORAMA_NAMES["pancreatic duct"] == PanoramaLabel.DUCT
    assert PANORAMA_NAMES["common bile duct"] == PanoramaLabel.BILE_DUCT
    assert CLASS_NAMES == ("non-PDAC", "PDAC")


def test_the_label_map_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        PANORAMA_NAMES["lesion"] = 2  # type: ignore[index]  # that it is refused is the point


def test_our_lesion_is_found_by_name() -> None:
    assert [name for name in PANORAMA_NAMES if name in LESION_NAMES] == ["lesion"]
    assert all(name == name.lower() for name in LESION_NAMES)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_pancreas_is_gland_duct_and_lesion(dtype: type[np.generic]) -> None:
    labels = np.arange(8).astype(dtype).reshape(2, 2, 2)
    mask = pancreas_mask(labels)
    assert mask.dtype == np.bool_
    assert mask.ravel().tolist() == [False, True, False, False, True, True, False, False]


def test_classes_that_stand_for_a_lesion() -> None:
    assert lesion_classes_of(CLASS_NAMES) == ("PDAC",)
    assert lesion_classes_of(SUBTYPE_NAMES) == SUBTYPE_NAMES
    assert lesion_classes_of(["normal", "cyst", "PDAC"]) == ("PDAC",)
    assert lesion_classes_of(["normal", "cyst", "PDAC"], ["PDAC", "cyst"]) == ("cyst", "PDAC")
    with pytest.raises(
        RequestError, match="none of the classes normal, cyst is known to stand for a lesion; say which"
    ):
        lesion_classes_of(["normal", "cyst"])
    with pytest.raises(RequestError, match="lesion class 'tumour' is none of the classes non-PDAC, PDAC"):
        lesion_classes_of(CLASS_NAMES, ["tumour"])
