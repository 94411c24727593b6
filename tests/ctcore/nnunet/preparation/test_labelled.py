"""Cases with label maps."""

from pathlib import Path

import pytest

from ctcore.datasets.description import Dataset, DatasetCase, Layout
from ctcore.errors import DatasetError
from ctcore.nnunet.preparation.labelled import labelled_cases


def case(case_id: str, label: bool = True) -> DatasetCase:
    return DatasetCase(case_id, Path("i"), Path("l") if label else None, "PDAC", "patient")


def test_images_without_label_map_are_left_out() -> None:
    dataset = Dataset(Layout.NNUNET, Path("data"), (case("a"), case("b", label=False)), labels={"lesion": 3})
    (found,) = labelled_cases(dataset)
    assert (found.case_id, found.class_name, found.labels, found.patient) == ("a", "PDAC", {"lesion": 3}, "patient")


def test_none_at_all_or_one_twice() -> None:
    with pytest.raises(DatasetError, match="no CT of 'data' has a label map; file names must agree"):
        labelled_cases(Dataset(Layout.NNUNET, Path("data"), (case("b", label=False),)))
    with pytest.raises(DatasetError, match="'data' holds case 'a' 2 times; rename them"):
        labelled_cases(Dataset(Layout.NNUNET, Path("data"), (case("a"), case("a"))))
