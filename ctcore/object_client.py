"""Clients of object storage: fsspec's, which nothing else imports, and what they say where they cannot.

Credentials, region and endpoint are what the store's own tools would take, from the environment or their files; they
are never asked for, shown or written. Faults of the network are tried again by the client.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Iterator
from typing import Any

from ctcore.errors import PipelineError, RequestError, first_line
from ctcore.text import printable

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}
"""What fsspec needs for each kind of store, by the scheme of its URLs."""

_DENIED = "access is denied; check the credentials, and what they may do there"
_NOT_THERE = "there is no such bucket, or nothing of this name in it; check the name"
_NO_CREDENTIALS = "no valid credentials were found; set AWS_PROFILE, or what else the store's own tools read"
_NO_ANSWER = "the store does not answer; check the network, and AWS_ENDPOINT_URL where it is not Amazon's; try again"


@functools.cache
def file_system(scheme: str) -> Any:
    """Returns fsspec's file system, one a process: its client keeps connections, and is safe to be used by threads.

    Args:
        scheme: one of `PACKAGES`.

    Raises:
        RequestError: what it needs is not installed, or it lacks a setting.
    """
    package = PACKAGES[scheme]
    if importlib.util.find_spec(package) is None:
        wanted = "'ct-lesion-pipeline[s3]'" if scheme == "s3" else package
        raise RequestError(f"'{scheme}://' needs {package}; install it with: pip install {wanted}")
    import fsspec

    with asking(f"{scheme}://", "reached", RequestError):
        return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)


@contextlib.contextmanager
def asking(shown: str, what: str, kind: type[PipelineError]) -> Iterator[None]:
    """Turns whatever a client says in a block into one line that says what to do.

    Args:
        shown: what the client is asked about.
        what: what cannot be done with it then: `read`, `written`.
        kind: what is raised then.

    Raises:
        PipelineError: of this kind.
    """
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:  # each client has its own
        raise kind(f"'{shown}' cannot be {what}: {_why(error)}") from error


def _why(error: Exception) -> str:
    """Returns what is wrong and what to do; what clients say of credentials is left to the log."""
    kind = type(error).__name__
    if isinstance(error, PermissionError):
        return _DENIED
    if isinstance(error, FileNotFoundError):
        return _NOT_THERE
    if "Credential" in kind or "Token" in kind or "ProfileNotFound" in kind:
        return _NO_CREDENTIALS
    if isinstance(error, ConnectionError | TimeoutError) or "Connect" in kind or "Timeout" in kind:
        return _NO_ANSWER
    said = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
    return f"{printable(said)}; try again"
