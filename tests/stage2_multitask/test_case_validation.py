"""Whole validation cases during training, and what makes an epoch the best."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch

from stage2_multitask.case_validation import CRITERIA, NOTHING, CaseValidation, Finest, NetworkInTraining, quality_of
from stage2_multitask.recipe import MultiTaskRecipe, Selection
from tests.stage2_multitask.conftest import network_of

CPU = torch.device("cpu")


class Cases:
    """Stands for nnU-Net's dataset: cases as large as a window, the first voxels cropped away."""

    identifiers = ("a", "b", "c", "z")

    def load_case(self, case_id: str) -> tuple[np.ndarray, np.ndarray, None, dict[str, Any]]:
        generator = np.random.default_rng(ord(case_id))
        label = np.zeros((1, 16, 16, 16), np.int16)
        label[0, 4:12, 4:12, 4:12] = 4
        label[0, 6:9, 6:9, 6:9] = 1
        label[0, 0, 0, 0] = -1
        return generator.normal(size=(1, 16, 16, 16)).astype(np.float32), label, None, {}


@pytest.fixture
def validation(recipe: MultiTaskRecipe) -> CaseValidation:
    return CaseValidation(Cases(), {"a": "PDAC", "b": "non-PDAC", "c": "PDAC"}, recipe, (16, 16, 16), (0.5, 0.5))


def test_a_case_is_what_the_network_says_of_it(
    validation: CaseValidation, recipe: MultiTaskRecipe, architecture: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    network = network_of(recipe, architecture, deep_supervision=True).eval()
    case = validation.measure_case(NetworkInTraining(Finest(network), CPU, nullcontext()), "a")
    with torch.no_grad():
        output = network(torch.from_numpy(Cases().load_case("a")[0][None]))
    expected = output.classes[0].softmax(0).tolist()
    assert list(case.probabilities) == ["non-PDAC", "PDAC"]
    assert list(case.probabilities.values()) == pytest.approx(expected, abs=1e-5)
    predicted = output.segmentation[0][0].argmax(0).numpy()
    true = np.maximum(Cases().load_case("a")[1][0], 0)
    assert case.record.agreement["pancreas"].truth == (true == 4).sum()
    assert case.record.agreement["pancreas"].common == ((true == 4) & (predicted == 4)).sum()
    assert (case.record.class_name, case.record.positive) == ("PDAC", True)
    assert case.record.match.n_lesions == 1


def test_priors_are_taken_out_as_at_inference(
    validation: CaseValidation, recipe: MultiTaskRecipe, architecture: dict[str, Any]
) -> None:
    backend = NetworkInTraining(Finest(network_of(recipe, architecture).eval()), CPU, nullcontext())
    adjusted = replace(validation, recipe=recipe.model_copy(update={"post_hoc_adjustment": 0.5}), priors=(0.9, 0.1))
    plain, out = (each.measure_case(backend, "a").probabilities for each in (validation, adjusted))
    odds = [values["PDAC"] / values["non-PDAC"] for values in (plain, out)]
    assert odds[1] / odds[0] == pytest.approx(3.0, rel=1e-4)


def test_cases_are_divided_among_processes_and_those_without_class_passed_over(
    validation: CaseValidation, recipe: MultiTaskRecipe, architecture: dict[str, Any]
) -> None:
    backend = NetworkInTraining(Finest(network_of(recipe, architecture).eval()), CPU, nullcontext())
    parts = [[case.case_id for case in validation.measure(backend, part, 2)] for part in (0, 1)]
    assert parts == [["a", "c"], ["b"]]


def test_every_selection_has_its_words() -> None:
    assert CRITERIA.keys() | {"dice"} == set(get_args(Selection))


@pytest.mark.parametrize(("selection", "expected"), [("auroc", 0.8), ("ap", 0.4), ("auroc-ap", 0.6), ("macro-f1", 0.5)])
def test_quality_by_hand(selection: Any, expected: float) -> None:
    assert quality_of({"auroc": 0.8, "ap": 0.4, "macro_f1": 0.5}, selection) == pytest.approx(expected)


def test_no_quality_where_a_figure_is_missing() -> None:
    assert quality_of({"auroc": 0.8, "ap": None}, "auroc-ap") == NOTHING
    assert quality_of({}, "auroc") == NOTHING
