"""Finding and reading CTs, whatever they come in: image files, or DICOM series in folders and archives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ctcore.dicom.choose import DicomSeries, judge
from ctcore.dicom.names import case_ids
from ctcore.dicom.read import read_series
from ctcore.dicom.scan import Unreadable, scan
from ctcore.dicom.stack import stacks_of
from ctcore.errors import RequestError
from ctcore.files import IMAGE_SUFFIXES, CaseFile, discover, image_suffix, read_ct
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
        unreadable: DICOM objects and archives that cannot be read.
    """

    cases: tuple[CaseFile, ...]
    series: tuple[DicomSeries, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    def case_id_of(self, series: DicomSeries) -> str | None:
        """Returns the case that a series is, or None."""
        return next((c.case_id for c in self.cases if isinstance(c, DicomCase) and c.series is series), None)


def find_cts(path: Path, case_id_tag: str | None = None) -> FoundCts:
    """Finds the CTs of a folder, a file or a ZIP archive, of which there has to be one at least.

    Args:
        path: the folder or file.
        case_id_tag: the DICOM tag that names cases, a keyword or numbers; by default a digest of UIDs does.

    Raises:
        RequestError: as `look_for_cts`, or there is none.
    """
    found = look_for_cts(path, case_id_tag)
    if not found.cases:
        raise RequestError(_nothing(path, found.series, found.unreadable))
    return found


def look_for_cts(path: Path, case_id_tag: str | None = None) -> FoundCts:
    """Finds the CTs of a folder, a file or a ZIP archive; there may be none.

    Image files are those of the folder itself; DICOM objects are looked for in all its subfolders and archives, too,
    and one series of each study is chosen (`ctcore.dicom.choose.judge`).

    Args:
        path: the folder or file.
        case_id_tag: the DICOM tag that names cases, a keyword or numbers; by default a digest of UIDs does.

    Raises:
        RequestError: the path does not exist, there is no such tag, or two CTs have one case id.
    """
    from ctcore.dicom.header import tag_of

    tag = None if case_id_tag is None else tag_of(case_id_tag)
    if not path.exists():
        raise RequestError(f"'{path}' does not exist; give a CT file, a DICOM series, or a folder of such")
    if path.is_file() and image_suffix(path) is not None:
        return FoundCts(tuple(discover(path)))
    images = _images(path)
    found = scan(path, tag)
    series = tuple(judge(stacks_of(found.headers)))
    chosen = [one for one in series if one.verdict != "refused"]
    dicom = [
        DicomCase(case_id, one.first.source.path, one) for case_id, one in zip(case_ids(chosen), chosen, strict=True)
    ]
    cases: dict[str, CaseFile] = {}
    for case in (*images, *dicom):
        if case.case_id in cases:
            raise RequestError(f"two CTs in '{path}' are both case '{case.case_id}'; rename or remove one")
        cases[case.case_id] = case
    return FoundCts(tuple(cases[case_id] for case_id in sorted(cases)), series, found.unreadable)


def read_case(case: CaseFile) -> Volume:
    """Reads a CT in Hounsfield units, whatever it comes in.

    Raises:
        CaseError: as `read_ct` and `read_series`.
    """
    return read_series(case.series) if isinstance(case, DicomCase) else read_ct(case.path)


def _images(path: Path) -> list[CaseFile]:
    """Returns the image files of a folder, of which there may be none."""
    if path.is_file():
        return []
    named = any(image_suffix(entry) is not None and not entry.name.startswith(".") for entry in path.iterdir())
    return discover(path) if named else []


def _nothing(path: Path, series: tuple[DicomSeries, ...], unreadable: tuple[Unreadable, ...]) -> str:
    """Says why there is no case."""
    expected = f"expected DICOM series or files ending in {', '.join(IMAGE_SUFFIXES)}"
    if series:
        reasons = sorted({one.reason for one in series})
        shown = "; ".join(reasons[:3]) + ("; ..." if len(reasons) > 3 else "")
        return f"'{path}' holds {len(series)} DICOM series, none of them a CT to compute ({shown}); {expected}"
    if unreadable:
        return f"'{path}' holds no readable CT: {unreadable[0].reason}"
    return f"'{path}' {'is not an image' if path.is_file() else 'holds no image'}; {expected}"
