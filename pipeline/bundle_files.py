"""The files of a bundle: what they may be called, where they may lie, and their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ctcore.errors import BundleError, RequestError
from ctcore.json_files import read_json

MANIFEST = "bundle.json"
STAGE_FOLDERS = ("stage1", "stage2")
FOLDERS = (*STAGE_FOLDERS, "quality")
STAGE_SUFFIXES = (".json", ".safetensors")
"""What a folder of a bundle may hold; nothing that could run code when it is opened."""

_HASH_BLOCK = 1 << 20


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def check_names(folder: Path, names: Collection[str]) -> None:
    """Refuses names that lead out of the bundle, are one file for some systems, or could run code in a stage."""
    seen: dict[str, str] = {}
    for name in names:
        parts = PurePosixPath(name)
        plain = parts.as_posix() == name and not any(part.startswith(".") for part in parts.parts)
        if not plain or parts.is_absolute() or not name.isprintable() or set(name) & set("\\:") or name == MANIFEST:
            raise BundleError(
                f"bundle '{folder}' lists {name!r}, which is not a file inside it; do not use this bundle"
            )
        if parts.parts[0] in FOLDERS and parts.suffix not in STAGE_SUFFIXES:
            raise BundleError(
                f"bundle '{folder}' lists '{name}'; {parts.parts[0]}/ holds {' and '.join(STAGE_SUFFIXES)}"
            )
        twin = seen.setdefault(name.casefold(), name)
        if twin != name:
            raise BundleError(f"bundle '{folder}' lists '{twin}' and '{name}', one file for some systems; rename one")


def check_file(folder: Path, name: str, expected: str) -> None:
    """Compares one listed file with its hash."""
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"bundle '{folder}': '{name}' is a link that leads out of it; copy the file instead")
    if not file.is_file():
        raise BundleError(f"bundle '{folder}' lacks '{name}'; copy or create it again")
    try:
        found = sha256_of(file)
    except OSError as error:
        raise BundleError(f"bundle '{folder}': '{name}' cannot be read ({error.strerror}); check it") from error
    if found != expected:
        raise BundleError(
            f"bundle '{folder}': '{name}' has SHA-256 {found[:12]}..., its {MANIFEST} says {expected[:12]}...;"
            " the file is damaged, copy or create the bundle again"
        )


def files_below(folder: Path) -> Iterator[Path]:
    """Yields every file below a folder that is not hidden, in a fixed order."""
    yield from sorted(f for f in folder.rglob("*") if f.is_file() and not f.name.startswith("."))


def stage_details(folder: Path) -> dict[str, Any]:
    """Returns a stage's `model.json` after checking that weights lie beside it."""
    if not (folder / "model.json").is_file() or not any(folder.glob("*.safetensors")):
        raise RequestError(f"'{folder}' is not an exported stage: it needs model.json and fold_<k>.safetensors")
    details = read_json(folder / "model.json")
    if not isinstance(details, dict):
        raise RequestError(f"'{folder / 'model.json'}' is not a JSON object; export the stage again")
    return details


def stage_files(folder: Path) -> Iterator[Path]:
    """Yields the files of an exported stage that go into a bundle, in a fixed order."""
    yield from sorted(f for f in folder.iterdir() if f.is_file() and f.suffix in STAGE_SUFFIXES and f.name[0] != ".")
