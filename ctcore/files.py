"""Finding cases; reading and writing volumes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ctcore.bounds import check_extent
from ctcore.compressed import verify_compressed
from ctcore.durable import write_atomic
from ctcore.errors import (
    ImageDimensionError,
    OutputError,
    RequestError,
    UnreadableImageError,
    first_line,
)
from ctcore.first_bytes import check_content, head_of, why_not_a_file
from ctcore.geometry import Inset
from ctcore.itk import from_sitk, itk_reason, to_sitk, without_itk_warnings
from ctcore.metaimage import read_metaimage_header
from ctcore.nifti import read_nifti_header, read_stored, verify_and_restore
from ctcore.nifti_writer import write_nifti
from ctcore.nrrd import read_nrrd_header
from ctcore.plausible import judge_ct
from ctcore.stored_grid import judge_nifti, judge_text
from ctcore.text import printable, safe_id
from ctcore.text_header import StoredVoxels
from ctcore.volume import Geometry, Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")
"""File names that are taken for images, in lower case."""

NIFTI_SUFFIXES = (".nii.gz", ".nii")
METAIMAGE_SUFFIXES = (".mha", ".mhd")

COMPRESSION_LEVEL = 1
"""Of what ITK writes; outputs are read again within minutes: a higher level costs seconds and saves a few per cent."""


@dataclass(frozen=True)
class CaseFile:
    """One case found on disk.

    Attributes:
        case_id: file stem without `_0000` and extension.
        path: the image.
    """

    case_id: str
    path: Path

    @property
    def image(self) -> str:
        """What the CT is called in results."""
        return printable(self.path.name)

    @property
    def stamp(self) -> tuple[int, int]:
        """Bytes of the CT, and when it was last changed, in nanoseconds since 1970.

        Raises:
            UnreadableImageError: it is gone, or no file.
        """
        reason = why_not_a_file(self.path)
        if reason is not None:
            raise UnreadableImageError(f"'{self.image}' cannot be read: {reason}; check or replace it")
        stat = self.path.stat()
        return stat.st_size, stat.st_mtime_ns

    @property
    def version(self) -> str | None:
        """What tells the image's content from another one, where the store it lies on says that; else None."""
        return None

    @contextlib.contextmanager
    def at_hand(self) -> Iterator[CaseFile]:
        """Has the image on this machine's disk for the length of a block; yields the case with its path there.

        Raises:
            UnreadableImageError: it has to be brought there, and cannot be.
        """
        yield self


def image_suffix(path: Path) -> str | None:
    """Returns the image suffix (lower case) that a path ends with, or None if it is not named like an image."""
    name = path.name.lower()
    return next((s for s in IMAGE_SUFFIXES if name.endswith(s) and len(name) > len(s)), None)


def case_id_of(path: Path) -> str:
    """Returns the case id that a file name stands for: the stem without `_0000` and extension, fit for any table."""
    suffix = image_suffix(path)
    stem = path.name[: -len(suffix)] if suffix else path.stem
    return safe_id(stem.removesuffix("_0000") or stem)


def label_id_of(path: Path) -> str:
    """Returns the case id that a label file stands for: the whole stem, which has no channel suffix."""
    suffix = image_suffix(path)
    return safe_id(path.name[: -len(suffix)] if suffix else path.stem)


def discover(path: Path, id_of: Callable[[Path], str] = case_id_of) -> list[CaseFile]:
    """Finds the cases of a folder (not nested), or the single case of a file, sorted by case id.

    What is not named like an image (a clinical JSON, a README, a hidden file) is skipped.

    Args:
        path: a folder or an image.
        id_of: the case id that a file stands for; maps and labels, which have no channel suffix, want `label_id_of`.

    Raises:
        RequestError: the path does not exist, holds no image, or holds two images of one case id.
    """
    if path.is_file():
        if image_suffix(path) is None:
            raise RequestError(f"'{path}' is not an image; give a file ending in {', '.join(IMAGE_SUFFIXES)}")
        return [CaseFile(id_of(path), path)]
    if not path.is_dir():
        raise RequestError(f"'{path}' does not exist; give a CT file or a folder of CT files")
    cases: dict[str, CaseFile] = {}
    for entry in sorted(path.iterdir()):
        if entry.name.startswith(".") or image_suffix(entry) is None or entry.is_dir():
            continue
        case = CaseFile(id_of(entry), entry)
        if case.case_id in cases:
            raise RequestError(
                f"'{entry.name}' and '{cases[case.case_id].path.name}' in '{path}' are both case '{case.case_id}';"
                " rename or remove one"
            )
        cases[case.case_id] = case
    if not cases:
        raise RequestError(f"'{path}' holds no image; expected files ending in {', '.join(IMAGE_SUFFIXES)}")
    return [cases[case_id] for case_id in sorted(cases)]


