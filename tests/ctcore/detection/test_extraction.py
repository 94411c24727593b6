"""Every mode gives what report-guided-annotation gives for the whole volume, confidences to the last bit."""

import contextlib
import io
from typing import Any, cast, get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import ndimage

from ctcore.detection.candidates import CandidateMode, CandidateSettings, extract_candidates

with contextlib.redirect_stdout(io.StringIO()):
    from report_guided_annotation import extract_lesion_candidates

MODES: tuple[CandidateMode, ...] = get_args(CandidateMode)
LEVELS = [np.float32(v) for v in (0, 1e-45, 0.003, 0.004, 0.01, 0.02, 0.1, 0.36, 0.4, 0.9, 1)]
Floats = npt.NDArray[np.float32]


def reference(probability: Floats, how: CandidateSettings) -> tuple[npt.NDArray[np.int_], tuple[float, ...]]:
    """The package's answer on the whole volume, sorted, less what is documented as dropped."""
    _, found, indices = extract_lesion_candidates(
        cast(Any, probability),  # the package's hint says float64; it works in the array's own type
        threshold=how.mode if how.fixed_threshold is None else how.fixed_threshold,
        min_voxels_detection=how.min_voxels,
        num_lesions_to_extract=how.num_lesions_to_extract,
        dynamic_threshold_factor=how.dynamic_threshold_factor,
        remove_adjacent_lesion_candidates=how.remove_adjacent_candidates,
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
    """Blobs, specks, plateaus of equal value, repeated blocks, saturated and faint maps."""
    shape = tuple(rng.integers(1 if rng.random() < 0.1 else 3, 16, 3))
    values = rng.random(shape)
    width = rng.choice([0, 0.7, 1.2, 2.0])
    values = ndimage.gaussian_filter(values, width) if width else values
    values = (values - values.min()) / max(np.ptp(values), 1e-9)
    kind = rng.integers(6)
    if kind == 0:
        values = np.round(values * rng.integers(2, 8)) / 8
    elif kind == 1:
        values = values ** rng.integers(2, 9)
    elif kind == 2:
        values = np.clip(values * 3 - 1.2, 0, 1)
    elif kind == 3:
        values = values * 10 ** -rng.uniform(0, 3)
    elif kind == 4:
        values = np.concatenate([values, np.zeros_like(values[:1]), values])  # everything twice: ties
    return np.asarray(values * (rng.random(values.shape) < rng.choice([1.0, 0.5, 0.2])), dtype=np.float32)


def random_settings(rng: np.random.Generator, mode: CandidateMode) -> CandidateSettings:
    return CandidateSettings(
        mode=mode,
        fixed_threshold=float(rng.choice([0, 0.003, 0.1, 0.375, 0.5])) if mode == "fixed" else None,
        dynamic_threshold_factor=float(rng.choice([1.3, 2.5, 15])),
        min_voxels=int(rng.choice([0, 3, 10])),
        num_lesions_to_extract=int(rng.choice([1, 3, 5, 20])),
        remove_adjacent_candidates=bool(rng.random() < 0.6),
        min_confidence=float(rng.choice([0, 0.05, 0.3])),
    )


@pytest.mark.parametrize("mode", MODES)
def test_random_volumes(mode: CandidateMode) -> None:
    rng = np.random.default_rng(MODES.index(mode))
    found = sum(assert_equal(random_probability(rng), random_settings(rng, mode)) for _ in range(250))
    assert found > 200  # the volumes do hold candidates


@settings(max_examples=250, deadline=None)
@given(
    probability=st_numpy.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 9)),
        elements=st.sampled_from(LEVELS),
    ),
    mode=st.sampled_from(MODES),
    min_voxels=st.integers(0, 4),
    remove=st.booleans(),
    min_confidence=st.sampled_from([0.0, 0.01, 0.4]),
    fixed=st.sampled_from([0.0, 0.01, 0.1, 0.4, 1.0]),
)
def test_volumes_of_few_levels(
    probability: Floats, mode: CandidateMode, min_voxels: int, remove: bool, min_confidence: float, fixed: float
) -> None:
    how = CandidateSettings(
        mode=mode,
        fixed_threshold=fixed if mode == "fixed" else None,
        min_voxels=min_voxels,
        remove_adjacent_candidates=remove,
        min_confidence=min_confidence,
    )
    assert_equal(probability, how)


def two_lesions(first: float, second: float, shape: tuple[int, int, int] = (6, 9, 30)) -> Floats:
    """Two boxes of 4 x 4 x 4 voxels; the first comes first in scan order."""
    probability = np.zeros(shape, dtype=np.float32)
    probability[1:5, 2:6, 2:6] = first
    probability[1:5, 2:6, 20:24] = second
    return probability


def test_the_static_means_stay_float64_the_others_are_rounded_to_float32() -> None:
    probability = two_lesions(0.5, 0.5)
    probability[1, 2, 20] = np.nextafter(np.float32(0.5), np.float32(1))  # a mean of 0.5 + 2^-24 / 64
    exact = 0.5 + 2.0**-24 / 64
    assert reference(probability, CandidateSettings(mode="dynamic-fast-mean"))[1] == (exact, 0.5)
    assert extract_candidates(probability, CandidateSettings(mode="dynamic-fast-mean")).confidences == (exact, 0.5)
    rounding: tuple[CandidateMode, ...] = ("dynamic-mean", "dynamic-v2-mean")
    for mode in rounding:
        how = CandidateSettings(mode=mode, num_lesions_to_extract=1)
        found = extract_candidates(probability, how)
        assert found.confidences == (0.5,)
        assert found.labels[1, 2, 2] == 1  # they tie after the rounding: the first in scan order, although lower
        assert_equal(probability, how)


