"""A made-up region in which everything is known."""

import json

import numpy as np
import pytest

from ctcore.errors import GeometryError
from ctcore.morphometry.gland import Part
from ctcore.morphometry.measures import RegionMeasures
from ctcore.morphometry.region import Anatomy, measure_region
from ctcore.morphometry.vessels import MESENTERIC_VEIN, SPLENIC_VEIN
from ctcore.volume import Geometry
from tests.ctcore.morphometry.shapes import Mask, tube

SHAPE, SPACING = (40, 36, 104), (2.0, 1.5, 1.5)
GEOMETRY = Geometry(SHAPE, (1.5, 1.5, 2.0))
NECK = (50.0, 14.0, 50.0)


def a_tube(*corners: tuple[float, float, float], radius: float) -> Mask:
    return tube(SHAPE, SPACING, corners, radius)


WIDE = a_tube((50.0, 14, 12), (50, 14, 96), radius=10.0)
THIN = a_tube((50.0, 14, 96), (50, 14, 146), radius=6.0)
DUCT = a_tube((50.0, 14, 102), (50, 14, 144), radius=2.5)
LESION = a_tube((50.0, 14, 88), (50, 14, 92), radius=10.0)
VEINS = a_tube((8.0, 32, 50), (50, 32, 50), radius=5.0) | a_tube((50.0, 32, 50), (54, 34, 140), radius=4.0)
BILE = a_tube((70.0, 30, 20), (45, 22, 20), radius=3.0)
ANATOMY = Anatomy(
    pancreas=(WIDE | THIN) & ~DUCT & ~LESION, duct=DUCT & ~LESION, bile_duct=BILE, veins=VEINS, arteries=None
)


@pytest.fixture(scope="module")
def measured() -> RegionMeasures:
    return measure_region(ANATOMY, LESION.astype(np.uint8), GEOMETRY)


def test_the_gland(measured: RegionMeasures) -> None:
    gland = measured.gland
    assert gland is not None
    assert gland.volume_ml == pytest.approx((WIDE | THIN | LESION).sum() * 4.5e-3)
    assert gland.length_mm == pytest.approx(150, rel=0.08)
    assert gland.confluence_mm == pytest.approx(48, abs=6)  # the head's end is at x = 2
    assert gland.thickness_mm == pytest.approx(20, abs=1.5)


def test_the_ducts(measured: RegionMeasures) -> None:
    assert measured.duct is not None
    assert measured.duct.median_mm == pytest.approx(5.0, abs=0.8)
    assert measured.duct.dilated_mm == pytest.approx(measured.duct.length_mm, rel=0.01)
    places, calibres = np.array(measured.duct.along_gland).T
    assert places.min() > 95
    assert calibres == pytest.approx(np.full(len(calibres), 5.0), abs=1.5)
    assert measured.bile_duct is not None
    assert measured.bile_duct.median_mm == pytest.approx(6.0, abs=1.0)
    assert measured.bile_duct.dilated_mm is None


def test_the_lesion(measured: RegionMeasures) -> None:
    (lesion,) = measured.lesions
    assert lesion.number == 1
    assert lesion.volume_ml == pytest.approx(LESION.sum() * 4.5e-3)
    assert lesion.diameter_mm == pytest.approx(24, abs=2)
    assert lesion.part is Part.BODY
    assert lesion.position_mm == pytest.approx(88, abs=6)
    assert lesion.downstream_thickness_mm == pytest.approx(20, abs=1.5)
    assert lesion.upstream_thickness_mm == pytest.approx(12 - 5, abs=1.5)  # without the duct
    assert set(lesion.contact) == {MESENTERIC_VEIN, SPLENIC_VEIN}
    assert lesion.contact[MESENTERIC_VEIN].degrees == 0


def test_lesions_by_their_numbers() -> None:
    lesions = np.where(LESION, 7, 0)
    lesions[20:22, 6:8, 10:12] = 3
    assert [lesion.number for lesion in measure_region(ANATOMY, lesions, GEOMETRY).lesions] == [3, 7]


def test_the_confluence_without_a_splenic_vein_is_the_nearest_place_of_the_veins() -> None:
    veins = a_tube((8.0, 32, 50), (70, 32, 50), radius=5.0)
    gland = measure_region(Anatomy(pancreas=WIDE | THIN, veins=veins), np.zeros(SHAPE, int), GEOMETRY).gland
    assert gland is not None
    assert gland.confluence_mm == pytest.approx(48, abs=6)


def test_what_is_not_segmented_is_not_measured() -> None:
    nothing = measure_region(Anatomy(), np.zeros(SHAPE, int), GEOMETRY)
    assert nothing == RegionMeasures(None, None, None, ())
    empty = np.zeros(SHAPE, bool)
    assert measure_region(Anatomy(empty, empty, empty, empty, empty), np.zeros(SHAPE, int), GEOMETRY) == nothing
    (lesion,) = measure_region(Anatomy(pancreas=WIDE), LESION.astype(int), GEOMETRY).lesions
    assert lesion.part is None
    assert lesion.position_mm is not None
    (alone,) = measure_region(Anatomy(), LESION.astype(int), GEOMETRY).lesions
    assert alone.position_mm is None
    assert alone.contact == {}


def test_as_json(measured: RegionMeasures) -> None:
    read = json.loads(json.dumps(measured.as_dict()))
    assert read["lesions"][0]["part"] == "body"
    assert read["lesions"][0]["contact"]["splenic vein"]["length_mm"] >= 0


def test_arrays_on_other_grids_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"mask of shape \(2, 2, 2\)"):
        measure_region(Anatomy(veins=np.zeros((2, 2, 2))), np.zeros(SHAPE, int), GEOMETRY)
