"""The shipped bundle on phantoms that are wrong on purpose: each has a result, and a flag that says why."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ctcore.geometry import to_lps
from ctcore.phantom.faults import below_pancreas, cut_through_pancreas, head_ct, thorax_of, with_stent
from ctcore.phantom.phantom import make_phantom
from ctcore.phantom.scanner import Acquisition
from ctcore.phantom.texture import scanner_noise
from ctcore.volume import Geometry, Volume
from pipeline.bundle import Bundle
from pipeline.case import CaseResult, process_case
from pipeline.clock import Clock
from pipeline.records import DEMO_FLAG
from pipeline.stages import Stages

SEED = 9_101_002
Case = tuple[Volume, Volume]
Compute = Callable[[Volume], CaseResult]


@pytest.fixture(scope="module")
def case() -> Case:
    """A portal-venous phantom and its labels, in LPS order."""
    made = make_phantom(SEED, positive=False, acquisition=Acquisition(phase="portal-venous"))
    return to_lps(made.image)[0], to_lps(made.labels)[0]


@pytest.fixture
def compute(demo: tuple[Bundle, Stages]) -> Compute:
    """Returns a function that runs the shipped bundle on a CT."""
    bundle, stages = demo
    return lambda ct: process_case(ct, stages, bundle, Clock())


def test_a_usual_ct_has_no_flag(case: Case, compute: Compute) -> None:
    result = compute(case[0])
    assert result.flags == (DEMO_FLAG,)
    assert result.quality.contrast_phase == "portal-venous"
    assert set(result.quality.unchecked) == {"folds_disagree"}  # there is one fold


def test_without_contrast_medium(compute: Compute) -> None:
    made = make_phantom(SEED, positive=False, acquisition=Acquisition(phase="non-contrast"))
    result = compute(made.image)
    assert result.quality.contrast_phase == "unenhanced"
    assert "contrast_phase_not_portal_venous" in result.flags


def test_thick_slices(case: Case, compute: Compute) -> None:
    ct = case[0]
    together = round(10 / ct.geometry.spacing[2])
    slices = ct.geometry.shape[0] // together * together
    array = ct.array[:slices].reshape(-1, together, *ct.array.shape[1:]).mean(axis=1).round().astype(np.int16)
    x, y, z = ct.geometry.spacing
    result = compute(Volume(array, Geometry(array.shape, (x, y, z * together), ct.geometry.origin)))
    assert "slice_spacing_outside_training_range" in result.flags


def test_noise(case: Case, compute: Compute) -> None:
    ct = case[0]
    noise = scanner_noise(np.random.default_rng(0), ct.geometry.shape, ct.geometry.spacing[0], 0.4, 0.15)
    result = compute(ct.with_array((ct.array + 45 * noise).round().astype(np.int16)))
    assert result.quality.noise_hu == pytest.approx(np.hypot(45, 10), rel=0.2)
    assert "noise_outside_training_range" in result.flags


def test_a_metal_stent(case: Case, compute: Compute) -> None:
    assert "metal_near_pancreas" in compute(with_stent(*case)).flags


def test_a_field_of_view_that_ends_in_the_pancreas(case: Case, compute: Compute) -> None:
    assert "field_of_view_truncated" in compute(cut_through_pancreas(*case)).flags


def test_a_pancreas_that_was_not_scanned(case: Case, compute: Compute) -> None:
    assert "unlike_training_data" in compute(below_pancreas(*case)).flags


def test_a_thorax(case: Case, compute: Compute) -> None:
    result = compute(thorax_of(case[0]))
    assert {"pancreas_not_found", "stages_disagree", "unlike_training_data"} & set(result.flags)
    assert "unlike_training_data" in result.flags


def test_a_head(compute: Compute) -> None:
    result = compute(head_ct())
    assert "unlike_training_data" in result.flags
    assert 0 <= result.fused.score <= 1
