"""The detection map and the measures of its candidates, by hand."""

import math

import numpy as np
import pytest

from ctcore.detection.candidates import CandidateMap
from ctcore.detection.detection_map import describe, detection_map, longest_axial_diameter_mm
from ctcore.errors import GeometryError
from ctcore.geometry import Box
from ctcore.volume import Geometry

GEOMETRY = Geometry((4, 6, 10), (0.5, 0.8, 2.0), (-10.0, 5.0, 100.0))


def two_candidates() -> CandidateMap:
    labels = np.zeros(GEOMETRY.shape, dtype=np.int16)
    labels[1:3, 1:4, 2:8] = 1  # 2 x 3 x 6 voxels
    labels[3, 5, 9] = 2
    return CandidateMap(labels, (0.75, 0.25))


def test_voxels_hold_their_confidence() -> None:
    painted = detection_map(two_candidates())
    assert painted.dtype == np.float32
    assert painted[1, 1, 2] == np.float32(0.75)
    assert painted[3, 5, 9] == np.float32(0.25)
    assert np.count_nonzero(painted) == 37
    assert painted.max() == np.float32(0.75)


def test_without_candidates_the_map_is_zero() -> None:
    empty = CandidateMap(np.zeros((2, 3, 4), dtype=np.int16), ())
    assert not detection_map(empty).any()
    assert describe(empty, Geometry((2, 3, 4), (1, 1, 1))) == []


def test_measures_by_hand() -> None:
    image = np.zeros(GEOMETRY.shape, dtype=np.int16)
    image[1] = 40
    image[2] = 60
    image[3] = -1000
    large, single = describe(two_candidates(), GEOMETRY, image)

    assert (large.number, large.confidence, large.voxels) == (1, 0.75, 36)
    assert large.volume_ml == pytest.approx(36 * 0.5 * 0.8 * 2.0 / 1000)
    assert large.box == Box((1, 1, 2), (3, 4, 8))
    # centre of indices z 1.5, y 2, x 4.5
    assert large.centroid_lps_mm == pytest.approx((-10 + 4.5 * 0.5, 5 + 2 * 0.8, 100 + 1.5 * 2))
    assert large.mean_hu == pytest.approx(50)
    # a section of 3 x 6 voxels of 0.8 x 0.5 mm; the hull's outline cuts the corners by half a voxel
    assert large.diameter_mm == pytest.approx(max(math.hypot(3 * 0.8, 5 * 0.5), math.hypot(2 * 0.8, 6 * 0.5)), rel=1e-6)

    assert single.voxels == 1
    assert single.diameter_mm == pytest.approx(0.8)
    assert single.centroid_lps_mm == pytest.approx((-10 + 9 * 0.5, 5 + 5 * 0.8, 100 + 3 * 2))
    assert single.mean_hu == pytest.approx(-1000)


def test_without_an_image_there_is_no_intensity() -> None:
    assert [candidate.mean_hu for candidate in describe(two_candidates(), GEOMETRY)] == [None, None]


def test_as_dict_holds_json_types() -> None:
    values = describe(two_candidates(), GEOMETRY)[0].as_dict()
    assert values["box"] == {"start": [1, 1, 2], "stop": [3, 4, 8]}
    assert isinstance(values["centroid_lps_mm"], list)
    assert values["confidence"] == 0.75


def test_the_diameter_of_a_disc_is_its_diameter() -> None:
    y, x = np.ogrid[-20:21, -20:21]
    disc = (x**2 + y**2 <= 15**2)[None].repeat(3, axis=0)
    diameter = longest_axial_diameter_mm(disc, Geometry(disc.shape, (0.7, 0.7, 5.0)))
    assert diameter == pytest.approx(31 * 0.7, abs=0.7)  # 31 voxels across


def test_the_diameter_does_not_span_two_sections() -> None:
    mask = np.zeros((2, 5, 30), dtype=bool)
    mask[0, 2, 0:4] = True
    mask[0, 2, 20:24] = True  # joined in the other plane
    mask[1, 2, 3] = True
    assert longest_axial_diameter_mm(mask, Geometry(mask.shape, (1, 1, 1))) == pytest.approx(4)


def test_axial_planes_follow_the_patient_not_the_array() -> None:
    mask = np.zeros((20, 3, 4), dtype=bool)
    mask[2:18, 1, 1] = True  # long in array z
    sagittal = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # array y runs along the patient's head-foot axis
    geometry = Geometry(mask.shape, (1.0, 1.0, 0.5), direction=sagittal)
    assert longest_axial_diameter_mm(mask, geometry) == pytest.approx(16 * 0.5, abs=0.2)
    assert longest_axial_diameter_mm(mask, Geometry(mask.shape, (1.0, 1.0, 0.5))) == pytest.approx(1)


def test_grids_must_agree() -> None:
    with pytest.raises(GeometryError, match="candidates of shape"):
        describe(two_candidates(), Geometry((4, 6, 11), (1, 1, 1)))
    with pytest.raises(GeometryError, match="an image of shape"):
        describe(two_candidates(), GEOMETRY, np.zeros((4, 6, 11), dtype=np.int16))
