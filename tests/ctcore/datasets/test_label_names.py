"""Label names of datasets in the wild."""

from __future__ import annotations

import pytest

from ctcore.datasets.label_names import PANCREAS_PARTS, project_name, values_of
from ctcore.labels import PANCREAS_REGION, PANORAMA_NAMES


@pytest.mark.parametrize("name", ["lesion", "tumor", "Tumour", "PDAC", "PDAC lesion", " cancer "])
def test_a_lesion_has_many_names(name: str) -> None:
    assert project_name(name) == "lesion"


def test_other_names_are_lower_case() -> None:
    assert project_name("Pancreas") == "pancreas"


def test_values_by_name() -> None:
    assert values_of({"background": 0, "Pancreas": 1, "Cancer": 2, "veins": 3}, PANCREAS_PARTS) == [1, 2]
    assert values_of(PANORAMA_NAMES, PANCREAS_PARTS) == sorted(PANCREAS_REGION)
    assert values_of({"background": 0, "liver": 1}, PANCREAS_PARTS) == []


def test_every_kind_of_lesion_is_one() -> None:
    labels = {"background": 0, "pancreas": 1, "cystic lesion": 2, "Lesion_subtype0": 3, "lesional fat": 4, "tumor": 5}
    assert values_of(labels, {"lesion"}) == [2, 3, 5]
    assert values_of(labels, PANCREAS_PARTS) == [1, 2, 3, 5]
    assert values_of(labels, {"pancreas"}) == [1]
