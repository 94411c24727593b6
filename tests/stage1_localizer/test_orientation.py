"""From a file in any of the 48 axis orders and flips to its ROI: the same place in the patient."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.files import read, write
from ctcore.geometry import Box, to_lps
from ctcore.json_files import read_json
from ctcore.resample import resample_array
from ctcore.volume import Geometry, Volume
from stage1_localizer.predict import predict_folder
from tests.stage1_localizer.threshold_localizer import ThresholdLocalizer

ORDERS = list(itertools.permutations(range(3)))
SIGNS = list(itertools.product((1, -1), repeat=3))
SPACING_ZYX = (3.0, 1.0, 1.5)
SHAPE = (12, 30, 26)
BLOB = (slice(3, 7), slice(8, 17), slice(4, 11))
ORIGIN = (-31.0, 17.0, 400.0)


def patient(blob: tuple[slice, slice, slice] = BLOB) -> Volume:
    """A bright block in LPS order."""
    array = np.full(SHAPE, -80, dtype=np.int16)
    array[blob] = 120
    z, y, x = SPACING_ZYX
    return Volume(array, Geometry(SHAPE, (x, y, z), ORIGIN))


def stored_as(volume: Volume, order: tuple[int, ...], signs: tuple[int, ...]) -> Volume:
    """The same patient, stored with index axes x, y, z along other anatomical axes, in either direction."""
    axes_zyx = [2 - axis for axis in order[::-1]]  # array axis of the LPS form, for each stored array axis
    flips = [slice(None, None, sign) for sign in signs[::-1]]
    array = volume.array.transpose(axes_zyx)[tuple(flips)]
    direction = np.zeros((3, 3))
    for index, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        direction[axis, index] = sign
    corner_lps = [0, 0, 0]
    for axis, sign in zip(order, signs, strict=True):
        corner_lps[axis] = 0 if sign > 0 else volume.geometry.size_xyz[axis] - 1
    origin = volume.geometry.index_to_physical(corner_lps[::-1])
    spacing = [volume.geometry.spacing[axis] for axis in order]
    geometry = Geometry(
        (array.shape[0], array.shape[1], array.shape[2]),
        (spacing[0], spacing[1], spacing[2]),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        tuple(float(d) for d in direction.ravel()),
    )
    return Volume(np.ascontiguousarray(array), geometry)


def corners(box: Box, geometry: Geometry) -> list[float]:
    """The lowest, then the highest LPS coordinates of a box's outer faces."""
    ends = np.array([[a - 0.5 for a in box.start], [b - 0.5 for b in box.stop]])
    points = geometry.index_to_physical(ends)
    return [float(value) for value in (*points.min(axis=0), *points.max(axis=0))]


@pytest.mark.parametrize("order", ORDERS)
def test_every_orientation_gives_the_same_roi(
    order: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    localizer = ThresholdLocalizer(spacing_mm=(3.0, 3.0, 3.0), margin_mm=(4.0, 3.0, 2.0), minimum_ml=0.01)
    monkeypatch.setattr("stage1_localizer.predict.Localizer", lambda *_: localizer)
    lps = patient()
    found = localizer.locate(lps)
    expected = corners(found.box, lps.geometry)
    for number, signs in enumerate(SIGNS):
        write(stored_as(lps, order, signs), tmp_path / "cts" / f"case{number}.mha")
    assert predict_folder(tmp_path, tmp_path / "cts", tmp_path / "out", device="cpu") == {}
    rois = read_json(tmp_path / "out" / "rois.json")
    for number, signs in enumerate(SIGNS):
        stored = read(tmp_path / "cts" / f"case{number}.mha")
        roi = rois[f"case{number}"]
        box = Box(tuple(roi["start"]), tuple(roi["stop"]))
        assert corners(box, stored.geometry) == pytest.approx(expected), signs
        bright = stored.array == 120
        assert bright[box.slices].sum() == bright.sum()
        mask = read(tmp_path / "out" / f"case{number}.nii.gz")
        np.testing.assert_array_equal(to_lps(mask)[0].array > 0, lps_mask(localizer, lps))


def lps_mask(localizer: ThresholdLocalizer, lps: Volume) -> npt.NDArray[np.bool_]:
    return np.asarray(resample_array(localizer.locate(lps).pancreas.array, lps.geometry.shape, "nearest") > 0)


@st.composite
def blobs(draw: st.DrawFn) -> tuple[slice, slice, slice]:
    slices = []
    for size, least in zip(SHAPE, (2, 6, 4), strict=True):
        start = draw(st.integers(0, size - least))
        slices.append(slice(start, draw(st.integers(start + least, size))))
    return slices[0], slices[1], slices[2]


@settings(max_examples=60)
@given(
    blob=blobs(),
    order=st.sampled_from(ORDERS),
    signs=st.sampled_from(SIGNS),
    margin=st.tuples(*[st.floats(0, 12)] * 3),
)
def test_the_roi_holds_what_is_found_and_its_margin(
    blob: tuple[slice, slice, slice],
    order: tuple[int, ...],
    signs: tuple[int, ...],
    margin: tuple[float, float, float],
) -> None:
    localizer = ThresholdLocalizer(spacing_mm=(3.0, 3.0, 3.0), margin_mm=margin, bridge_mm=0.0, minimum_ml=0.0)
    stored = stored_as(patient(blob), order, signs)
    ct, reorientation = to_lps(stored)
    np.testing.assert_array_equal(ct.array, patient(blob).array)
    found = localizer.locate(ct)
    assert found.source == "localizer"
    box = found.box
    mask = Box.of_mask(found.pancreas.array)
    assert mask is not None
    low = found.pancreas.geometry
    for axis in range(3):
        low_mm, high_mm = (mask.start[axis], mask.stop[axis])
        step = low.spacing_zyx[axis]
        first, last = low_mm * step, high_mm * step  # from the first voxel's outer face
        size, extent = SPACING_ZYX[axis], SHAPE[axis] * SPACING_ZYX[axis]
        assert box.start[axis] * size <= max(0.0, first - margin[axis]) + 1e-9
        assert box.stop[axis] * size >= min(extent, last + margin[axis]) - 1e-9
        # and less than two voxels more
        assert box.start[axis] * size > first - margin[axis] - 2 * size - 1e-9
        assert box.stop[axis] * size < last + margin[axis] + 2 * size + 1e-9
    in_file = reorientation.restore_box(box)
    assert in_file == in_file.clip(stored.geometry.shape)
    assert corners(in_file, stored.geometry) == pytest.approx(corners(box, ct.geometry))
    at_border = any(mask.start[a] == 0 or mask.stop[a] == low.shape[a] for a in range(3))
    assert ("field_of_view_truncated" in found.flags) == at_border