def read_header(path: Path) -> StoredVoxels:
    """Reads and judges an image's header, in this project's own code: ITK sees only what has passed.

    Raises:
        UnreadableImageError: the file is missing, or its header is damaged or not what its name claims.
        ImageDimensionError: it says that it has more voxels than any CT.
    """
    suffix = image_suffix(path)
    if suffix is None:
        raise UnreadableImageError(f"'{path.name}' is not named like an image; use {', '.join(IMAGE_SUFFIXES)}")
    if not path.is_file():
        raise UnreadableImageError(f"'{path}' is not a readable file; check the path and its permissions")
    try:
        if suffix in NIFTI_SUFFIXES:
            return read_nifti_header(path)
        return read_metaimage_header(path) if suffix in METAIMAGE_SUFFIXES else read_nrrd_header(path)
    except OSError as error:
        raise UnreadableImageError(f"'{path.name}' cannot be read: {first_line(error)}; check or replace it") from error


def _image_reader(path: Path) -> sitk.ImageFileReader:
    """Returns ITK's reader for an image of this suffix: left to choose, it would try every format it knows."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    suffix = image_suffix(path)
    kind = "Nifti" if suffix in NIFTI_SUFFIXES else "Meta" if suffix in METAIMAGE_SUFFIXES else "Nrrd"
    reader.SetImageIO(f"{kind}ImageIO")
    return reader


@without_itk_warnings()  # the exception says enough
def read(path: Path) -> Volume:
    """Reads an image file with its values and dtype as stored (scaled, where the header says so).

    Raises:
        UnreadableImageError: the file is missing, truncated, damaged, empty, or not what its name claims.
        ImageDimensionError: it is not a single 3-D scalar volume.
        GeometryError: its grid is impossible.
        IntensityError: its scaling is.
    """
    import SimpleITK as sitk

    suffix = image_suffix(path)
    if suffix is None:
        raise UnreadableImageError(f"'{path.name}' is not named like an image; use {', '.join(IMAGE_SUFFIXES)}")
    head = head_of(path)
    check_content(path, suffix, head)
    flags: tuple[str, ...] = ()
    if suffix in NIFTI_SUFFIXES:
        flags = judge_nifti(path.name, head)
    else:
        judge_text(path.name, head)
    voxels = read_header(path)
    if suffix == ".nii.gz" and path.with_suffix("").exists():
        # ITK takes the header from the one and the voxels from the other.
        raise UnreadableImageError(f"'{path.with_suffix('').name}' lies beside '{path.name}'; remove one of them")
    reader = _image_reader(path)
    try:
        reader.ReadImageInformation()
        dimension, size = reader.GetDimension(), reader.GetSize()
        if dimension > 3 and all(n == 1 for n in size[3:]):
            reader.SetExtractSize([*size[:3], *([0] * (dimension - 3))])
        elif dimension != 3:
            raise ImageDimensionError(
                f"'{path.name}' has {dimension} dimensions of size {tuple(size)}; give one 3-D volume"
            )
        elif reader.GetNumberOfComponents() != 1 and "complex" not in sitk.GetPixelIDValueAsString(reader.GetPixelID()):
            raise ImageDimensionError(
                f"'{path.name}' has {reader.GetNumberOfComponents()} values a voxel; give one scalar volume, in HU"
            )
        elif suffix in NIFTI_SUFFIXES and reader.GetNumberOfComponents() == 1:
            array = read_stored(path, (size[2], size[1], size[0]))
            if array is not None:
                spacing, origin, direction = reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection()
                return Volume(array, Geometry(array.shape, spacing, origin, direction), flags)
        image = reader.Execute()
    except RuntimeError as error:
        reason = itk_reason(error).replace(f"{path.parent}/", "")
        raise UnreadableImageError(f"'{path.name}' cannot be read: {reason}; check or replace it") from error
    volume = from_sitk(image)
    if suffix in NIFTI_SUFFIXES:
        verify_and_restore(path, volume.array)
    else:
        verify_compressed(path, voxels)
    return replace(volume, flags=flags)


def read_ct(path: Path) -> Volume:
    """Reads a CT in Hounsfield units.

    Raises:
        CaseError: as `read`, and `judge_ct`.
        GeometryError: its field of view is larger than any scanner's.
    """
    volume = read(path)
    check_extent(volume.geometry, path.name)
    return judge_ct(volume, path.name)


def write(volume: Volume | Inset, path: Path) -> None:
    """Writes a volume as NIfTI, MetaImage or NRRD by the path's suffix; compressed where the format allows.

    Args:
        volume: the volume, or the part of it outside of which it is 0; NIfTI files need no more than that in memory.
        path: appears complete or not at all.

    Raises:
        RequestError: the suffix is none that can be written.
        OutputError: it could not be written in full.
    """
    import SimpleITK as sitk

    suffix = image_suffix(path)
    if suffix is None or suffix == ".mhd":
        raise RequestError(f"cannot write '{path.name}'; use .nii.gz, .nii, .mha or .nrrd")

    def write_to(partial: Path) -> None:
        try:
            if suffix in NIFTI_SUFFIXES:
                write_nifti(Inset.of(volume), partial, compressed=suffix == ".nii.gz")
            else:
                whole = volume.whole() if isinstance(volume, Inset) else volume
                sitk.WriteImage(to_sitk(whole), str(partial), True, COMPRESSION_LEVEL)
        except RuntimeError as error:  # ITK's word for all that goes wrong
            raise OutputError(f"'{path}' cannot be written: {itk_reason(error)}; free space on its disk") from error

    write_atomic(path, write_to)
