"""Networks on disk, which are not built where their compiled form is on disk too."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_BY_VERSION = ("torch", "nnunetv2", "timm")
"""Distributions whose code is known by its version."""
_BY_SOURCES = ("ctcore", "dynamic_network_architectures")


@dataclass(frozen=True)
class StoredNetwork:
    """A trained network, as its files tell it.

    Attributes:
        identity: differs wherever the answers may; see `identity_of`.
        shape: (b, c, z, y, x) of the batches that it will be given.
        build: reads and makes it, in evaluation mode; raises BundleError where the files are damaged.
    """

    identity: str
    shape: tuple[int, ...]
    build: Callable[[], torch.nn.Module]


def identity_of(weights: Path, description: object, package: str) -> str:
    """Returns a SHA-256 over all that a stored network's answers depend on.

    That is the file of its weights, what it is built from, and the code that builds and computes it: the sources of
    this project and of nnU-Net's layers, which may be installed to be edited, and the versions of other libraries.

    Args:
        weights: the file.
        description: all arguments of the building function, as values with a faithful `repr`.
        package: top-level package of the building function, beside `ctcore`.

    Raises:
        OSError: a file cannot be read.
    """
    with weights.open("rb") as file:
        of_weights = hashlib.file_digest(file, "sha256").hexdigest()
    sources = [_sources(name) for name in (*_BY_SOURCES, package)]
    versions = [metadata.version(name) for name in _BY_VERSION]
    return hashlib.sha256(repr((of_weights, description, sources, versions)).encode()).hexdigest()


@functools.cache
def _sources(package: str) -> str:
    """Returns the hash of a package's Python files; it is found, not imported."""
    spec = importlib.util.find_spec(package)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    digest = hashlib.sha256()
    for folder in map(Path, folders):
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(folder)}\n".encode())
            digest.update(path.read_bytes())
    if not folders:
        raise ValueError(f"'{package}' is no package with sources")
    return digest.hexdigest()