def test_a_fixed_threshold_is_float32s() -> None:
    probability = two_lesions(0.1, np.nextafter(np.float32(0.1), np.float32(0)))
    assert float(np.float32(0.1)) > 0.1
    how = CandidateSettings(mode="fixed", fixed_threshold=float(np.float32(0.1)))
    assert extract_candidates(probability, how).confidences == (float(np.float32(0.1)),)
    assert assert_equal(probability, how) == 1
    assert assert_equal(probability, CandidateSettings(mode="fixed", fixed_threshold=0.1)) == 1


def test_a_higher_mean_comes_before_a_higher_peak() -> None:
    probability = two_lesions(0.4, 0.5)
    probability[2, 3, 3] = 0.9
    modes: dict[CandidateMode, list[float]] = {
        "dynamic": [0.9, 0.5],
        "dynamic-mean": [0.5, (63 * float(np.float32(0.4)) + float(np.float32(0.9))) / 64],
    }
    for mode, expected in modes.items():
        found = extract_candidates(probability, CandidateSettings(mode=mode))
        assert found.confidences == pytest.approx(expected, rel=1e-7)
        assert_equal(probability, CandidateSettings(mode=mode))


def test_without_removal_candidates_may_touch() -> None:
    probability = two_lesions(0.9, 0.0)
    probability[1:5, 2:6, 6:10] = 0.2  # beside the first, below its threshold of 0.36
    removed, kept = (CandidateSettings(remove_adjacent_candidates=remove) for remove in (True, False))
    assert extract_candidates(probability, removed).confidences == pytest.approx((0.9,))
    found = extract_candidates(probability, kept)
    assert found.confidences == pytest.approx((0.9, 0.2))
    assert (found.labels[1, 2, 2:10] == [1] * 4 + [2] * 4).all()
    assert assert_equal(probability, kept) == 2


def lesion_with_spike() -> Floats:
    """A spike of three voxels at 0.9 and a lesion of 700 voxels at 0.3."""
    probability = np.zeros((12, 20, 20), dtype=np.float32)
    probability[1, 1, 1:4] = 0.9
    probability[2:9, 5:15, 5:15] = 0.3
    return probability


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("dynamic-v2", (0.3,)),
        ("dynamic-v2-mean", (0.3,)),
        ("dynamic", ()),
        ("dynamic-mean", ()),
        ("dynamic-fast", ()),
        ("dynamic-fast-mean", ()),
    ],
)
def test_a_small_spike_hides_the_lesion_but_in_version_2(mode: CandidateMode, expected: tuple[float, ...]) -> None:
    found = extract_candidates(lesion_with_spike(), CandidateSettings(mode=mode))
    assert found.confidences == pytest.approx(expected)
    assert (found.labels > 0).sum() == 700 * len(expected)


@pytest.mark.parametrize("alone", [True, False])
def test_version_2_keeps_voxels_at_the_threshold_that_only_small_components_pass(alone: bool) -> None:
    probability = np.zeros((5, 8, 20), dtype=np.float32)
    probability[1:4, 2:6, 8:16] = 0.1
    probability[1:4, 2:6, 10:14] = 0.2
    probability[(0, 0, slice(0, 3)) if alone else (1, 2, slice(14, 16))] = 0.9
    at_threshold = (0, 7, 0) if alone else (2, 4, 12)  # it sets the next threshold to 0.144 in both places
    probability[at_threshold] = np.float32(0.9) / np.float32(2.5)
    how = CandidateSettings(mode="dynamic-v2")
    found = extract_candidates(probability, how)
    assert found.confidences == pytest.approx((0.2,) if alone else (0.36,))
    assert (found.labels > 0).sum() == 3 * 4 * 4
    assert assert_equal(probability, how) == 1


@pytest.mark.parametrize("factor", [2.5, 15.0])
def test_the_factor_decides_the_size(factor: float) -> None:
    probability = np.zeros((3, 6, 20), dtype=np.float32)
    probability[:, 1:5] = np.linspace(0.05, 1.0, 20, dtype=np.float32)
    for mode in MODES[:3]:
        how = CandidateSettings(mode=mode, dynamic_threshold_factor=factor, num_lesions_to_extract=1)
        found = extract_candidates(probability, how)
        assert (found.labels == 1).sum() == 12 * np.count_nonzero(probability[0, 1] >= np.float32(1 / factor))
        assert_equal(probability, how)


def test_a_flat_volume_of_subnormal_probability() -> None:
    probability = np.full((2, 3, 4), 1e-45, dtype=np.float32)  # divided by the factor it is 0
    probability[0, 0, 0] = 0
    how = CandidateSettings(mode="dynamic-fast", min_confidence=0)
    assert assert_equal(probability, how) == 1
    assert extract_candidates(probability, how).labels[0, 0, 0] == 0
