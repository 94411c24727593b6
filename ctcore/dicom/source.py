"""Where the bytes of a DICOM object lie: a file, or a member of a ZIP archive, which is never extracted to disk."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from ctcore.errors import UnreadableImageError, first_line

MAX_OBJECT_BYTES = 64 << 20
"""Largest DICOM object that is read. A slice of 4096 x 4096 voxels of 16 bits has 32 MiB."""

READ_ERRORS = (
    OSError, EOFError, RuntimeError, NotImplementedError, ValueError, LookupError, struct.error,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What reading a file or a member of an archive raises where it is damaged, encrypted or packed in an unknown way."""


@dataclass(frozen=True)
class DicomSource:
    """Where a DICOM object lies.

    Attributes:
        path: the file, or the archive.
        member: the name inside the archive, or None.
        size: bytes of the object, as the file system or the archive says.
        modified_ns: when the file or the archive was last changed, in nanoseconds since 1970.
    """

    path: Path
    member: str | None
    size: int
    modified_ns: int

    @property
    def name(self) -> str:
        """The file's own name, without folders, which may name patients."""
        return self.path.name if self.member is None else self.member.rsplit("/", 1)[-1]


class Opener:
    """Opens one DICOM object after the other; the last archive stays open in between. A context manager."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._archive: zipfile.ZipFile | None = None

    def __enter__(self) -> Opener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._archive is not None:
            self._archive.close()

    def head(self, source: DicomSource, size: int) -> bytes:
        """Returns the first bytes of an object, `size` at most.

        Raises:
            UnreadableImageError: it cannot be read.
        """
        try:
            with self._stream(source) as stream:
                return stream.read(size)
        except READ_ERRORS as error:
            raise _unreadable(source, error) from error

    def open(self, source: DicomSource, *, whole: bool = True) -> BinaryIO:
        """Opens an object; one of an archive is decompressed in memory, its checksum verified.

        Args:
            source: the object.
            whole: whether all of it may be read; otherwise a file may be as large as it likes.

        Raises:
            UnreadableImageError: it is larger than `MAX_OBJECT_BYTES`, or cannot be read.
        """
        if source.size > MAX_OBJECT_BYTES and (whole or source.member is not None):
            raise UnreadableImageError(
                f"'{source.name}' has {source.size >> 20} MiB, more than the {MAX_OBJECT_BYTES >> 20} MiB of the"
                " largest slice; give a series of single slices"
            )
        try:
            stream = self._stream(source)
            if source.member is None:
                return stream
            with stream:  # no more than `size` bytes come out of it, whatever the compressed bytes say
                return io.BytesIO(stream.read())
        except READ_ERRORS as error:
            raise _unreadable(source, error) from error

    def _stream(self, source: DicomSource) -> BinaryIO:
        if source.member is None:
            return source.path.open("rb")
        if self._path != source.path or self._archive is None:
            if self._archive is not None:
                self._archive.close()
            self._archive, self._path = zipfile.ZipFile(source.path), source.path
        return self._archive.open(source.member)  # type: ignore[return-value]


def _unreadable(source: DicomSource, error: BaseException) -> UnreadableImageError:
    return UnreadableImageError(f"'{source.name}' cannot be read: {first_line(error)}; copy it again")
