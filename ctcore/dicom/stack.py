"""Slices that belong together: of one series, alike in everything but their place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ctcore.dicom.header import Header

ORIENTATION_TOLERANCE = 1e-3
"""Of a component of a unit vector: above what rounding to a few digits does, below any turn that matters."""

SPACING_TOLERANCE = 1e-3
"""Of a voxel's size, relative."""


@dataclass(frozen=True)
class Stack:
    """Slices of one series that are alike in everything but their place.

    Attributes:
        slices: the slices, in the order of their paths; none twice.
        part: which of the series' stacks this is, from 1.
        parts: how many there are.
        copies: how many further copies of its slices were found.
    """

    slices: tuple[Header, ...]
    part: int = 1
    parts: int = 1
    copies: int = 0

    @property
    def first(self) -> Header:
        """One slice, for what all have in common."""
        return self.slices[0]


def stacks_of(headers: Iterable[Header]) -> list[Stack]:
    """Groups objects by patient, study and series, and each series by size, voxel size, orientation and kind.

    A series that holds several slices of one place (phases, repeated acquisitions) is grouped by acquisition, too.
    """
    series: dict[tuple[str, str, str], dict[str, Header]] = {}
    copies: Counter[tuple[str, str, str]] = Counter()
    for header in headers:
        key = header.patient, header.study, header.series
        objects = series.setdefault(key, {})
        if header.instance in objects:
            copies[key] += 1
        else:
            objects[header.instance] = header
    found = []
    for key, objects in series.items():
        groups: list[list[Header]] = []
        for header in objects.values():
            group = next((g for g in groups if _alike(g[0], header)), None)
            if group is None:
                groups.append([header])
            else:
                group.append(header)
        apart = sorted((part for group in groups for part in _by_acquisition(group)), key=len, reverse=True)
        found += [
            Stack(tuple(part), number, len(apart), copies[key] if number == 1 else 0)
            for number, part in enumerate(apart, start=1)
        ]
    return found


def _alike(one: Header, other: Header) -> bool:
    same = all(
        getattr(one, name) == getattr(other, name)
        for name in ("sop_class", "modality", "rows", "columns", "bits", "samples", "photometric")
    )
    return (
        same
        and _localizer(one) == _localizer(other)
        and _close(one.spacing, other.spacing, relative=SPACING_TOLERANCE)
        and _close(one.orientation, other.orientation, absolute=ORIENTATION_TOLERANCE)
    )


def _localizer(header: Header) -> bool:
    return "LOCALIZER" in header.image_type


def _close(
    one: tuple[float, ...] | None, other: tuple[float, ...] | None, relative: float = 0.0, absolute: float = 0.0
) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.allclose(one, other, rtol=relative, atol=absolute))


def _by_acquisition(group: list[Header]) -> list[list[Header]]:
    """Separates the acquisitions of a group in which places occur more than once, as often as there are acquisitions.

    Some scanners number every slice as an acquisition of its own; their slices stay together.
    """
    places = Counter(tuple(round(p, 2) for p in header.position) for header in group if header.position is not None)
    times = max(places.values(), default=1)
    if times == 1:
        return [group]
    acquisitions: dict[tuple[str, str], list[Header]] = {}
    for header in group:
        acquisitions.setdefault(header.acquisition, []).append(header)
    return list(acquisitions.values()) if len(acquisitions) <= times else [group]
