"""Lesion candidates: equal to the reference implementation on the whole volume, and its traps."""

import contextlib
import io
import subprocess
import sys
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from pydantic import ValidationError
from scipy import ndimage

from ctcore.detection.candidates import CandidateMode, CandidateSettings, extract_candidates
from ctcore.errors import ProbabilityError

with contextlib.redirect_stdout(io.StringIO()):
    from report_guided_annotation import extract_lesion_candidates

MODES: tuple[CandidateMode, ...] = ("dynamic-v2", "dynamic", "dynamic-fast")
Floats = npt.NDArray[np.float32]


def reference(probability: Floats, how: CandidateSettings) -> tuple[npt.NDArray[np.int_], tuple[float, ...]]:
    """The package's answer on the whole volume, sorted, less what is documented as dropped."""
    _, found, indices = extract_lesion_candidates(
        cast(Any, probability),  # the package's hint says float64; it works in the array's own type
        threshold=how.mode,
        min_voxels_detection=how.min_voxels,
        num_lesions_to_extract=how.num_lesions_to_extract,
        dynamic_threshold_factor=how.dynamic_threshold_factor,
    )
    for index, confidence in found:
        if confidence == 0:  # it covers everything, on top of the others
            indices = indices - index
    wanted = [(i, float(c)) for i, c in found if c > 0 and c >= how.min_confidence]
    wanted.sort(key=lambda candidate: -candidate[1])
    labels = np.zeros(probability.shape, dtype=int)
    for number, (index, _) in enumerate(wanted, start=1):
        labels[indices == index] = number
    return labels, tuple(confidence for _, confidence in wanted)


def assert_equal(probability: Floats, how: CandidateSettings) -> int:
    found = extract_candidates(probability, how)
    labels, confidences = reference(probability, how)
    assert found.confidences == confidences
    np.testing.assert_array_equal(found.labels, labels)
    return len(confidences)


def random_probability(rng: np.random.Generator) -> Floats:
    """Blobs, specks, plateaus of equal value, saturated and faint maps."""
    shape = tuple(rng.integers(3, 16, 3))
    values = rng.random(shape)
    width = rng.choice([0, 0.7, 1.2, 2.0])
    values = ndimage.gaussian_filter(values, width) if width else values
    values = (values - values.min()) / np.ptp(values)
    kind = rng.integers(5)
    if kind == 0:
        values = np.round(values * rng.integers(2, 8)) / 8
    elif kind == 1:
        values = values ** rng.integers(2, 9)
    elif kind == 2:
        values = np.clip(values * 3 - 1.2, 0, 1)
    elif kind == 3:
        values = values * 10 ** -rng.uniform(0, 3)
    return np.asarray(values * (rng.random(shape) < rng.choice([1.0, 0.5, 0.2])), dtype=np.float32)


@pytest.mark.parametrize("mode", MODES)
def test_equals_the_reference_on_random_volumes(mode: CandidateMode) -> None:
    rng = np.random.default_rng(MODES.index(mode))
    found = 0
    for _ in range(400):
        how = CandidateSettings(
            mode=mode,
            dynamic_threshold_factor=float(rng.choice([1.3, 2.5, 15])),
            min_voxels=int(rng.choice([0, 3, 10])),
            num_lesions_to_extract=int(rng.choice([1, 3, 5, 20])),
            min_confidence=float(rng.choice([0, 0.05, 0.3])),
        )
        found += assert_equal(random_probability(rng), how)
    assert found > 300  # the volumes do hold candidates


@settings(max_examples=150, deadline=None)
@given(
    probability=st_numpy.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 9)),
        elements=st.sampled_from([np.float32(v) for v in (0, 0.003, 0.004, 0.01, 0.02, 0.36, 0.4, 0.9, 1)]),
    ),
    mode=st.sampled_from(MODES),
    min_voxels=st.integers(0, 4),
    min_confidence=st.sampled_from([0.0, 0.01, 0.4]),
)
def test_equals_the_reference_at_the_bounds(
    probability: Floats, mode: CandidateMode, min_voxels: int, min_confidence: float
) -> None:
    assert_equal(probability, CandidateSettings(mode=mode, min_voxels=min_voxels, min_confidence=min_confidence))


def lesion_with_spike() -> Floats:
    """A spike of three voxels at 0.9 and a lesion of 700 voxels at 0.3."""
    probability = np.zeros((12, 20, 20), dtype=np.float32)
    probability[1, 1, 1:4] = 0.9
    probability[2:9, 5:15, 5:15] = 0.3
    return probability


@pytest.mark.parametrize(("mode", "expected"), [("dynamic-v2", (0.3,)), ("dynamic", ()), ("dynamic-fast", ())])
def test_a_small_spike_hides_the_lesion_but_in_version_2(mode: CandidateMode, expected: tuple[float, ...]) -> None:
    found = extract_candidates(lesion_with_spike(), CandidateSettings(mode=mode))
    assert found.confidences == pytest.approx(expected)
    assert (found.labels > 0).sum() == 700 * len(expected)


def test_two_lesions_by_hand() -> None:
    probability = np.zeros((6, 12, 30), dtype=np.float32)
    probability[1:4, 2:6, 2:6] = 0.4  # second
    probability[1:4, 2:6, 20:25] = 0.8  # first, with an edge at 0.8 / 2.5 = 0.32 and one just below
    probability[1:4, 2:6, 25] = 0.33
    probability[1:4, 2:6, 19] = 0.31
    found = extract_candidates(probability, CandidateSettings())
    assert found.confidences == pytest.approx((0.8, 0.4))
    assert found.maximum == found.confidences[0]
    assert (found.labels[1:4, 2:6, 20:26] == 1).all()
    assert (found.labels == 1).sum() == 3 * 4 * 6
    assert (found.labels == 2).sum() == 3 * 4 * 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", [0.0, 1e-6])
def test_a_flat_map_has_no_candidate(mode: CandidateMode, value: float) -> None:
    found = extract_candidates(np.full((4, 5, 6), value, dtype=np.float32), CandidateSettings(mode=mode))
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
    probability = lesion_with_spike()
    before = probability.copy()
    extract_candidates(probability, CandidateSettings())
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
    ],
)
def test_impossible_settings_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CandidateSettings.model_validate(change)


def test_the_citation_notice_stays_off_the_console() -> None:
    code = (
        "import numpy as np\n"
        "from ctcore.detection.candidates import CandidateSettings, extract_candidates\n"
        "found = extract_candidates(np.full((4, 4, 4), .5, np.float32), CandidateSettings())\n"
        "assert found.confidences == (.5,)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
