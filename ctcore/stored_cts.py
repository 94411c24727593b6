"""CTs on object storage: image files, which come to this machine's disk while they are read."""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctcore.case_names import case_id_from
from ctcore.errors import RequestError, UnreadableImageError
from ctcore.files import IMAGE_SUFFIXES, CaseFile, image_suffix
from ctcore.named_cts import FaultyCase, not_read, other_suffix, told_apart, why_faulty
from ctcore.object_store import ObjectFolder
from ctcore.scratch import scratch_folder
from ctcore.stored_object import StoredObject

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima", ".zip", "dicomdir")
"""How names of DICOM objects end, and of archives that hold them."""

LOOKED_INTO = 16
"""How many subfolders, and how many objects without a suffix, are looked into for DICOM."""

_SUFFIX = re.compile(r"\.[A-Za-z]\w*$")
_PREAMBLE_BYTES, _MAGIC = 128, b"DICM"


@dataclass(frozen=True)
class StoredCase(CaseFile):
    """An image on object storage that is a case.

    Attributes:
        folder: where it lies; `path` is its name there.
        found: what the store said of it when it was found.
    """

    folder: ObjectFolder
    found: StoredObject

    @property
    def stamp(self) -> tuple[int, int]:
        """Bytes of the CT; when it was last changed does not matter, as its version tells more."""
        return self.found.size, 0

    @property
    def version(self) -> str | None:
        """What the store calls this content of the object; of S3 the ETag."""
        return self.found.version

    @contextlib.contextmanager
    def at_hand(self) -> Iterator[CaseFile]:
        """Has the image on this machine's disk for the length of a block; yields the case with its path there.

        Raises:
            UnreadableImageError: it cannot be read in full, or has changed since it was found.
            RequestError: this machine has no room for files of the moment.
        """
        with scratch_folder() as scratch:
            local = scratch / self.path.name
            self.folder.fetch(self.found.name, local)
            if self.folder.find(self.found.name) != self.found:
                raise UnreadableImageError(f"'{self.image}' changed since it was found; run again when it is complete")
            size = local.stat().st_size
            if size != self.found.size:
                raise UnreadableImageError(
                    f"'{self.image}' cannot be read: {size} of {self.found.size} bytes came; run again"
                )
            yield CaseFile(self.case_id, local)


def stored_cts(place: ObjectFolder) -> list[CaseFile]:
    """Finds the image files of a folder of object storage (not nested), or takes the one that an object is.

    What is named like an image and is none, and cases of one name, are `FaultyCase`s, as in folders on a disk; so are
    headers whose voxels lie in another object.

    Raises:
        RequestError: the store refuses, there is no such folder or object, or it holds DICOM.
    """
    one = place.itself()
    if one is not None:
        if _named_like_dicom(one):
            raise _is_dicom(place)
        if image_suffix(Path(one.name)) is None:
            raise RequestError(f"'{place}' is not an image; give an object ending in {', '.join(IMAGE_SUFFIXES)}")
        return [_named(place.parent, one)]
    objects, folders = place.entries()
    _refuse_dicom(place, objects, folders)
    shown = [each for each in objects if not each.name.startswith(".")]
    images = [_named(place, each) for each in shown if image_suffix(Path(each.name)) is not None]
    paths = [Path(name) for name in folders if not name.startswith(".") and image_suffix(Path(name)) is not None]
    faulty = [case for path in paths if (case := why_faulty(path, folder=True)) is not None]
    others = not_read([path for each in shown if other_suffix(path := Path(each.name)) is not None])
    return sorted(told_apart([*images, *faulty, *others]), key=lambda case: case.case_id)


def _named(folder: ObjectFolder, found: StoredObject) -> CaseFile:
    """Returns the case that an object named like an image is."""
    path = Path(found.name)
    faulty = why_faulty(path, folder=False)
    if faulty is not None:
        return faulty
    case_id = case_id_from(path)
    if image_suffix(path) == ".mhd":
        fault = f"'{path.name}' has its voxels in another object; convert it to '.mha' or '.nii.gz'"
        return FaultyCase(case_id, path, path.name, UnreadableImageError(fault))
    return StoredCase(case_id, path, folder, found)


def _refuse_dicom(place: ObjectFolder, objects: Sequence[StoredObject], folders: Sequence[str]) -> None:
    """Refuses a folder that holds DICOM, as far as a look into some of it shows.

    Raises:
        RequestError: it does.
    """
    left = LOOKED_INTO
    here, below = place, deque(place / name for name in folders)
    while True:
        for found in objects:
            if _named_like_dicom(found):
                raise _is_dicom(here / found.name)
        unnamed = [found for found in objects if not _SUFFIX.search(found.name) and found.size > _PREAMBLE_BYTES]
        for found in unnamed[:LOOKED_INTO]:
            if here.begins_with(found.name, _PREAMBLE_BYTES + len(_MAGIC)).endswith(_MAGIC):
                raise _is_dicom(here / found.name)
        if not below or not left:
            return
        left -= 1
        here = below.popleft()
        objects, deeper = here.entries()
        below.extend(here / name for name in deeper)


def _named_like_dicom(found: StoredObject) -> bool:
    return found.name.lower().endswith(DICOM_SUFFIXES)


def _is_dicom(what: ObjectFolder) -> RequestError:
    return RequestError(f"'{what}' is DICOM or an archive, which are read from a disk alone; copy them to one")
