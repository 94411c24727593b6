"""What can be wrong with an image whose file is whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from tests.pipeline.conftest import ct_array
from tests.pipeline.faults.fault import FAULTY, Fault, done, failed, metaimage, nifti, values

CT = ct_array()
FLOATS = CT.astype(np.float32)
RANDOM = np.random.default_rng(0)

QFORM_ALONE = (252, "2h", (1, 0))
SFORM_ALONE = (252, "2h", (0, 1))
NO_FORMS = (252, "2h", (0, 0))
STEP_Z = 88
"""Offset of the third voxel size."""

AXES_OF_MHA = "TransformMatrix = 1 0 0 0 1 0 0 0 1"
SPACING_OF_MHA = "ElementSpacing = 0.69999999999999996 0.90000000000000002 2.5"


def _itk(array: npt.NDArray[Any], name: str, *, vector: bool = False) -> Callable[[Path], object]:
    return lambda folder: sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vector), str(folder / name))


def _nib(array: npt.NDArray[Any]) -> Callable[[Path], object]:
    """Values (x, y, z, ...) as NIfTI."""
    return lambda folder: nib.Nifti1Image(array, np.diag([-0.7, -0.9, 2.5, 1.0])).to_filename(
        folder / f"{FAULTY}.nii.gz"
    )


def _with(value: float) -> npt.NDArray[np.float32]:
    """The CT with another value in one voxel."""
    array = FLOATS.copy()
    array[5, 5, 5] = value
    return array


def _padded(value: int, array: npt.NDArray[Any] = CT) -> npt.NDArray[Any]:
    """Values with a first row that nothing was measured in."""
    padded = array.copy()
    padded[:, 0, :] = value
    return padded


def _step(value: float) -> Callable[[Path], object]:
    """A third voxel size, the quaternion alone."""
    return nifti(QFORM_ALONE, (STEP_Z, "f", (value,)))


def _sform(*rows: float) -> tuple[int, str, tuple[float, ...]]:
    return (280, "12f", rows)


NEITHER_FAT = "but a CT holds fat or air, below -50 HU"

IMAGE_FAULTS: dict[str, Fault] = {
    "one slice as a 2-D image": failed(_itk(CT[5], f"{FAULTY}.mha"), "has 2 dimensions of size (24, 20); give one 3-D"),
    "one slice as a volume": failed(values(CT[5:6]), "(1, 20, 24) voxels, a single one along an axis; give"),
    "one voxel": failed(values(CT[5:6, 5:6, 5:6]), "(1, 1, 1) voxels, a single one along an axis; give"),
    "two slices": done(values(np.ascontiguousarray(CT[[0, 5]])), "few_slices", "field_of_view_truncated"),
    "1,600 slices": done(values(np.repeat(CT, 134, axis=0)[:1600])),
    "4-D, one volume": done(_nib(CT.T[..., None])),
    "4-D, three volumes": failed(_nib(np.stack([CT.T] * 3, -1)), "has 4 dimensions of size (24, 20, 12, 3); give one"),
    "5-D": failed(_nib(np.zeros((3, 3, 3, 2, 2), np.int16)), "has 5 dimensions of size (3, 3, 3, 2, 2); give one 3-D"),
    "colours (RGB)": failed(_itk(np.zeros((*CT.shape, 3), np.uint8), f"{FAULTY}.mha", vector=True), "3 values a voxel"),
    "vectors": failed(_itk(np.zeros((*CT.shape, 3), np.float32), f"{FAULTY}.nii", vector=True), "3 values a voxel"),
    "complex values": failed(
        _itk(CT.astype(np.complex64), f"{FAULTY}.nrrd"), "holds complex64 values; give Hounsfield"
    ),
    "NaN in a voxel": failed(values(_with(math.nan)), "holds 1 NaN or infinite voxels; convert the CT again"),
    "infinity in a voxel": failed(values(_with(math.inf)), "holds 1 NaN or infinite voxels; convert the CT again"),
    "NaN in all voxels": failed(values(np.full_like(FLOATS, math.nan)), "holds 5760 NaN or infinite voxels; convert"),
    "constant": failed(values(np.full_like(CT, 40)), "holds the single value 40; it is not a CT"),
    "air alone": failed(
        values((-1000 + RANDOM.integers(-20, 20, CT.shape)).astype(np.int16)), "leave it out if it holds air alone"
    ),
    "uint16 without offset": failed(values((CT + 1024).astype(np.uint16)), f"{NEITHER_FAT}; add the rescale intercept"),
    "offset lost beside padding": failed(
        values(_padded(-2000, (CT + 1024).astype(np.int16))), "(what lies below -1100 is padding); add the rescale"
    ),
    "uint8": failed(values(np.interp(CT, (-160, 240), (0, 255)).astype(np.uint8)), f"from 0 to 229, {NEITHER_FAT}"),
    "normalised": failed(values((FLOATS - FLOATS.mean()) / FLOATS.std()), f"{NEITHER_FAT}; convert to Hounsfield"),
    "a thousand times too large": failed(
        values((FLOATS * 1e3).astype(np.float32)), "but no CT reaches beyond 16 bits; convert"
    ),
    "MR": failed(values(RANDOM.integers(0, 900, CT.shape).astype(np.int16)), f"{NEITHER_FAT}; add the rescale"),
    "binary mask": failed(values((CT >= 100).astype(np.uint8)), f"{NEITHER_FAT}; give the CT, not a mask or a prob"),
    "softmax": failed(
        values((CT >= 100) * np.float32(0.7)), f"{NEITHER_FAT}; give the CT, not a mask or a probability"
    ),
    "float64": done(values(CT.astype(np.float64))),
    "clipped to a window": done(values(CT.clip(-160, 240)), "values_clipped"),
    "padding of -2000": done(values(_padded(-2000))),
    "padding of -32768, or overflow": done(values(_padded(-32768)), "values_outside_hu"),
    "saturated at 3071": done(values(np.where(CT == 200, 3071, CT).astype(np.int16)), "metal_near_pancreas"),
    "slope 0": done(nifti((112, "2f", (0.0, 0.0)))),
    "slope 0, intercept -1024": done(nifti((112, "2f", (0.0, -1024.0))), "scaling_unreadable"),
    "slope NaN": done(nifti((112, "2f", (math.nan, 0.0))), "scaling_unreadable"),
    "slope of 1e30": failed(nifti((112, "2f", (1e30, 0.0))), "but no CT reaches beyond 16 bits; convert to Hounsfield"),
    "negative slope": failed(nifti((112, "2f", (-1.0, 0.0))), "has the slope -1, which makes air dense"),
    "spacing 0": failed(_step(0.0), "has spacing (0.7, 0.9, 0) mm, which is not three positive numbers; correct the"),
    "spacing 0 in MetaImage": failed(metaimage(SPACING_OF_MHA, "ElementSpacing = 0.7 0.9 0"), "(0.7 0.9 0) mm, which"),
    "negative spacing": failed(_step(-2.5), "has spacing (0.7, 0.9, -2.5) mm, which is not three positive numbers"),
    "negative spacing in MetaImage": failed(
        metaimage(SPACING_OF_MHA, "ElementSpacing = 0.7 0.9 -2.5"), "(0.7 0.9 -2.5) mm, which is not three positive"
    ),
    "spacing NaN": failed(_step(math.nan), "has spacing (0.7, 0.9, nan) mm, which is not three positive numbers"),
    "spacing of 1e-6 mm": failed(_step(1e-6), "has voxels of 0.7 x 0.9 x 1e-06 mm, a CT's are 0.01 to 50 mm; correct"),
    "spacing of 500 mm": failed(_step(500.0), "500 mm"),
    "slices 20 mm apart": done(_step(20.0)),
    "metres": failed(nifti((123, "b", (1,))), "mm"),
    "zero-length axis": failed(nifti((40, "8h", (3, 24, 20, 0, 1, 1, 1, 1))), "axes of"),
    "negative length": failed(nifti((40, "8h", (3, 24, 20, -12, 1, 1, 1, 1))), "axes of"),
    "more axes than there are": failed(nifti((40, "8h", (9, 24, 20, 12, 1, 1, 1, 1))), "axes of"),
    "more slices than there are": failed(nifti((40, "8h", (3, 24, 20, 13, 1, 1, 1, 1))), "bytes"),
    "sheared sform": failed(
        nifti(SFORM_ALONE, _sform(-0.7, 0.3, 0, 31, 0, -0.9, 0, -17, 0, 0, 2.5, -250)), "is sheared or degenerate"
    ),
    "singular sform": failed(
        nifti(SFORM_ALONE, _sform(-0.7, 0.7, 0, 31, 0.9, -0.9, 0, -17, 0, 0, 2.5, -250)), "is sheared or degenerate"
    ),
    "sform of zeros": failed(nifti(SFORM_ALONE, _sform(*[0.0] * 12)), "is sheared or degenerate; resample the image"),
    "quaternion that is no rotation": failed(nifti(QFORM_ALONE, (256, "3f", (2.0, 0.0, 0.0))), "which is no rotation"),
    "sheared MetaImage": failed(
        metaimage(AXES_OF_MHA, "TransformMatrix = 1 0 0 0.3 1 0 0 0 1"), "is not orthonormal (sheared or scaled grid)"
    ),
    "scaled direction": failed(metaimage(AXES_OF_MHA, "TransformMatrix = 2 0 0 0 1 0 0 0 1"), "is not orthonormal"),
    "singular direction": failed(metaimage(AXES_OF_MHA, "TransformMatrix = 1 0 0 1 0 0 0 0 1"), "is not orthonormal"),
    "direction NaN": failed(metaimage(AXES_OF_MHA, "TransformMatrix = nan 0 0 0 1 0 0 0 1"), "nan"),
    "sform that mirrors the qform": failed(
        nifti(_sform(0.7, 0, 0, 31.25, 0, -0.9, 0, -17, 0, 0, 2.5, -250.5)), "set the code of the wrong one to 0"
    ),
    "sform of another spacing": failed(
        nifti(_sform(-0.7, 0, 0, 31.25, 0, -0.9, 0, -17, 0, 0, 5, -250.5)), "set the code of the wrong one to 0"
    ),
    "sform in another place": done(
        nifti(_sform(-0.7, 0, 0, 131.25, 0, -0.9, 0, -17, 0, 0, 2.5, -250.5)), "place_ambiguous"
    ),
    "neither qform nor sform": done(nifti(NO_FORMS), "orientation_unknown"),
    "origin at 1,000,000 mm": done(nifti(QFORM_ALONE, (268, "f", (1e6,))), "origin_implausible"),
    "origin at 1e30 mm": failed(nifti(QFORM_ALONE, (268, "f", (1e30,))), "its header says 1e+30 mm"),
    "origin NaN": failed(nifti(QFORM_ALONE, (268, "f", (math.nan,))), "origin (nan, -17, -250.5) mm; correct the"),
    "origin NaN in MetaImage": failed(metaimage("Offset = -31.25", "Offset = nan"), "nan"),
}
