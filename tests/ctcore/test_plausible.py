"""What can be a CT; `tests/pipeline/faults` has the kinds of images that cannot."""

from __future__ import annotations

import numpy as np
import pytest

from ctcore.errors import GeometryError, ImageDimensionError, IntensityError
from ctcore.plausible import judge_ct
from ctcore.volume import Geometry, Volume

SHAPE = (10, 11, 12)


def a_ct(least: float = -1000, most: float = 1000, dtype: type[np.generic] = np.int16) -> np.ndarray:
    """Values of which two are given and the others lie within."""
    array = np.full(SHAPE, (least + most) / 2).astype(dtype)
    array[0, 0, 0], array[-1, -1, -1] = least, most
    return array


def judged(array: np.ndarray, spacing: float = 1.0, origin: float = 0.0) -> tuple[str, ...]:
    grid = Geometry((array.shape[0], array.shape[1], array.shape[2]), (1.0, 1.0, spacing), (0.0, origin, 0.0))
    return judge_ct(Volume(array, grid), "a").flags


@pytest.mark.parametrize(
    ("least", "most", "flags"),
    [
        (-1000, 3071, ()),
        (-200, 3071, ()),
        (-199, 300, ("values_clipped",)),
        (-50, 20, ("values_clipped",)),
        (-8192, 32767, ()),
        (-8193, 300, ("values_outside_hu",)),
    ],
)
def test_bounds_that_are_kept(least: int, most: int, flags: tuple[str, ...]) -> None:
    array = a_ct(least, most)
    if least < -1100:
        array[5] = -1000
    assert judged(array) == flags


@pytest.mark.parametrize(
    ("least", "most", "says"),
    [(-49, 300, "fat or air"), (-1000, 19, "soft tissue"), (-70000, 70000, "16 bits"), (-2000, 0, "padding")],
)
def test_bounds_that_are_not(least: int, most: int, says: str) -> None:
    array = a_ct(least, most, np.int32)
    if least == -2000:
        array[array > -2000], array[5] = 5, 300
    with pytest.raises(IntensityError, match=rf"'a' holds values from {least:g} to .*{says}"):
        judged(array)


def test_sizes() -> None:
    assert judged(np.delete(a_ct(), 5, axis=0)) == ("few_slices",)
    assert judged(a_ct(), spacing=50.0) == ()
    assert judged(a_ct(), origin=-10_001.0) == ("origin_implausible",)
    with pytest.raises(GeometryError, match=r"'a' has voxels of 1 x 1 x 50.1 mm, a CT's are 0.01 to 50 mm"):
        judged(a_ct(), spacing=50.1)
    with pytest.raises(ImageDimensionError, match=r"\(10, 1, 12\) voxels, a single one along an axis"):
        judged(a_ct()[:, :1])


def test_flags_of_the_file_stay_and_voxels_are_not_copied() -> None:
    volume = Volume(a_ct(-100), Geometry(SHAPE, (1.0, 1.0, 1.0)), ("place_ambiguous",))
    again = judge_ct(volume, "a")
    assert again.flags == ("place_ambiguous", "values_clipped")
    assert again.array is volume.array
