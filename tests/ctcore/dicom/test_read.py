"""Voxels: slopes of every slice, every way of storing them, and damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

from ctcore.dicom.choose import DicomSeries, judge
from ctcore.dicom.codestream import coded_size
from ctcore.dicom.read import read_series
from ctcore.dicom.scan import scan
from ctcore.dicom.stack import stacks_of
from ctcore.errors import CaseError, GeometryError, IntensityError, UnreadableImageError
from ctcore.volume import Volume
from tests.ctcore.dicom.series_on_disk import slice_of, write_series


def series_in(folder: Path) -> DicomSeries:
    (one,) = judge(stacks_of(scan(folder).headers))
    return one


def test_values_and_grid(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path, ct)
    volume = read_series(series_in(tmp_path))
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, ct.array)
    assert volume.geometry.allclose(ct.geometry, 1e-9)


def test_the_same_as_itk_reads(tmp_path: Path, ct: Volume) -> None:
    """GDCM, through ITK, is the independent reader."""
    write_series(tmp_path, ct, slope=3, intercept=-1000)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    volume = read_series(series_in(tmp_path))
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image))
    assert volume.geometry.origin == pytest.approx(image.GetOrigin())
    assert volume.geometry.spacing == pytest.approx(image.GetSpacing())
    assert volume.geometry.direction == pytest.approx(image.GetDirection())


def test_every_slice_has_its_own_slope(tmp_path: Path, ct: Volume) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 1 + 2 * index, -2048 * (1 + 2 * index) - index

    write_series(tmp_path, ct, change=change)
    volume = read_series(series_in(tmp_path))
    index = np.arange(12)[:, None, None]
    assert volume.array.dtype == np.int32  # they do not fit 16 bits
    np.testing.assert_array_equal(volume.array, ct.array.astype(np.int64) * (1 + 2 * index) - index)


def test_broken_slopes(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path, ct, slope=0.5, intercept=-1000.25)
    volume = read_series(series_in(tmp_path))
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, ct.array, atol=0.26)
    np.testing.assert_array_equal(np.unique((volume.array + 1000.25) % 0.5), [0.0])


def test_signed_values_of_twelve_bits(tmp_path: Path, ct: Volume) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 1
        dataset.RescaleIntercept = 0
        dataset.PixelData = ct.array[index].astype("<i2").tobytes()

    write_series(tmp_path, ct, change=change)
    np.testing.assert_array_equal(read_series(series_in(tmp_path)).array, ct.array)


def encoded(dataset: Dataset, syntax: UID) -> None:
    """Compresses a slice."""
    stored: npt.NDArray[Any] = dataset.pixel_array
    make: dict[UID, Callable[[], bytes | bytearray]] = {
        JPEG2000Lossless: lambda: imagecodecs.jpeg2k_encode(stored, level=0, codecformat="j2k", reversible=True),
        JPEGLSLossless: lambda: imagecodecs.jpegls_encode(stored),
        JPEGLossless: lambda: imagecodecs.ljpeg_encode(stored, bitspersample=16),
    }
    made = bytes(make[syntax]())
    dataset.PixelData = encapsulate([made + b"\0" * (len(made) % 2)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, JPEGLossless, RLELossless], ids=lambda s: s.name)
def test_compressed_slices(tmp_path: Path, ct: Volume, syntax: UID) -> None:
    def change(dataset: Dataset, index: int) -> None:
        if syntax == RLELossless:
            dataset.compress(RLELossless, generate_instance_uid=False)
        else:
            encoded(dataset, syntax)

    paths = write_series(tmp_path, ct, change=change)
    np.testing.assert_array_equal(read_series(series_in(tmp_path)).array, ct.array)
    independent = [sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0] for path in reversed(paths)]  # by GDCM
    np.testing.assert_array_equal(independent, ct.array)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian], ids=lambda s: s.name)
def test_other_byte_orders(tmp_path: Path, ct: Volume, syntax: UID) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()

    write_series(tmp_path, ct, change=change)
    np.testing.assert_array_equal(read_series(series_in(tmp_path)).array, ct.array)


def test_an_unknown_compression_is_named(tmp_path: Path, ct: Volume) -> None:
    def change(dataset: Dataset, index: int) -> None:
        encoded(dataset, JPEG2000Lossless)
        dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.201")  # High-Throughput JPEG 2000

    write_series(tmp_path, ct, change=change)
    with pytest.raises(UnreadableImageError, match=r"slice 'IM0011' is stored as High-Throughput JPEG 2000"):
        read_series(series_in(tmp_path))


@pytest.mark.parametrize("kept", [0.5, 0.95])
def test_a_truncated_slice(tmp_path: Path, ct: Volume, kept: float) -> None:
    path = write_series(tmp_path, ct)[3]
    content = path.read_bytes()
    voxels = 2 * 8 * 10
    path.write_bytes(content[: len(content) - voxels + int(voxels * kept) // 2 * 2])
    with pytest.raises(UnreadableImageError, match="slice 'IM0003' cannot be read"):
        read_series(series_in(tmp_path))


def test_damaged_compressed_slices_are_refused_or_decoded(tmp_path: Path, ct: Volume) -> None:
    """Whatever the damage, the process lives and the fault is the case's."""
    paths = write_series(tmp_path, ct, change=lambda dataset, index: encoded(dataset, JPEGLSLossless))
    rng = np.random.default_rng(0)
    for path in paths:
        content = bytearray(path.read_bytes())
        for at in rng.integers(len(content) - 150, len(content), 20):
            content[at] = rng.integers(256)
        path.write_bytes(content)
    said = ""
    try:
        read_series(series_in(tmp_path))
    except CaseError as error:
        said = str(error)
    assert "IM00" in said


