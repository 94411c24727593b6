"""Folders of object storage (`s3://bucket/cts`): what is in them, and copies from and to files."""

from __future__ import annotations

import contextlib
import datetime
import errno
import re
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctcore.durable import PARTIAL_PREFIX
from ctcore.errors import OutputError, RequestError, UnreadableImageError, first_line
from ctcore.object_client import PACKAGES, asking, file_system
from ctcore.stored_object import StoredObject

AT_ONCE = 16
"""Requests for small objects that wait for the store at the same time."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)


@dataclass(frozen=True)
class ObjectFolder:
    """A folder of object storage, or an object: a bucket and what names begin with.

    Attributes:
        scheme: `s3`, `gs` or `az`.
        path: bucket and prefix, without a slash at the end.
    """

    scheme: str
    path: str

    @classmethod
    def parse(cls, url: str) -> ObjectFolder:
        """Reads a URL.

        Raises:
            RequestError: it is none of object storage, or holds a secret, which is not shown.
        """
        match = _URL.fullmatch(url)
        scheme, path = (match[1].lower(), match[2].rstrip("/")) if match else ("", "")
        if "@" in path.partition("/")[0] or "?" in path:
            raise RequestError(
                f"a URL of '{scheme}://' holds a user, a password or a signature, which would get into results; leave"
                " it out: credentials come from the environment"
            )
        if scheme not in PACKAGES:
            known = ", ".join(f"{name}://" for name in PACKAGES)
            raise RequestError(f"'{url}' is on no object storage that is known; use {known} or a folder")
        if not path.isprintable() or any(part in ("", ".", "..") for part in path.split("/")):
            raise RequestError(f"'{url}' is no place in a bucket; write for instance {scheme}://bucket/folder")
        return cls(scheme, path)

    def __str__(self) -> str:
        """Returns the URL."""
        return f"{self.scheme}://{self.path}"

    def __truediv__(self, name: str) -> ObjectFolder:
        """Returns what is called so inside."""
        return ObjectFolder(self.scheme, f"{self.path}/{name}")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> ObjectFolder:
        """The folder that it lies in; a bucket's is itself."""
        return ObjectFolder(self.scheme, self.path.rpartition("/")[0] or self.path)

    def itself(self) -> StoredObject | None:
        """Returns the object that this is, with its name in the folder that it lies in; None where it is a folder.

        Raises:
            RequestError: it is not there, or the store refuses.
        """
        with asking(str(self), "read", RequestError):
            entry = self._files.info(self.path)
        return StoredObject.of(entry, self.name) if entry["type"] == "file" else None

    def entries(self, *, there: bool = True) -> tuple[list[StoredObject], list[str]]:
        """Returns the objects that lie in the folder itself, and the names of its subfolders, both sorted.

        Args:
            there: whether there has to be such a folder.

        Raises:
            RequestError: the store refuses, or there is no such folder.
        """
        with asking(str(self), "listed", RequestError):
            try:
                found = self._files.ls(self.path, detail=True)
            except FileNotFoundError:
                if there:
                    raise
                found = []
        objects, folders = [], []
        for entry in found:
            name = entry["name"].rstrip("/").removeprefix(self.path).lstrip("/")
            if name and entry["type"] == "directory":
                folders.append(name)
            elif name:
                objects.append(StoredObject.of(entry, name))
        return sorted(objects, key=lambda one: one.name), sorted(folders)

    def names(self) -> set[str]:
        """Returns the names of all objects in the folder and below it, relative to it; there may be none.

        Raises:
            RequestError: the store refuses.
        """
        with asking(str(self), "listed", RequestError):
            try:
                return {name.removeprefix(self.path).lstrip("/") for name in self._files.find(self.path)}
            except FileNotFoundError:  # what says so of a bucket that is not there is writing
                return set()

    def find(self, name: str) -> StoredObject:
        """Returns what the store says of an object now.

        Raises:
            UnreadableImageError: it is not there, or the store refuses.
        """
        with asking(name, "read", UnreadableImageError):
            return StoredObject.of(self._files.info(self._at(name)), name)

    def fetch(self, name: str, path: Path) -> None:
        """Copies an object into a file.

        Raises:
            UnreadableImageError: it is not there, or cannot be read in full.
        """
        with asking(name, "read", UnreadableImageError):
            self._files.get_file(self._at(name), str(path))

    def fetch_all(self, names: Iterable[str], folder: Path) -> None:
        """Copies objects into files of the same names in a folder; folders in between are made.

        Raises:
            UnreadableImageError: one is not there, or cannot be read in full.
        """

        def fetch(name: str) -> None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            self.fetch(name, folder / name)

        with ThreadPoolExecutor(AT_ONCE, "fetch") as threads:
            for _ in threads.map(fetch, names):
                pass

    def read(self, name: str) -> bytes | None:
        """Returns the bytes of a small object; None where it is not there.

        Raises:
            OutputError: the store refuses.
        """
        with asking(str(self / name), "read", OutputError):
            try:
                content: bytes = self._files.cat_file(self._at(name))
            except FileNotFoundError:
                return None
            return content

    def begins_with(self, name: str, length: int) -> bytes:
        """Returns the first bytes of an object.

        Raises:
            RequestError: the store refuses.
        """
        with asking(str(self / name), "read", RequestError):
            content: bytes = self._files.cat_file(self._at(name), start=0, end=length)
            return content

    def store(self, path: Path, name: str) -> None:
        """Copies a file into an object, which is there as a whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        with asking(str(self / name), "written", OutputError):
            self._files.put_file(str(path), self._at(name))

    def store_all(self, folder: Path, names: Iterable[str]) -> None:
        """Copies files of a folder into objects of the same names.

        Raises:
            OutputError: one cannot be written.
        """
        with ThreadPoolExecutor(AT_ONCE, "store") as threads:
            for _ in threads.map(lambda name: self.store(folder / name, name), names):
                pass

    def write(self, name: str, content: bytes) -> None:
        """Makes or replaces a small object.

        Raises:
            OutputError: it cannot be written.
        """
        with asking(str(self / name), "written", OutputError):
            self._files.pipe_file(self._at(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Makes a small object; tells whether it did, and not another, who was faster.

        What is there is replaced where the store knows no conditional writes.

        Raises:
            OutputError: it cannot be written.
        """
        with asking(str(self / name), "written", OutputError):
            try:
                self._files.pipe_file(self._at(name), content, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno != errno.ENOSYS:
                    raise
                self._files.pipe_file(self._at(name), content)
        return True

    def remove(self, names: Sequence[str]) -> None:
        """Removes objects; those that are not there are none the less.

        Raises:
            OutputError: one cannot be removed.
        """

        def remove(name: str) -> None:
            with asking(str(self / name), "removed", OutputError), contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._at(name))

        with ThreadPoolExecutor(AT_ONCE, "remove") as threads:
            for _ in threads.map(remove, names):
                pass

    def written_at(self, name: str) -> datetime.datetime | None:
        """Returns when an object was written, by the store's clock; None where it is not there.

        Raises:
            OutputError: the store refuses.
        """
        with asking(str(self / name), "read", OutputError):
            try:
                when: datetime.datetime = self._files.modified(self._at(name))
            except FileNotFoundError:
                return None
        return when if when.tzinfo is not None else when.replace(tzinfo=datetime.UTC)

    def now(self) -> datetime.datetime:
        """Returns the time by the store's clock: that of an object which is written and removed again.

        Raises:
            RequestError: the folder cannot be written.
        """
        name = f"{PARTIAL_PREFIX}{uuid.uuid4().hex}"
        try:
            self.write(name, b"")
            when = self.written_at(name)
            self.remove([name])
        except OutputError as error:
            raise RequestError(first_line(error).replace(f"/{name}'", "'", 1)) from error
        return when or datetime.datetime.now(datetime.UTC)

    def _at(self, name: str) -> str:
        return f"{self.path}/{name}"

    @property
    def _files(self) -> Any:
        return file_system(self.scheme)


Place = Path | ObjectFolder
"""Where CTs come from, or results go."""


def place_of(text: str) -> Place:
    """Returns the folder or file that a text names: a URL's is on object storage.

    Raises:
        RequestError: as `ObjectFolder.parse`.
    """
    return ObjectFolder.parse(text) if _URL.fullmatch(text) else Path(text)
