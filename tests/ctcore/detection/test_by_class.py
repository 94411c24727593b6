"""Candidates of several lesion classes as one map, by hand and as a property."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ctcore.detection.by_class import LEAST_WEIGHT, FoundLesions, joined
from ctcore.detection.candidates import CandidateMap
from ctcore.detection.detection_map import detection_map

SHAPE = (1, 4, 12)


def candidates(*boxes: tuple[slice, slice, float], flags: tuple[str, ...] = ()) -> CandidateMap:
    """Candidates of one slice, given from the most confident to the least."""
    labels = np.zeros(SHAPE, np.int16)
    for number, (y, x, _) in enumerate(boxes, start=1):
        labels[0, y, x] = number
    return CandidateMap(labels, tuple(confidence for *_, confidence in boxes), flags)


ROW = slice(0, 2)


def test_candidates_apart_keep_their_class() -> None:
    maps = {
        "cystic": candidates((ROW, slice(0, 2), 0.75), (ROW, slice(8, 10), 0.25)),
        "solid": candidates((ROW, slice(4, 6), 0.5)),
    }
    together, classes = joined(maps)
    assert (together.confidences, classes) == ((0.75, 0.5, 0.25), ("cystic", "solid", "cystic"))
    np.testing.assert_array_equal(detection_map(together), sum(detection_map(found) for found in maps.values()))


def test_candidates_that_overlap_or_touch_are_one() -> None:
    maps = {
        "cystic": candidates((ROW, slice(0, 4), 0.5), (ROW, slice(8, 10), 0.25)),
        "solid": candidates((ROW, slice(2, 6), 0.75), (slice(2, 4), slice(10, 12), 0.125)),
    }
    together, classes = joined(maps)
    assert (together.confidences, classes) == ((0.75, 0.25), ("solid", "cystic"))
    expected = np.zeros(SHAPE, np.float32)
    expected[0, ROW, 0:6] = 0.75
    expected[0, ROW, 8:10] = expected[0, 2:4, 10:12] = 0.25
    np.testing.assert_array_equal(detection_map(together), expected)


def test_a_candidate_may_lie_within_another() -> None:
    whole = (slice(0, 4), slice(0, 12))
    for inner, outer, expected in ((0.75, 0.5, ("b",)), (0.5, 0.75, ("a",)), (0.5, 0.5, ("a",))):
        together, classes = joined({"a": candidates((*whole, outer)), "b": candidates((ROW, slice(2, 4), inner))})
        assert (together.confidences, classes) == ((max(inner, outer),), expected)
        assert (together.labels == 1).all()


def test_no_candidates() -> None:
    together, classes = joined({"a": candidates(flags=("x", "y")), "b": candidates(flags=("y",))})
    assert (together.confidences, classes, together.flags) == ((), (), ("x", "y"))
    assert not together.labels.any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_the_maximum_is_the_largest_of_the_classes(seed: int) -> None:
    generator = np.random.default_rng(seed)
    maps = {}
    for name in "abc":
        labels, count = ndimage.label(generator.random((3, 5, 6)) < 0.25)
        maps[name] = CandidateMap(labels, tuple(np.sort(generator.random(count))[::-1].tolist()))
    together, classes = joined(maps)
    found = detection_map(together)
    covered = np.logical_or.reduce([each.labels > 0 for each in maps.values()])
    np.testing.assert_array_equal(found > 0, covered)
    regions, count = ndimage.label(covered, structure=np.ones((3, 3, 3)))
    assert count == len(together.confidences) == len(classes)
    own = {name: detection_map(each) for name, each in maps.items()}
    for region in range(1, count + 1):
        inside = regions == region
        peaks = {name: float(array[inside].max()) for name, array in own.items()}
        (value,) = np.unique(found[inside])
        assert float(value) == max(peaks.values())
        number = int(together.labels[inside][0])
        assert peaks[classes[number - 1]] == max(peaks.values())
    assert together.maximum == pytest.approx(max(each.maximum for each in maps.values()))


def test_candidates_weighed_by_the_class() -> None:
    found = FoundLesions(candidates((ROW, slice(0, 2), 0.75), (ROW, slice(8, 10), 0.25), flags=("noted",)))
    weighed = found.weighed({"none": 0.5, "a": 0.125, "b": 0.375}, ("a", "b"))
    assert weighed.candidates.confidences == (0.375, 0.125)
    assert weighed.candidates.flags == ("noted",)
    assert (found.maxima(), weighed.maxima()) == (0.75, 0.375)
    assert found.weighed({"none": 1.0, "a": 0.0}, ("a",)).candidates.confidences[0] == 0.75 * LEAST_WEIGHT


def test_each_class_with_its_own_label_weighs_its_own_candidates() -> None:
    maps = {
        "cystic": candidates((ROW, slice(0, 4), 0.5), (ROW, slice(8, 10), 0.25)),
        "solid": candidates((ROW, slice(2, 6), 0.75)),
    }
    together, classes = joined(maps)
    weighed = FoundLesions(together, maps, classes).weighed({"cystic": 0.75, "solid": 0.25}, tuple(maps))
    assert weighed.maxima() == {"cystic": 0.375, "solid": 0.1875}
    # What overlaps is now one candidate of the other class.
    assert (weighed.candidates.confidences, weighed.classes) == ((0.375, 0.1875), ("cystic", "cystic"))


def test_without_candidates_there_is_nothing_to_weigh() -> None:
    found = FoundLesions(candidates())
    assert found.maxima() == 0.0
    assert found.weighed({"a": 0.5, "b": 0.5}, ("a",)).candidates.confidences == ()
