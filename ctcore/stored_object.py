"""What object storage says of an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_VERSION_KEYS = ("ETag", "etag", "generation", "LastModified", "last_modified", "updated", "mtime")
"""Where stores say which version of an object this is."""


@dataclass(frozen=True)
class StoredObject:
    """An object of a folder.

    Attributes:
        name: relative to the folder.
        size: bytes.
        version: changes with its content; of S3 the ETag.
    """

    name: str
    size: int
    version: str

    @classmethod
    def of(cls, entry: dict[str, Any], name: str) -> StoredObject:
        """Returns an object by what fsspec says of it."""
        version = next((str(entry[key]) for key in _VERSION_KEYS if entry.get(key)), "")
        return cls(name, int(entry["size"]), version.strip('"'))
