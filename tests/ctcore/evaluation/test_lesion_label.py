"""The choice of the lesion label: by name, by value, never guessed."""

import json
from pathlib import Path

import numpy as np
import pytest

from ctcore.errors import DatasetError, LabelError, PipelineError, RequestError
from ctcore.evaluation.lesion_label import LesionLabel, choose_lesion_label, values_present

PANORAMA = {"background": 0, "tumor": 1, "veins": 2, "arteries": 3, "pancreas": 4, "pancreatic duct": 5}


def folder(tmp_path: Path, labels: object = None, *, beside: bool = False) -> Path:
    """A folder of labels with a dataset.json in it, or next to it."""
    made = tmp_path / "labelsTr"
    made.mkdir()
    if labels is not None:
        (tmp_path if beside else made).joinpath("dataset.json").write_text(json.dumps({"labels": labels}))
    return made


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    ("labels", "values"),
    [
        (PANORAMA, (1,)),
        ({"background": 0, "pancreas": 1, "Lesion": 2}, (2,)),
        ({"background": 0, "pancreas": 1, "PDAC": "3"}, (3,)),
        ({"0": "background", "1": "pancreas", "2": "tumor"}, (2,)),
        ({"background": 0, "gland": [1, 2, 3], "lesion": [2, 3]}, (2, 3)),
        ({"background": 0, "csPCa": 1}, (1,)),
    ],
)
def test_the_default_is_the_label_of_that_name(
    tmp_path: Path, labels: object, values: tuple[int, ...], beside: bool
) -> None:
    chosen = choose_lesion_label(folder(tmp_path, labels, beside=beside), None)
    assert chosen.values == values
    assert not chosen.assumed


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"background": 0, "pancreas": 1, "cyst": 2}, "none of the labels .*cyst = 2.*pass --lesion-label"),
        ({"background": 0, "pancreas": 1}, "none of the labels"),
        ({"background": 0, "lesion": 1, "tumor": 2}, "several lesion labels"),
    ],
)
def test_the_default_is_refused_if_it_would_be_a_guess(tmp_path: Path, labels: object, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        choose_lesion_label(folder(tmp_path, labels), None)


@pytest.mark.parametrize(("requested", "values"), [("cyst", (2,)), ("CYST", (2,)), ("2", (2,)), (" 7 ", (7,))])
def test_a_request_is_followed(tmp_path: Path, requested: str, values: tuple[int, ...]) -> None:
    labels = folder(tmp_path, {"background": 0, "lesion": 1, "cyst": 2})
    assert choose_lesion_label(labels, requested).values == values


@pytest.mark.parametrize(
    ("requested", "labels", "message"),
    [
        ("0", None, "0 is not a positive value"),
        ("-1", None, "-1 is not a positive value"),
        ("background", PANORAMA, "is the background"),
        ("cyst", PANORAMA, "'cyst' is none of the labels.*veins = 2"),
        ("lesion", None, "is a name, but neither"),
        ("1.5", None, "is a name, but neither"),
    ],
)
def test_impossible_requests(tmp_path: Path, requested: str, labels: object, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        choose_lesion_label(folder(tmp_path, labels), requested)


def test_a_damaged_dataset_file(tmp_path: Path) -> None:
    labels = folder(tmp_path, {"lesion": "one"})
    with pytest.raises(DatasetError, match="not names with whole numbers"):
        choose_lesion_label(labels, None)
    (labels / "dataset.json").write_text("{")
    with pytest.raises(RequestError, match="cannot be read as JSON"):
        choose_lesion_label(labels, None)


@pytest.mark.parametrize("present", [{0}, {0, 1}, {1}, {0, 2, 3, 4}, {0, 1, 2, 3, 4, 5, 6}])
def test_binary_and_panorama_labels_need_no_name(tmp_path: Path, present: set[int]) -> None:
    chosen = choose_lesion_label(folder(tmp_path), None)
    assert chosen.values == (1,)
    chosen.confirm(present)


@pytest.mark.parametrize("present", [{0, 2}, {0, 1, 2}, {0, 1, 4}, {0, 255}, {0, 1, 2, 3, 4, 7}])
def test_other_labels_need_one(tmp_path: Path, present: set[int]) -> None:
    chosen = choose_lesion_label(folder(tmp_path), None)
    with pytest.raises(RequestError, match="pass --lesion-label"):
        chosen.confirm(present)
    choose_lesion_label(tmp_path / "labelsTr", "2").confirm(present)


def test_the_mask_takes_whole_float_values() -> None:
    labels = np.array([[[0.0, 1.0, 2.0, 3.0]]])
    assert LesionLabel((1,), "").mask(labels).tolist() == [[[False, True, False, False]]]
    assert LesionLabel((1, 3), "").mask(labels.astype(np.uint8)).tolist() == [[[False, True, False, True]]]
    assert values_present(labels) == {0, 1, 2, 3}


@pytest.mark.parametrize(("bad", "message"), [(0.5, "0.5, not a whole"), (np.nan, "nan, not a whole"), (-1.0, "-1")])
def test_the_mask_refuses_other_values(bad: float, message: str) -> None:
    labels = np.zeros((2, 3, 4))
    labels[1, 1, 1] = bad
    with pytest.raises(LabelError, match=message) as caught:
        LesionLabel((1,), "").mask(labels)
    assert isinstance(caught.value, PipelineError)
