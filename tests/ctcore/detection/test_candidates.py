"""Lesion candidates: settings, options, checks."""

import subprocess
import sys
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from ctcore.detection.candidates import FLAG_NOT_GATED, CandidateMode, CandidateSettings, extract_candidates
from ctcore.detection.detection_map import detection_map
from ctcore.errors import GeometryError, ProbabilityError, RequestError
from ctcore.volume import Geometry

MODES: tuple[CandidateMode, ...] = get_args(CandidateMode)
Floats = npt.NDArray[np.float32]


def settings_of(mode: CandidateMode) -> CandidateSettings:
    return CandidateSettings(mode=mode, fixed_threshold=0.1 if mode == "fixed" else None)


def two_lesions() -> Floats:
    probability = np.zeros((6, 12, 30), dtype=np.float32)
    probability[1:4, 2:6, 2:6] = 0.4  # second
    probability[1:4, 2:6, 20:25] = 0.8  # first, with an edge at 0.8 / 2.5 = 0.32 and one just below
    probability[1:4, 2:6, 25] = 0.33
    probability[1:4, 2:6, 19] = 0.31
    return probability


def test_two_lesions_by_hand() -> None:
    found = extract_candidates(two_lesions(), CandidateSettings())
    assert found.confidences == pytest.approx((0.8, 0.4))
    assert found.maximum == found.confidences[0]
    assert (found.labels[1:4, 2:6, 20:26] == 1).all()
    assert (found.labels == 1).sum() == 3 * 4 * 6
    assert (found.labels == 2).sum() == 3 * 4 * 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", [0.0, 1e-6])
def test_a_flat_map_has_no_candidate(mode: CandidateMode, value: float) -> None:
    found = extract_candidates(np.full((4, 5, 6), value, dtype=np.float32), settings_of(mode))
    assert found.confidences == ()
    assert found.maximum == 0
    assert not found.labels.any()


def test_components_of_ten_voxels_are_dropped() -> None:
    probability = np.zeros((3, 5, 20), dtype=np.float32)
    probability[1, 1, :10] = 0.9
    assert extract_candidates(probability, CandidateSettings()).confidences == ()
    probability[1, 1, :11] = 0.9
    assert extract_candidates(probability, CandidateSettings()).confidences == pytest.approx((0.9,))


def test_the_minimum_confidence_drops_candidates() -> None:
    probability = np.zeros((3, 6, 20), dtype=np.float32)
    probability[:, 1:5, 1:5] = 0.5
    probability[:, 1:5, 10:15] = 0.25
    keep = CandidateSettings(min_confidence=0.25)
    assert extract_candidates(probability, keep).confidences == (0.5, 0.25)
    assert extract_candidates(probability, keep.model_copy(update={"min_confidence": 0.26})).confidences == (0.5,)


def test_the_input_is_not_changed() -> None:
    probability = two_lesions()
    before = probability.copy()
    geometry = Geometry(probability.shape, (1, 1, 1))
    options = CandidateSettings(smoothing_sigma_mm=1, pancreas_gate_mm=3, one_per_component=True)
    extract_candidates(probability, options, geometry=geometry, pancreas=probability > 0.5)
    np.testing.assert_array_equal(probability, before)


def test_rounding_outside_0_to_1_is_clipped() -> None:
    probability = np.zeros((3, 6, 6), dtype=np.float64)
    probability[:, 1:5, 1:5] = 1 + 5e-5
    probability[0, 0, 0] = -5e-5
    assert extract_candidates(probability, CandidateSettings()).confidences == (1.0,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 1.1])
def test_impossible_probabilities_are_refused(bad: float) -> None:
    probability = np.full((3, 4, 5), 0.5, dtype=np.float32)
    probability[1, 1, 1] = bad
    with pytest.raises(ProbabilityError, match=r"not within 0\.\.1"):
        extract_candidates(probability, CandidateSettings())


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ProbabilityError, match=r"\(2, 3\) is not a \(z, y, x\) volume"):
        extract_candidates(np.zeros((2, 3), dtype=np.float32), CandidateSettings())


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "otsu"},
        {"dynamic_threshold_factor": 1.0},
        {"min_voxels": -1},
        {"num_lesions_to_extract": 0},
        {"min_confidence": 1.5},
        {"minimum": 3},
        {"mode": "fixed"},
        {"fixed_threshold": 0.1},
        {"mode": "fixed", "fixed_threshold": 1.1},
        {"dynamic_threshold_factor": 1 + 1e-9},
        {"min_volume_ml": 0.0},
        {"smoothing_sigma_mm": 0.0},
        {"pancreas_gate_mm": -1.0},
    ],
)
def test_impossible_settings_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CandidateSettings.model_validate(change)


def test_settings_of_earlier_bundles_keep_their_answer() -> None:
    before = {
        "mode": "dynamic-v2",
        "dynamic_threshold_factor": 2.5,
        "min_voxels": 10,
        "num_lesions_to_extract": 5,
        "min_confidence": 0.05,
    }
    assert CandidateSettings.model_validate(before) == CandidateSettings()
    settings = CandidateSettings(mode="fixed", fixed_threshold=0.3, min_volume_ml=0.1, one_per_component=True)
    assert CandidateSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(("volume_ml", "kept"), [(0.035, 1), (0.036, 1), (0.0361, 0)])
