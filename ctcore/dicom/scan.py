"""Every DICOM object below a folder or in an archive, whatever its file is called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ctcore.dicom.archive import ZIP_MAGIC, members
from ctcore.dicom.header import DIRECTORY_CLASS, HEAD_BYTES, Header, is_dicom, read_header
from ctcore.dicom.source import DicomSource, Opener
from ctcore.errors import RequestError, UnreadableImageError, first_line
from ctcore.files import image_suffix
from ctcore.first_bytes import said_of

MAX_FILES = 500_000
"""Most files that are looked at."""

MAX_DEPTH = 32
"""Most folders inside one another."""


@dataclass(frozen=True)
class Unreadable:
    """A DICOM object, an archive or a folder that cannot be read.

    Attributes:
        name: of the file, without folders.
        reason: why, in one line.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Scan:
    """What was found.

    Attributes:
        headers: of every object that can be read, in the order of their paths.
        unreadable: the others, and folders.
    """

    headers: tuple[Header, ...]
    unreadable: tuple[Unreadable, ...]


def scan(path: Path, case_tag: int | None = None) -> Scan:
    """Reads the header of every DICOM object of a file, an archive, or a folder with all its subfolders.

    Hidden files and folders, and files named like images of other formats, are passed over; a linked folder is
    followed, once.

    Args:
        path: the file or folder.
        case_tag: a tag whose value is kept in the headers, too.

    Raises:
        RequestError: there are more files, or deeper folders, than any archive of studies has.
    """
    headers: list[Header] = []
    unreadable: list[Unreadable] = []
    with Opener() as opener:
        for file in _files(path):
            if isinstance(file, Unreadable):
                unreadable.append(file)
                continue
            try:
                stat = file.stat()
                source = DicomSource(file, None, stat.st_size, stat.st_mtime_ns)
                head = opener.head(source, HEAD_BYTES)
                archived = head.startswith(ZIP_MAGIC) and file.suffix.lower() == ".zip"
                sources = members(file) if archived else [source]
            except UnreadableImageError as error:
                unreadable.append(Unreadable(file.name, first_line(error)))
                continue
            except OSError:  # a dangling link, a socket: no file
                continue
            for each in sources:
                try:
                    if is_dicom(opener.head(each, HEAD_BYTES) if archived else head):
                        with opener.open(each, whole=False) as handle:
                            headers.append(read_header(handle, each, case_tag))
                except UnreadableImageError as error:
                    unreadable.append(Unreadable(each.name, first_line(error)))
    return Scan(tuple(h for h in headers if h.sop_class != DIRECTORY_CLASS), tuple(unreadable))


def _files(path: Path) -> Iterator[Path | Unreadable]:
    """Yields the files that may be DICOM objects or archives, sorted within each folder, and folders without access."""
    if path.is_file():
        yield path
        return
    seen: set[Path] = set()

    def below(folder: Path, depth: int) -> Iterator[Path | Unreadable]:
        if depth > MAX_DEPTH:
            raise RequestError(f"'{path}' holds folders more than {MAX_DEPTH} deep; give one of them")
        real = folder.resolve()
        if real in seen:
            return
        seen.add(real)
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            reason = f"folder '{folder.name}' cannot be read: {said_of(error)}; change its permissions"
            yield Unreadable(folder.name, reason)
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError as error:
                yield Unreadable(entry.name, f"'{entry.name}' cannot be read: {said_of(error)}; change its permissions")
                continue
            if is_folder:
                yield from below(entry, depth + 1)
            elif is_file and image_suffix(entry) is None:
                yield entry

    for count, file in enumerate(below(path, 0), start=1):
        if count > MAX_FILES:
            raise RequestError(f"'{path}' holds more than {MAX_FILES} files; give a narrower folder")
        yield file
