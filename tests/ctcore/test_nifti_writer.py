"""NIfTI files are what ITK would write, but made without the empty space, and always of the same bytes."""

import gzip
import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ctcore import nifti_writer
from ctcore.errors import OutputError
from ctcore.files import read, write
from ctcore.geometry import Box, Inset
from ctcore.itk import to_sitk
from ctcore.nifti import FIRST_VOXEL
from ctcore.nifti_writer import slabs, write_nifti
from ctcore.volume import Geometry, Volume

TO_RAS = np.diag([-1.0, -1.0, 1.0])
"""NIfTI's affine is in RAS, ours in LPS."""

SIZES = st.integers(1, 6)
MILLIMETRES = st.floats(0.2, 9.0)
POSITIONS = st.floats(-2000.0, 2000.0)


@st.composite
def directions(draw: st.DrawFn) -> tuple[float, ...]:
    """Any of the 48 axis-aligned directions, or one turned by any angles."""
    matrix = np.eye(3)[list(draw(st.permutations(range(3))))] * draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    if draw(st.booleans()):
        angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
        matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ matrix
    return tuple(float(value) for value in matrix.ravel())


@st.composite
def insets(draw: st.DrawFn) -> Inset:
    """A box of random values on a grid of any orientation."""
    shape = draw(st.tuples(SIZES, SIZES, SIZES))
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    stop = tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True))
    box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    spacing, origin = draw(st.tuples(*[MILLIMETRES] * 3)), draw(st.tuples(*[POSITIONS] * 3))
    dtype = draw(st.sampled_from(["f4", "u1", "i2", "f8"]))
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 7, box.shape).astype(dtype)
    return Inset(values, box, Geometry(shape, spacing, origin, draw(directions())))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inset=insets(), suffix=st.sampled_from([".nii.gz", ".nii"]))
def test_the_file_is_itks(tmp_path: Path, inset: Inset, suffix: str) -> None:
    whole = inset.whole()
    write(inset, tmp_path / f"ours{suffix}")
    sitk.WriteImage(to_sitk(whole), str(tmp_path / f"itks{suffix}"))
    ours, itks = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("ours", "itks"))
    if suffix == ".nii.gz":
        ours, itks = gzip.decompress(ours), gzip.decompress(itks)
    assert ours[:FIRST_VOXEL] == itks[:FIRST_VOXEL]  # every field of the header
    assert ours == itks


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inset=insets())
def test_others_read_the_same(tmp_path: Path, inset: Inset) -> None:
    whole = inset.whole()
    write(inset, tmp_path / "a.nii.gz")
    by_itk = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(by_itk), whole.array)
    by_nibabel = nibabel.Nifti1Image.from_filename(str(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(np.asarray(by_nibabel.dataobj).T, whole.array)
    assert np.asarray(by_nibabel.dataobj).dtype == whole.array.dtype
    grid = inset.geometry
    for affine, error in ((by_nibabel.get_sform(), 3e-6), (by_nibabel.get_qform(), 1e-3)):
        # Half a turn brings a float32 quaternion down to half of its digits; readers take the sform where there is one.
        np.testing.assert_allclose(affine[:3, :3], TO_RAS @ grid.matrix * grid.spacing, atol=error * max(grid.spacing))
        np.testing.assert_allclose(affine[:3, 3], TO_RAS @ grid.origin, rtol=1e-6, atol=1e-6)
    assert by_nibabel.header.get_xyzt_units()[0] == "mm"
    assert read(tmp_path / "a.nii.gz").geometry.allclose(grid, relative=1e-3)  # the origin has single precision


@given(inset=insets(), slab_bytes=st.integers(1, 400))
def test_slabs_are_the_whole(inset: Inset, slab_bytes: int) -> None:
    before, nifti_writer.SLAB_BYTES = nifti_writer.SLAB_BYTES, slab_bytes
    try:
        made = list(slabs(inset, np.float32))
    finally:
        nifti_writer.SLAB_BYTES = before
    assert all(slab.flags.c_contiguous for slab in made)
    np.testing.assert_array_equal(np.concatenate(made), inset.whole().array)


def test_the_bytes_do_not_depend_on_name_or_time(tmp_path: Path) -> None:
    volume = Volume(np.arange(60, dtype=np.float32).reshape(3, 4, 5), Geometry((3, 4, 5), (1.0, 1.0, 2.0)))
    for name in ("a.nii.gz", "b.nii.gz"):
        write(volume, tmp_path / name)
    data = (tmp_path / "a.nii.gz").read_bytes()
    assert (tmp_path / "b.nii.gz").read_bytes() == data
    assert data[3:8] == bytes(5)  # RFC 1952: no flags, hence no name; no time


def test_empty_space_takes_no_memory(tmp_path: Path) -> None:
    box = Box((300, 100, 100), (301, 101, 101))
    inset = Inset(np.ones((1, 1, 1), np.float32), box, Geometry((400, 256, 256), (1.0, 1.0, 1.0)))  # 105 MB
    write_nifti(inset, tmp_path / "warm.nii.gz", compressed=True)
    tracemalloc.start()
    try:
        write_nifti(inset, tmp_path / "a.nii.gz", compressed=True)
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()
    assert (tmp_path / "a.nii.gz").stat().st_size < 500_000
    assert np.flatnonzero(read(tmp_path / "a.nii.gz").array).tolist() == [(300 * 256 + 100) * 256 + 100]


def test_sizes_that_the_header_cannot_say(tmp_path: Path) -> None:
    volume = Volume(np.zeros((1, 1, 32768), np.uint8), Geometry((1, 1, 32768), (1.0, 1.0, 1.0)))
    with pytest.raises(OutputError, match=r"\(1, 1, 32768\) voxels does not fit NIfTI-1, .*; write \.mha"):
        write(volume, tmp_path / "a.nii.gz")
    assert list(tmp_path.iterdir()) == []
    write(volume, tmp_path / "a.mha")
