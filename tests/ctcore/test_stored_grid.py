"""Grids of headers: the transforms are ITK's and nibabel's, what is impossible is refused."""

from __future__ import annotations

import io

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import GeometryError
from ctcore.stored_grid import judge_nifti, judge_text


def header(affine: np.ndarray, *, sform: np.ndarray | None = None, big: bool = False) -> bytes:
    """The header that nibabel writes of an affine (RAS mm), with another sform if one is given."""
    made = nib.Nifti1Header(endianness=">" if big else "<")
    made.set_data_shape((4, 5, 6))
    made.set_zooms(np.linalg.norm(affine[:3, :3], axis=0))
    made.set_qform(affine, code=1)
    made.set_sform(affine if sform is None else sform, code=1)
    stream = io.BytesIO()
    made.write_to(stream)
    return stream.getvalue()


angles = st.floats(-3.1, 3.1)


def turned(a: float, b: float, c: float, mirrored: bool) -> np.ndarray:
    """An affine with unequal voxel sizes, turned about all axes."""
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = x @ y @ z @ np.diag([0.7, 0.9, -2.5 if mirrored else 2.5])
    affine[:3, 3] = (-120, 40, 900)
    return affine


@given(angles, angles, angles, st.booleans(), st.booleans())
def test_the_two_transforms_of_nibabel_agree(a: float, b: float, c: float, mirrored: bool, big: bool) -> None:
    assert judge_nifti("a.nii", header(turned(a, b, c, mirrored), big=big)) == ()


@given(angles, angles, angles, st.sampled_from([0, 1, 2]))
def test_a_mirrored_axis_is_seen_whatever_the_rest(a: float, b: float, c: float, axis: int) -> None:
    affine = turned(a, b, c, False)
    mirrored = affine.copy()
    mirrored[:, axis] *= -1
    with pytest.raises(GeometryError, match=r"'a\.nii' has a qform and an sform that turn or scale it differently"):
        judge_nifti("a.nii", header(affine, sform=mirrored))


def test_a_shift_is_flagged_from_one_millimetre_on() -> None:
    affine = turned(0.1, 0.2, 0.3, False)
    for shift, flags in ((0.9, ()), (1.1, ("place_ambiguous",))):
        moved = affine.copy()
        moved[0, 3] += shift
        assert judge_nifti("a.nii", header(affine, sform=moved)) == flags


@pytest.mark.parametrize(
    "line",
    [
        b"ElementSpacing = 1 1 0",
        b"ElementSize = 1 -1 1",
        b"spacings: 1 inf 1",
        b"ElementSpacing = 1 one 1",
        b"Offset = 0 nan 0",
        b"space origin: (0,inf,0)",
        b"TransformMatrix = 1 0 0 0 1 0 0 0 0",
    ],
)
def test_lines_that_are_refused(line: bytes) -> None:
    with pytest.raises(GeometryError):
        judge_text("a.mha", b"NDims = 3\n" + line + b"\nDimSize = 1 2 3\n")


@pytest.mark.parametrize(
    "line",
    [b"ElementSpacing = 0.7 0.7 5", b"spacings: nan 1 1", b"TransformMatrix = 0 1 0 -1 0 0 0 0 1", b"Name = inf"],
)
def test_lines_that_pass(line: bytes) -> None:
    judge_text("a.mha", b"NDims = 3\n" + line + b"\nDimSize = 1 2 3\n")
