"""Finding and reading CTs, whatever they come in: image files, or DICOM series in folders and archives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ctcore.case_names import case_id_from, is_text
from ctcore.dicom.choose import DicomSeries, judge
from ctcore.dicom.names import case_ids
from ctcore.dicom.read import read_series
from ctcore.dicom.scan import Unreadable, scan
from ctcore.dicom.stack import stacks_of
from ctcore.errors import RequestError
from ctcore.files import IMAGE_SUFFIXES, CaseFile, image_suffix, read_ct
from ctcore.first_bytes import is_folder, said_of
from ctcore.named_cts import FaultyCase, not_read, other_suffix, told_apart, why_faulty
from ctcore.object_store import ObjectFolder, Place
from ctcore.stored_cts import stored_cts
from ctcore.volume import Volume


@dataclass(frozen=True)
class DicomCase(CaseFile):
    """A DICOM series that is a case.

    Attributes:
        series: its slices.
    """

    series: DicomSeries

    @property
    def image(self) -> str:
        """What the CT is called in results: neither folder nor file names, which may name patients."""
        return f"DICOM series {self.series.digest}"

    @property
    def stamp(self) -> tuple[int, int]:
        """Bytes of all slices, and when the last of them was changed, in nanoseconds since 1970."""
        return self.series.stored_bytes, self.series.modified_ns


@dataclass(frozen=True)
class FoundCts:
    """The CTs of an input.

    Attributes:
        cases: image files and chosen DICOM series, sorted by case id.
        series: every DICOM series that was found, chosen or not.
        unreadable: DICOM objects, archives and folders that cannot be read.
    """

    cases: tuple[CaseFile, ...]
    series: tuple[DicomSeries, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    def case_id_of(self, series: DicomSeries) -> str | None:
        """Returns the case that a series is, or None."""
        return next((c.case_id for c in self.cases if isinstance(c, DicomCase) and c.series is series), None)


def find_cts(path: Place, case_id_tag: str | None = None) -> FoundCts:
    """Finds the CTs of a folder, a file or a ZIP archive, of which there has to be one at least.

    Args:
        path: the folder or file; on object storage image files alone are found.
        case_id_tag: the DICOM tag that names cases, a keyword or numbers; by default a digest of UIDs does.

    Raises:
        RequestError: as `look_for_cts`, or there is none.
    """
    found = look_for_cts(path, case_id_tag)
    if not found.cases:
        raise RequestError(_nothing(path, found.series, found.unreadable))
    return found


def look_for_cts(path: Place, case_id_tag: str | None = None) -> FoundCts:
    """Finds the CTs of a folder, a file or a ZIP archive; there may be none.

    Image files are those of the folder itself; DICOM objects are looked for in all its subfolders and archives, too,
    and one series of each study is chosen (`ctcore.dicom.choose.judge`). What is named like an image and is none, and
    cases of one name, are `FaultyCase`s; hidden files are passed over.

    Args:
        path: the folder or file; on object storage image files alone are found.
        case_id_tag: the DICOM tag that names cases, a keyword or numbers; by default a digest of UIDs does.

    Raises:
        RequestError: the path does not exist or may not be read, there is no such tag, or it is on object storage
            and holds DICOM.
    """
    from ctcore.dicom.header import tag_of

    if isinstance(path, ObjectFolder):
        return FoundCts(tuple(stored_cts(path)))
    tag = None if case_id_tag is None else tag_of(case_id_tag)
    entries = _entries(path)
    if path.is_file() and image_suffix(path) is not None:
        return FoundCts((_named(path),))
    found = scan(path, tag)
    series = tuple(judge(stacks_of(found.headers)))
    chosen = [one for one in series if one.verdict != "refused"]
    dicom = [
        DicomCase(case_id, one.first.source.path, one) for case_id, one in zip(case_ids(chosen), chosen, strict=True)
    ]
    tops = {path / header.source.path.relative_to(path).parts[0] for header in found.headers if entries}
    rest = [entry for entry in entries if entry not in tops]  # a folder of slices may be called what it likes
    images = [_named(entry) for entry in rest if image_suffix(entry) is not None]
    others = [entry for entry in rest if other_suffix(entry) is not None and not is_folder(entry)]
    cases = told_apart([*images, *not_read(others), *dicom])
    return FoundCts(tuple(sorted(cases, key=lambda case: case.case_id)), series, found.unreadable)


def read_case(case: CaseFile) -> Volume:
    """Reads a CT in Hounsfield units, whatever it comes in.

    Raises:
        CaseError: as `read_ct` and `read_series`, or the fault of a `FaultyCase`.
    """
    if isinstance(case, FaultyCase):
        raise case.fault
    if isinstance(case, DicomCase):
        return read_series(case.series)
    with case.at_hand() as local:
        return read_ct(local.path)


def _entries(path: Path) -> list[Path]:
    """Returns what lies in a folder and is not hidden, sorted; nothing of a file.

    Raises:
        RequestError: it is neither, or may not be read.
    """
    if not is_text(path):
        raise RequestError(
            f"'{path}' has bytes in its name that are no text; rename it".encode(errors="replace").decode()
        )
    try:
        path.stat()
        if path.is_dir():
            return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        if not path.is_file():
            raise RequestError(f"'{path}' is neither a file nor a folder; give a CT file or a folder of CTs")
    except FileNotFoundError as error:
        raise RequestError(f"'{path}' does not exist; give a CT file, a DICOM series, or a folder of such") from error
    except OSError as error:
        raise RequestError(f"'{path}' cannot be read: {said_of(error)}; change its permissions") from error
    return []


def _named(path: Path) -> CaseFile:
    """Returns the case that a path named like an image is."""
    return why_faulty(path, folder=is_folder(path)) or CaseFile(case_id_from(path), path)


def _nothing(path: Place, series: tuple[DicomSeries, ...], unreadable: tuple[Unreadable, ...]) -> str:
    """Says why there is no case."""
    expected = f"expected DICOM series or files ending in {', '.join(IMAGE_SUFFIXES)}"
    if series:
        reasons = sorted({one.reason for one in series})
        shown = "; ".join(reasons[:3]) + ("; ..." if len(reasons) > 3 else "")
        return f"'{path}' holds {len(series)} DICOM series, none of them a CT to compute ({shown}); {expected}"
    if unreadable:
        return f"'{path}' holds no readable CT: {unreadable[0].reason}"
    if isinstance(path, ObjectFolder):
        return f"'{path}' holds no image; expected objects ending in {', '.join(IMAGE_SUFFIXES)}, in no subfolder"
    return f"'{path}' {'is not an image' if path.is_file() else 'holds no image'}; {expected}"