def test_a_slice_that_claims_more_than_it_has_costs_no_memory(tmp_path: Path, ct: Volume) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.Rows = dataset.Columns = 4096

    write_series(tmp_path, ct, change=change)
    with pytest.raises(UnreadableImageError, match="slice 'IM0011' cannot be read"):
        read_series(series_in(tmp_path))


def test_a_slice_that_has_changed(tmp_path: Path, ct: Volume) -> None:
    paths = write_series(tmp_path, ct)
    series = series_in(tmp_path)
    write_series(tmp_path, ct, change=lambda dataset, index: setattr(dataset, "Rows", 4))
    with pytest.raises(UnreadableImageError, match="has changed since it was found"):
        read_series(series)
    paths[0].unlink()
    with pytest.raises(UnreadableImageError, match="IM00"):
        read_series(series)


def test_faults_are_raised_when_read(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path, ct, leave_out=(4,))
    with pytest.raises(GeometryError, match="1 of 12 slices are missing"):
        read_series(series_in(tmp_path))


def test_a_series_of_one_value(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path, ct.with_array(np.zeros_like(ct.array)))
    with pytest.raises(IntensityError, match="holds the single value 0"):
        read_series(series_in(tmp_path))


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "JPEG2000.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_RLE.dcm", "693_J2KI.dcm"]
)
def test_real_files_are_decoded_as_itk_does(name: str) -> None:
    """pydicom ships slices of real scanners; GDCM in ITK is the other decoder."""
    from ctcore.dicom.read import _stored
    from ctcore.dicom.source import Opener

    path = Path(pydicom.__file__).parent / "data" / "test_files" / name
    (header,) = scan(path).headers
    with Opener() as opener:
        stored = _stored(opener, header)
    slope, intercept = header.slope or 1.0, header.intercept or 0.0
    np.testing.assert_array_equal(stored * slope + intercept, sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0])


def test_lossy_slices_are_read(tmp_path: Path, ct: Volume) -> None:
    def change(dataset: Dataset, index: int) -> None:
        encoded(dataset, JPEG2000Lossless)
        dataset.file_meta.TransferSyntaxUID = JPEG2000

    write_series(tmp_path, ct, change=change)
    assert read_series(series_in(tmp_path)).array.shape == ct.array.shape


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, JPEGLossless], ids=lambda s: s.name)
def test_sizes_inside_compressed_slices(ct: Volume, syntax: UID) -> None:
    dataset = slice_of(ct, 0)
    encoded(dataset, syntax)
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    assert coded_size(stream) == (8, 10)
    assert [coded_size(stream[:n]) for n in (0, 1, 2, 6)] == [None] * 4


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, JPEGLossless, RLELossless], ids=lambda s: s.name)
def test_a_decoder_never_sees_a_slice_that_would_become_larger(
    tmp_path: Path, ct: Volume, syntax: UID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(dataset: Dataset, index: int) -> None:
        if syntax == RLELossless:
            dataset.PixelData = encapsulate([bytes(100_000)])
            dataset["PixelData"].is_undefined_length = True
            dataset.file_meta.TransferSyntaxUID = syntax
            return
        rows = dataset.Rows
        dataset.Rows, dataset.PixelData = 4 * rows, dataset.PixelData * 4
        encoded(dataset, syntax)
        dataset.Rows = rows

    write_series(tmp_path, ct, change=change)
    monkeypatch.setattr(Dataset, "pixel_array", None)
    monkeypatch.setattr("ctcore.dicom.read.decode", None)
    with pytest.raises(UnreadableImageError, match="slice 'IM0011' of 8 x 10 voxels is compressed to"):
        read_series(series_in(tmp_path))


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, JPEGLossless], ids=lambda s: s.name)
def test_a_truncated_compressed_slice_is_never_decoded(tmp_path: Path, ct: Volume, syntax: UID) -> None:
    def change(dataset: Dataset, index: int) -> None:
        encoded(dataset, syntax)
        stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
        dataset.PixelData = encapsulate([stream[: len(stream) // 4 * 2]])

    write_series(tmp_path, ct, change=change)
    with pytest.raises(UnreadableImageError, match="slice 'IM0011' ends within its compressed voxels"):
        read_series(series_in(tmp_path))