def test_the_minimum_volume_is_the_grids(volume_ml: float, kept: int) -> None:
    probability = np.zeros((3, 6, 20), dtype=np.float32)
    probability[1, 1:4, 1:7] = 0.9  # 18 voxels of 2 mm^3
    geometry = Geometry(probability.shape, (0.8, 1.25, 2.0))
    found = extract_candidates(probability, CandidateSettings(min_volume_ml=volume_ml), geometry=geometry)
    assert len(found.confidences) == kept


def test_min_voxels_counts_beside_the_minimum_volume() -> None:
    probability = np.zeros((3, 6, 20), dtype=np.float32)
    probability[1, 1:4, 1:4] = 0.9  # 9 voxels, which the default leaves out
    geometry = Geometry(probability.shape, (1, 1, 1))
    assert not extract_candidates(probability, CandidateSettings(min_volume_ml=1e-3), geometry=geometry).confidences
    alone = CandidateSettings(min_volume_ml=0.009, min_voxels=0)
    assert extract_candidates(probability, alone, geometry=geometry).confidences == pytest.approx((0.9,))


def test_the_gate_acts_before_the_thresholds() -> None:
    probability = two_lesions()
    pancreas = np.zeros(probability.shape, dtype=np.uint8)
    pancreas[2, 3, 3] = 1
    geometry = Geometry(probability.shape, (1, 1, 1))
    gate = CandidateSettings(mode="dynamic-fast", pancreas_gate_mm=5)
    found = extract_candidates(probability, gate, geometry=geometry, pancreas=pancreas)
    assert found.confidences == pytest.approx((0.4,))  # the one at 0.8, which would have set the threshold, is away
    assert found.flags == ()


def test_an_empty_pancreas_gates_nothing_and_says_so() -> None:
    probability = two_lesions()
    geometry = Geometry(probability.shape, (1, 1, 1))
    gate = CandidateSettings(pancreas_gate_mm=5)
    found = extract_candidates(probability, gate, geometry=geometry, pancreas=np.zeros(probability.shape))
    assert found.flags == (FLAG_NOT_GATED,)
    assert found.confidences == extract_candidates(probability, CandidateSettings()).confidences


def test_smoothing_acts_before_extraction() -> None:
    probability = np.zeros((9, 9, 9), dtype=np.float32)
    probability[4, 4, 4] = 1.0
    assert not extract_candidates(probability, CandidateSettings(min_voxels=6)).confidences  # one voxel is too small
    smooth = CandidateSettings(min_voxels=6, smoothing_sigma_mm=1.0)
    found = extract_candidates(probability, smooth, geometry=Geometry(probability.shape, (1, 1, 1)))
    assert found.confidences == pytest.approx(((2 * np.pi) ** -1.5,), rel=0.02)
    assert (found.labels == 1).sum() == 7  # the peak and its faces: exp(-1/2) is above 1/2.5, an edge's exp(-1) below


def test_touching_candidates_become_one() -> None:
    probability = np.zeros((3, 6, 20), dtype=np.float32)
    probability[:, 1:5, 1:5] = 0.9
    probability[:, 1:5, 5:9] = 0.2
    probability[:, 1:5, 14:18] = 0.5
    touching = CandidateSettings(remove_adjacent_candidates=False)
    assert extract_candidates(probability, touching).confidences == pytest.approx((0.9, 0.5, 0.2))
    merged = extract_candidates(probability, touching.model_copy(update={"one_per_component": True}))
    assert merged.confidences == pytest.approx((0.9, 0.5))
    painted = detection_map(merged)
    assert (painted[:, 1:5, 1:9] == np.float32(0.9)).all()
    assert (painted[:, 1:5, 14:18] == np.float32(0.5)).all()


@pytest.mark.parametrize(
    "change", [{"min_volume_ml": 0.1}, {"smoothing_sigma_mm": 1.5}, {"pancreas_gate_mm": 10.0}], ids=str
)
def test_options_in_mm_and_ml_need_the_geometry(change: dict[str, float]) -> None:
    ((name, value),) = change.items()
    with pytest.raises(RequestError, match=f"{name}={value:g} needs the voxel spacing; give the geometry"):
        extract_candidates(two_lesions(), CandidateSettings.model_validate(change))


def test_the_gate_needs_a_pancreas() -> None:
    probability = two_lesions()
    with pytest.raises(RequestError, match="pancreas_gate_mm=10 needs the predicted pancreas"):
        extract_candidates(
            probability, CandidateSettings(pancreas_gate_mm=10), geometry=Geometry(probability.shape, (1, 1, 1))
        )


def test_grids_must_agree() -> None:
    probability = two_lesions()
    with pytest.raises(GeometryError, match=r"a grid of \(6, 12, 31\)"):
        extract_candidates(probability, CandidateSettings(), geometry=Geometry((6, 12, 31), (1, 1, 1)))
    with pytest.raises(GeometryError, match=r"a pancreas of shape \(6, 12\)"):
        extract_candidates(probability, CandidateSettings(), pancreas=np.zeros((6, 12)))


def test_the_citation_notice_stays_off_the_console() -> None:
    code = (
        "import numpy as np\n"
        "from ctcore.detection.candidates import CandidateSettings, extract_candidates\n"
        "found = extract_candidates(np.full((4, 4, 4), .5, np.float32), CandidateSettings())\n"
        "assert found.confidences == (.5,)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
