"""However a CT is stored, the result is the same, and lies on the CT's own grid."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from ctcore.files import read, read_ct, write
from ctcore.geometry import to_lps
from ctcore.itk import from_sitk, to_sitk
from ctcore.volume import Geometry, Volume
from pipeline.bundle import Bundle
from pipeline.case import CaseResult, process_case
from pipeline.clock import Clock
from pipeline.stages import Stages
from tests.pipeline.conftest import ct_array

REAL_CT = Path(__file__).parents[2].parent / "shared" / "data" / "real_ct" / "abdomen_0000.nii.gz"

Stored = tuple[tuple[int, int, int], tuple[bool, bool, bool]]
ALL: list[Stored] = [
    (order, flips)  # type: ignore[misc]
    for order in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]
"""The 48 ways in which a grid along the body's axes can be stored: order of the axes (x, y, z), then flips."""

SCORE_TOLERANCE = 1e-3


def stored_as(volume: Volume, way: Stored) -> Volume:
    """The same CT, of which every voxel stays where it is in the patient, stored in another order (by ITK)."""
    order, flips = way
    return from_sitk(sitk.Flip(sitk.PermuteAxes(to_sitk(volume), list(order)), list(flips)))


def oblique(turn: float = 0.2, tip: float = -0.15) -> tuple[float, ...]:
    """A direction turned about z, then tipped about x, by angles in radians."""
    about_z = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, math.cos(tip), -math.sin(tip)], [0, math.sin(tip), math.cos(tip)]])
    return tuple(float(d) for d in (about_x @ about_z).ravel())


def assert_same(result: CaseResult, reference: CaseResult, way: Stored, grid: Geometry, atol: float) -> None:
    """Checks a result against that of the CT as it was, stored in the same way."""
    assert result.fused.score == pytest.approx(reference.fused.score, abs=SCORE_TOLERANCE)
    found, expected = result.detection_inset().whole(), stored_as(reference.detection_inset().whole(), way)
    assert found.geometry == grid
    assert found.geometry.allclose(expected.geometry, 1e-5)
    np.testing.assert_allclose(found.array, expected.array, atol=atol)
    labels, true = result.segmentation_inset(), reference.segmentation_inset()
    assert labels is not None
    assert true is not None
    np.testing.assert_array_equal(labels.whole().array, stored_as(true.whole(), way).array)
    assert len(result.candidates) == len(reference.candidates) > 0
    for one, other in zip(result.candidates, reference.candidates, strict=True):
        shift = np.abs(np.subtract(one["centroid_lps_mm"], other["centroid_lps_mm"]))
        assert shift.max() < min(grid.spacing)
        box: Any = one["box"]
        inside = found.array[tuple(slice(a, b) for a, b in zip(box["start"], box["stop"], strict=True))]
        assert inside.max() == pytest.approx(one["confidence"], abs=1e-6)


@pytest.mark.parametrize(
    "direction", [(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), oblique()], ids=["axial", "oblique"]
)
def test_all_48_ways_of_storing_a_ct(
    tmp_path: Path, bundle: Bundle, stages: Stages, direction: tuple[float, ...]
) -> None:
    ct = Volume(ct_array(), Geometry((12, 20, 24), (0.7, 0.9, 2.5), (-31.25, 17.0, -250.5), direction))
    reference = process_case(ct, stages, bundle, Clock())
    assert len({stored_as(ct, way).geometry for way in ALL}) == 48
    for way in ALL:
        write(stored_as(ct, way), tmp_path / "ct.nrrd")
        again = read_ct(tmp_path / "ct.nrrd")
        result = process_case(again, stages, bundle, Clock())
        assert_same(result, reference, way, again.geometry, atol=0.0)
        write(result.detection_inset(), tmp_path / "map.nii.gz")
        assert read(tmp_path / "map.nii.gz").geometry.allclose(again.geometry, 1e-4)  # NIfTI: single precision


@pytest.mark.skipif(not REAL_CT.is_file(), reason="../shared/data, which holds a real CT, is not here")
def test_the_demonstration_model_does_not_mind(demo: tuple[Bundle, Stages]) -> None:
    bundle, stages = demo
    ct, _ = to_lps(read_ct(REAL_CT))
    reference = process_case(ct, stages, bundle, Clock())
    turned = Volume(ct.array, Geometry(ct.geometry.shape, ct.geometry.spacing, ct.geometry.origin, oblique()))
    for volume, way in ((ct, ALL[13]), (ct, ALL[42])):
        stored = stored_as(volume, way)
        assert_same(process_case(stored, stages, bundle, Clock()), reference, way, stored.geometry, atol=1e-5)
    stored = stored_as(turned, ALL[37])
    result, straight = process_case(stored, stages, bundle, Clock()), process_case(turned, stages, bundle, Clock())
    assert straight.fused.score == pytest.approx(reference.fused.score, abs=SCORE_TOLERANCE)
    assert_same(result, straight, ALL[37], stored.geometry, atol=1e-5)
