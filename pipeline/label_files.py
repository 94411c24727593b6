"""Label description files: with them, viewers show segmentations with names and colours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ctcore.durable import write_text
from pipeline.label_colours import coloured

ITK_SNAP_FILE = "itk-snap-labels.txt"
SLICER_FILE = "slicer-colors.ctbl"
LABEL_FILES = (ITK_SNAP_FILE, SLICER_FILE)


def write_label_files(folder: Path, labels: Mapping[str, int]) -> None:
    """Writes the label description files of ITK-SNAP and 3D Slicer beside segmentations.

    Args:
        folder: of the segmentations.
        labels: values by name.
    """
    write_text(folder / ITK_SNAP_FILE, itk_snap_labels(labels))
    write_text(folder / SLICER_FILE, slicer_colours(labels))


def remove_label_files(folder: Path) -> None:
    """Removes what an earlier run has left of them."""
    for name in LABEL_FILES:
        (folder / name).unlink(missing_ok=True)


def itk_snap_labels(labels: Mapping[str, int]) -> str:
    """Returns an ITK-SNAP label description: value, red, green, blue, opacity, visible, in 3-D, name."""
    rows = ["# ITK-SNAP label description", "# value red green blue opacity visible mesh name"]
    rows.append('0 0 0 0 0 0 0 "Clear Label"')
    for label in coloured(labels):
        red, green, blue = label.rgb
        name = label.name.replace('"', "'")
        rows.append(f'{label.value} {red} {green} {blue} 1 1 1 "{name}"')
    return "\n".join(rows) + "\n"


def slicer_colours(labels: Mapping[str, int]) -> str:
    """Returns a 3D Slicer colour table: value, name (an underscore for every space), red, green, blue, opacity."""
    rows = ["# Color table of the segmentations in this folder", f"# {len(coloured(labels)) + 1} values"]
    rows.append("0 background 0 0 0 0")
    for label in coloured(labels):
        red, green, blue = label.rgb
        rows.append(f"{label.value} {'_'.join(label.name.split())} {red} {green} {blue} 255")
    return "\n".join(rows) + "\n"
