"""Candidates and lesions of a case, by hand."""

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.errors import DatasetError
from ctcore.evaluation.components import CaseComponents, find_components
from ctcore.volume import Geometry

SHAPE = (3, 8, 40)
GEOMETRY = Geometry(SHAPE, (0.5, 2.0, 4.0), (-10.0, 20.0, 100.0))


def row(*runs: tuple[int, int, float]) -> npt.NDArray[np.float32]:
    """An array that holds a value from x = start to stop in one line of voxels."""
    array = np.zeros(SHAPE, dtype=np.float32)
    for start, stop, value in runs:
        array[1, 4, start:stop] = value
    return array


def components(candidates: npt.NDArray[np.float32], lesions: npt.NDArray[np.float32]) -> CaseComponents:
    return find_components(candidates, lesions > 0, GEOMETRY)


def test_sizes_places_and_common_voxels() -> None:
    found = components(row((0, 10, 0.9), (30, 34, 0.4)), row((2, 12, 1), (20, 25, 1)))
    assert [round(candidate.confidence, 6) for candidate in found.candidates] == [0.9, 0.4]
    assert [candidate.voxels for candidate in found.candidates] == [10, 4]
    assert [lesion.voxels for lesion in found.lesions] == [10, 5]
    assert found.common.tolist() == [[8, 0], [0, 0]]
    assert found.candidates[0].volume_ml == pytest.approx(10 * 0.5 * 2 * 4 / 1000)
    # voxels 0..9 of x, row 4, plane 1
    assert found.candidates[0].centroid_lps_mm == pytest.approx((-10 + 4.5 * 0.5, 20 + 4 * 2, 100 + 4))
    # ten voxels of 0.5 mm in a row of 2 mm: from corner to corner of the outline through the edges' middles
    assert found.lesions[0].diameter_mm == pytest.approx(5.0, abs=0.5)
    assert found.detection_max == pytest.approx(0.9)
    assert found.merged == 0


def test_components_touch_by_their_corners() -> None:
    candidates = np.zeros((3, 3, 3), dtype=np.float32)
    candidates[0, 0, 0] = candidates[1, 1, 1] = 0.5
    nothing = np.zeros((3, 3, 3), dtype=bool)
    assert len(find_components(candidates, nothing, Geometry((3, 3, 3), (1, 1, 1))).candidates) == 1


def test_touching_candidates_are_one_with_the_highest_confidence() -> None:
    found = components(row((0, 5, 0.3), (5, 8, 0.6), (20, 22, 0.3)), row())
    assert [round(candidate.confidence, 6) for candidate in found.candidates] == [0.6, 0.3]
    assert found.merged == 1


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_nothing_is_lost_at_the_border(plane: int) -> None:
    candidates, lesions = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, bool)
    candidates[plane, 0, 0] = candidates[plane, 7, 39] = 0.5
    lesions[2 - plane, 7, 0] = True
    found = find_components(candidates, lesions, GEOMETRY)
    assert (len(found.candidates), len(found.lesions)) == (2, 1)
    assert found.lesions[0].centroid_lps_mm == pytest.approx((-10, 20 + 7 * 2, 100 + (2 - plane) * 4))


def test_empty_map_and_empty_label() -> None:
    nothing = components(row(), row())
    assert (nothing.candidates, nothing.lesions, nothing.common.shape) == ((), (), (0, 0))
    assert components(row(), row((0, 3, 1))).common.shape == (1, 0)
    assert components(row((0, 3, 1)), row()).common.shape == (0, 1)


def test_a_softmax_is_refused() -> None:
    softmax = row(*((x, x + 1, x / 20) for x in range(1, 10)))
    with pytest.raises(DatasetError, match="9 distinct values on 1 components: it looks like a softmax"):
        components(softmax, row())


@pytest.mark.parametrize(
    ("bad", "message"), [(np.nan, "holds NaN"), (-0.5, "from -0.5 to 0.9"), (1.5, "from 0 to 1.5"), (np.inf, "to inf")]
)
def test_what_is_no_confidence_is_refused(bad: float, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        components(row((0, 3, 0.9), (10, 12, bad)), row())
