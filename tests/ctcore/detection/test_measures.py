"""The measures of each candidate, by hand."""

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from ctcore.detection.candidates import CandidateMap
from ctcore.detection.measures import describe
from ctcore.errors import GeometryError
from ctcore.geometry import Box
from ctcore.volume import Geometry

GEOMETRY = Geometry((4, 6, 10), (0.5, 0.8, 2.0), (-10.0, 5.0, 100.0))


def two_candidates() -> CandidateMap:
    labels = np.zeros(GEOMETRY.shape, dtype=np.int16)
    labels[1:3, 1:4, 2:8] = 1  # 2 x 3 x 6 voxels
    labels[3, 5, 9] = 2
    return CandidateMap(labels, (0.75, 0.25))


def test_measures_by_hand() -> None:
    image = np.zeros(GEOMETRY.shape, dtype=np.int16)
    image[1] = 40
    image[2] = 60
    image[3] = -1000
    large, single = describe(two_candidates(), GEOMETRY, image)

    assert (large.number, large.confidence, large.voxels) == (1, 0.75, 36)
    assert large.volume_ml == pytest.approx(36 * 0.5 * 0.8 * 2.0 / 1000)
    assert large.box == Box((1, 1, 2), (3, 4, 8))
    assert large.box_lps_mm.low == pytest.approx((-10 + 1.5 * 0.5, 5 + 0.5 * 0.8, 100 + 0.5 * 2))
    assert large.box_lps_mm.high == pytest.approx((-10 + 7.5 * 0.5, 5 + 3.5 * 0.8, 100 + 2.5 * 2))
    # centre of indices z 1.5, y 2, x 4.5
    assert large.centroid_lps_mm == pytest.approx((-10 + 4.5 * 0.5, 5 + 2 * 0.8, 100 + 1.5 * 2))
    assert large.mean_hu == pytest.approx(50)
    # a section of 3 x 6 voxels of 0.8 x 0.5 mm; the hull's outline cuts the corners by half a voxel
    assert large.diameter_mm == pytest.approx(max(math.hypot(3 * 0.8, 5 * 0.5), math.hypot(2 * 0.8, 6 * 0.5)), rel=1e-6)

    assert single.voxels == 1
    assert single.diameter_mm == pytest.approx(0.8)
    assert single.centroid_lps_mm == pytest.approx((-10 + 9 * 0.5, 5 + 5 * 0.8, 100 + 3 * 2))
    assert single.mean_hu == pytest.approx(-1000)


def test_the_pancreas_by_hand() -> None:
    pancreas = np.zeros(GEOMETRY.shape, dtype=np.uint8)
    pancreas[1, 1, :4] = 1  # two of the 36 voxels of the first candidate are inside
    overlapping, away = describe(two_candidates(), GEOMETRY, pancreas=pancreas)
    assert overlapping.pancreas_distance_mm == 0
    assert overlapping.pancreas_share == pytest.approx(2 / 36)
    # from (3, 5, 9) to (1, 1, 3)
    assert away.pancreas_distance_mm == pytest.approx(math.sqrt((2 * 2.0) ** 2 + (4 * 0.8) ** 2 + (6 * 0.5) ** 2))
    assert away.pancreas_share == 0.0


@settings(max_examples=60, deadline=None)
@given(
    masks=st_numpy.arrays(bool, st.just((2, 4, 5, 6)), elements=st.booleans(), fill=st.just(False)),
    spacing=st.tuples(*[st.sampled_from([0.5, 0.75, 1.0, 3.0])] * 3),
)
def test_the_distance_is_the_shortest_of_all_pairs(
    masks: npt.NDArray[np.bool_], spacing: tuple[float, float, float]
) -> None:
    candidate, pancreas = masks
    pancreas[:, :, 0] = True  # neither is empty
    candidate[3, 4, 5] = True
    geometry = Geometry(candidate.shape, spacing)
    (measured,) = describe(CandidateMap(candidate.astype(np.int16), (0.5,)), geometry, pancreas=pancreas)
    pairs = np.argwhere(candidate)[:, None] - np.argwhere(pancreas)[None]
    expected = np.sqrt(((pairs * geometry.spacing_zyx) ** 2).sum(axis=-1)).min()
    assert measured.pancreas_distance_mm == pytest.approx(expected)
    assert measured.pancreas_share == pytest.approx(np.mean(pancreas[candidate]))


def test_without_an_image_or_a_pancreas_there_is_no_such_measure() -> None:
    empty = np.zeros(GEOMETRY.shape, dtype=np.uint8)
    for candidate in describe(two_candidates(), GEOMETRY) + describe(two_candidates(), GEOMETRY, pancreas=empty):
        assert (candidate.mean_hu, candidate.pancreas_distance_mm, candidate.pancreas_share) == (None, None, None)


def test_without_candidates_there_is_nothing_to_measure() -> None:
    empty = CandidateMap(np.zeros((2, 3, 4), dtype=np.int16), ())
    assert describe(empty, Geometry((2, 3, 4), (1, 1, 1)), pancreas=np.ones((2, 3, 4))) == []


def test_the_lps_box_of_a_turned_grid_holds_every_voxel() -> None:
    cos, sin = math.cos(0.3), math.sin(0.3)
    turned = Geometry((4, 6, 10), (0.5, 0.8, 2.0), (7, 8, 9), (cos, -sin, 0, sin, cos, 0, 0, 0, 1))
    large, single = describe(two_candidates(), turned)
    half = (0.5 * cos + 0.8 * sin) / 2, (0.5 * sin + 0.8 * cos) / 2, 1.0  # of a voxel, along the patient's axes
    for candidate, indices in ((large, np.argwhere(two_candidates().labels == 1)), (single, np.array([[3, 5, 9]]))):
        centres = turned.index_to_physical(indices)
        assert (candidate.box_lps_mm.low <= centres.min(axis=0) - half + np.full(3, 1e-9)).all()
        assert (candidate.box_lps_mm.high >= centres.max(axis=0) + half - np.full(3, 1e-9)).all()
    assert np.subtract(single.box_lps_mm.high, single.box_lps_mm.low) == pytest.approx(np.multiply(half, 2))


def test_as_dict_holds_json_types() -> None:
    image = np.zeros(GEOMETRY.shape, dtype=np.int16)
    pancreas = np.ones(GEOMETRY.shape, dtype=bool)
    values = describe(two_candidates(), GEOMETRY, image, pancreas)[0].as_dict()
    assert json.loads(json.dumps(values)) == values
    assert values["box"] == {"start": [1, 1, 2], "stop": [3, 4, 8]}
    assert set(values["box_lps_mm"]) == {"low", "high"}
    assert values["confidence"] == 0.75
    assert (values["pancreas_distance_mm"], values["pancreas_share"]) == (0.0, 1.0)


def test_grids_must_agree() -> None:
    other = np.zeros((4, 6, 11), dtype=np.int16)
    with pytest.raises(GeometryError, match=r"candidates of shape \(4, 6, 10\) on a grid of \(4, 6, 11\)"):
        describe(two_candidates(), Geometry((4, 6, 11), (1, 1, 1)))
    with pytest.raises(GeometryError, match="image of shape"):
        describe(two_candidates(), GEOMETRY, other)
    with pytest.raises(GeometryError, match="pancreas of shape"):
        describe(two_candidates(), GEOMETRY, pancreas=other)
