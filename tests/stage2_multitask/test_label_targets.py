"""What a case's labels become."""

from __future__ import annotations

import pytest

from stage2_multitask.label_targets import label_targets

LABELS = {"background": 0, "solid lesion": 1, "cystic lesion": 2, "pancreas": 3}
OWN = {"solid": "solid lesion", "cystic": "cystic lesion"}


@pytest.mark.parametrize(("class_name", "value"), [("solid", 1), ("cystic", 2), ("none", None), (None, None)])
def test_lesions_without_a_class_become_their_cases(class_name: str | None, value: int | None) -> None:
    targets = label_targets(LABELS, {"duct": "pancreas"}, "lesion", OWN, class_name)
    assert targets.pop("lesion", None) == value
    assert targets == LABELS | {"duct": 3}


def test_a_label_of_that_name_is_kept() -> None:
    labels = {"background": 0, "lesion": 1, "cystic lesion": 2}
    assert label_targets(labels, {}, "lesion", {"cystic": "cystic lesion"}, "cystic") == labels
    assert (
        label_targets(labels, {"lesions": "lesion"}, "lesions", {"cystic": "cystic lesion"}, "cystic")["lesions"] == 1
    )
