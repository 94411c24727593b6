"""Label descriptions: read back as ITK-SNAP and 3D Slicer read them."""

from __future__ import annotations

import shlex
from pathlib import Path

from ctcore.labels import PANORAMA_NAMES
from pipeline.label_colours import coloured
from pipeline.label_files import itk_snap_labels, slicer_colours, write_label_files

Colour = tuple[int, int, int]


def snap(text: str) -> dict[int, tuple[str, Colour]]:
    """Reads an ITK-SNAP label description: eight columns, the last in quotation marks."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        index, red, green, blue, opacity, visible, mesh, name = shlex.split(line)
        assert float(opacity) == int(visible) == int(mesh) == (index != "0")
        found[int(index)] = name, (int(red), int(green), int(blue))
    return found


def slicer(text: str) -> dict[int, tuple[str, Colour]]:
    """Reads a colour table: six columns separated by spaces; underscores in names stand for spaces."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            index, name, red, green, blue, opacity = line.split()
            assert int(opacity) == (0 if index == "0" else 255)
            found[int(index)] = name.replace("_", " "), (int(red), int(green), int(blue))
    return found


def test_names_values_and_colours() -> None:
    one, other = snap(itk_snap_labels(PANORAMA_NAMES)), slicer(slicer_colours(PANORAMA_NAMES))
    assert one.pop(0) == ("Clear Label", (0, 0, 0))
    assert other.pop(0) == ("background", (0, 0, 0))
    assert one == other
    assert {name: value for value, (name, _) in one.items()} == {k: v for k, v in PANORAMA_NAMES.items() if v}
    assert len({colour for _, colour in one.values()}) == 6
    assert one[1][1] == (230, 60, 40)


def test_names_of_other_datasets() -> None:
    labels = {"background": 0, "PDAC": 3, "Cystic lesion": 1, 'a "b"': 12, "spleen": 7}
    colours = coloured(labels)
    assert {label.name: label.value for label in colours} == {name: value for name, value in labels.items() if value}
    assert len({label.rgb for label in colours}) == 4
    assert set(snap(itk_snap_labels(labels))) == {0, 1, 3, 7, 12}
    assert slicer(slicer_colours(labels))[1][0] == "Cystic lesion"


def test_files(tmp_path: Path) -> None:
    write_label_files(tmp_path, PANORAMA_NAMES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["itk-snap-labels.txt", "slicer-colors.ctbl"]
