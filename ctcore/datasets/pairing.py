"""Pairing images and label maps by their names."""

from __future__ import annotations

from pathlib import Path

from ctcore.files import discover, label_id_of


def images_of(folder: Path, *, required: bool = True) -> dict[str, Path]:
    """Returns the images of a folder by case id.

    Raises:
        RequestError: it holds none and is `required`, or two images of one case id.
    """
    if not required and not _holds_files(folder):
        return {}
    return {case.case_id: case.path for case in discover(folder)}


def labels_of(folder: Path) -> dict[str, Path]:
    """Returns the label maps of a folder by case id; none if it is missing or empty.

    Raises:
        RequestError: it holds two label maps of one case id, or files that are not images.
    """
    return {label_id_of(case.path): case.path for case in discover(folder)} if _holds_files(folder) else {}


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir())
