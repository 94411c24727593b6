"""Compiled networks kept on disk between runs; a file that is not as it was written is never used."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import time
from pathlib import Path

from ctcore.durable import write_atomic
from ctcore.errors import first_line

LIMIT_BYTES = 2 * 1024**3
"""Size of the folder; beyond it the files that were not used for the longest time go. PANORAMA's full-resolution
network takes 124 MB."""

SUFFIX = ".compiled"
ABANDONED_SECONDS = 24 * 3600.0
"""Age at which a partial file is taken for one whose writer was killed."""

_CHECKSUM_BYTES = hashlib.sha256().digest_size

logger = logging.getLogger(__name__)


class CompiledCache:
    """A folder of compiled networks.

    A file is what the compiler exported, followed by the SHA-256 of its key and of that: a file that was cut, changed
    or renamed is noticed, removed, and said once. Files appear whole or not at all, so that processes may share the
    folder. A folder that cannot be read or written costs one warning, and every start compiles anew.

    Args:
        folder: made at the first file.
        limit_bytes: what all files may take together; the latest one stays in any case.
    """

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = folder
        self._limit_bytes = limit_bytes
        self._warned = False

    def load(self, key: str) -> memoryview | None:
        """Returns what was stored under a key, None where nothing usable is.

        Args:
            key: letters and digits that say all that the compiled network depends on.
        """
        path = self._path(key)
        try:
            data = memoryview(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn(error)
            return None
        compiled, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
        if _checksum(key, compiled) != checksum.tobytes():
            self.discard(key, "it is not as it was written")
            return None
        with contextlib.suppress(OSError):  # in a read-only folder nothing is removed by age either
            path.touch()
        return compiled

    def store(self, key: str, compiled: memoryview) -> None:
        """Keeps a compiled network, and removes what is beyond the limit."""

        def write_to(partial: Path) -> None:
            with partial.open("wb") as file:
                file.write(compiled)
                file.write(_checksum(key, compiled))

        try:
            write_atomic(self._path(key), write_to)
            self._prune(self._path(key))
        except OSError as error:
            self._warn(error)

    def discard(self, key: str, reason: str) -> None:
        """Removes a file that cannot be used, and says why."""
        path = self._path(key)
        logger.warning("the compiled network '%s' is compiled anew: %s", path, reason)
        with contextlib.suppress(OSError):  # it is replaced anyway where the folder can be written
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"

    def _prune(self, latest: Path) -> None:
        """Removes abandoned partial files, then the files used the longest ago until the rest is within the limit."""
        files: list[tuple[float, int, Path]] = []
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):  # another process may have removed it
                stat = path.stat()
                if path.name.startswith(".partial-") and time.time() - stat.st_mtime > ABANDONED_SECONDS:
                    path.unlink()
                elif path.suffix == SUFFIX and path != latest and not path.name.startswith("."):
                    files.append((stat.st_mtime, stat.st_size, path))
        total = latest.stat().st_size
        for _, size, path in sorted(files, reverse=True):
            total += size
            if total > self._limit_bytes:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "compiled networks are not cached in '%s', every start compiles anew: %s; make the folder readable "
                "and writable",
                self.folder,
                first_line(error),
            )


@functools.cache
def user_cache() -> CompiledCache | None:
    """Returns this process's one cache, in the user's cache folder; None, with a warning, where there is no home."""
    folder = user_cache_folder()
    return None if folder is None else CompiledCache(folder)


def user_cache_folder() -> Path | None:
    """Returns the folder for compiled networks in the user's cache, None (with a warning) where there is no home."""
    try:
        return Path.home() / ".cache" / "ctcore" / "compiled"
    except RuntimeError as error:
        logger.warning("compiled networks are not cached on disk, every start compiles anew: %s", error)
        return None


def _checksum(key: str, compiled: memoryview) -> bytes:
    digest = hashlib.sha256(key.encode())
    digest.update(compiled)
    return digest.digest()
