"""DICOM series as scanners write them, made from volumes with pydicom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from ctcore.volume import Volume

INTERCEPT = -2048
SLOPE = 1

Change = Callable[[Dataset, int], None]
"""Changes the slice of an index."""


def uid(*words: object) -> str:
    """Returns the same UID for the same words."""
    return str(generate_uid(entropy_srcs=[str(word) for word in words]))


def slice_of(
    volume: Volume,
    index: int,
    *,
    patient: str = "Doe^Jane",
    study: str = "study",
    series: str = "series",
    number: int = 1,
    slope: float = SLOPE,
    intercept: float = INTERCEPT,
) -> Dataset:
    """Returns one slice (along the first axis) of a CT, 16 bits, uncompressed, with every attribute of the standard."""
    geometry = volume.geometry
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    instance = generate_uid(entropy_srcs=[patient, study, series, str(index)])
    dataset.file_meta.MediaStorageSOPInstanceUID = instance
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, instance
    dataset.PatientName, dataset.PatientID = patient, patient.replace("^", "")
    dataset.PatientBirthDate, dataset.PatientSex = "19500101", "F"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid(patient, study), uid(patient, study, series)
    dataset.StudyID, dataset.AccessionNumber = "1", "A1"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = "20200102"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = dataset.AcquisitionTime = "030405"
    dataset.ReferringPhysicianName, dataset.Manufacturer = "", "Nobody"
    dataset.Modality, dataset.SeriesDescription, dataset.SeriesNumber = "CT", "portal venous", number
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.InstanceNumber, dataset.AcquisitionNumber = index + 1, 1
    dataset.BodyPartExamined = "ABDOMEN"
    dataset.PatientPosition, dataset.PositionReferenceIndicator = "HFS", ""
    dataset.FrameOfReferenceUID = uid(patient, study, "frame")
    dataset.KVP, dataset.SliceThickness = 120, geometry.spacing[2]
    dataset.Rows, dataset.Columns = geometry.shape[1:]
    dataset.PixelSpacing = [geometry.spacing[1], geometry.spacing[0]]
    dataset.ImageOrientationPatient = [*geometry.matrix[:, 0], *geometry.matrix[:, 1]]
    dataset.ImagePositionPatient = [
        DSfloat(float(p), auto_format=True) for p in geometry.index_to_physical((index, 0, 0))
    ]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = slope, intercept, "HU"
    stored = np.round((np.asarray(volume.array[index], dtype=np.float64) - intercept) / slope)
    dataset.PixelData = stored.astype("<u2").tobytes()
    return dataset


def write_series(
    folder: Path,
    volume: Volume,
    *,
    change: Change | None = None,
    leave_out: Sequence[int] = (),
    name: str = "IM{:04d}",
    **settings: Any,
) -> list[Path]:
    """Writes the slices of a volume as a DICOM series, the last first, in files without suffix.

    Args:
        folder: made if it is not there.
        volume: the CT.
        change: changes each slice before it is written.
        leave_out: slices that are not written.
        name: of the files, by slice.
        settings: of `slice_of`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for index in reversed(range(volume.geometry.shape[0])):
        if index in leave_out:
            continue
        dataset = slice_of(volume, index, **settings)
        if change is not None:
            change(dataset, index)
        path = folder / name.format(len(paths))
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        paths.append(path)
    return paths
