"""Which values a label map holds, found slice by slice so that a float map needs no second copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FRACTION_TOLERANCE = 1e-3
"""Largest distance from a whole number that is rounding of a float format; more is interpolation."""

_LARGEST_COUNTED = 255
"""Slices whose values lie within 0 and this are counted, which is much faster than sorting them."""


@dataclass(frozen=True)
class LabelValues:
    """The values of a label map.

    Attributes:
        counts: number of voxels by value, rounded to whole numbers; ascending.
        fraction: largest distance of a value from the next whole number; infinite where there are NaN or infinity.
    """

    counts: dict[int, int]
    fraction: float

    @property
    def has_fractions(self) -> bool:
        """Tells whether values are no whole numbers, beyond rounding."""
        return self.fraction > FRACTION_TOLERANCE


def label_values(array: npt.NDArray[Any]) -> LabelValues:
    """Counts the values of a label array (z, y, x) of any real dtype."""
    counts: dict[int, int] = {}
    fraction = 0.0
    whole = not np.issubdtype(array.dtype, np.floating)
    for layer in array:
        values = layer
        if not whole:
            values = np.rint(layer)
            finite = bool(np.isfinite(layer).all())
            fraction = max(fraction, float(np.abs(layer - values).max()) if finite else np.inf)
            if not finite:
                values = np.nan_to_num(values, nan=0, posinf=0, neginf=0)
        for value, count in _counted(values):
            counts[value] = counts.get(value, 0) + count
    return LabelValues(dict(sorted(counts.items())), fraction)


def relabelled(array: npt.NDArray[Any], new_values: Mapping[int, int]) -> npt.NDArray[np.uint8]:
    """Returns a label array (z, y, x) with other values.

    Args:
        array: values of any real dtype, rounded here; all are keys of `new_values`.
        new_values: the new value, 0 to 255, of every value.
    """
    result = np.empty(array.shape, np.uint8)
    same = all(old == new for old, new in new_values.items())
    for layer, target in zip(array, result, strict=True):
        rounded = np.rint(layer)
        if same:
            target[...] = rounded
        else:
            for old, new in new_values.items():
                target[rounded == old] = new
    return result


def _counted(layer: npt.NDArray[Any]) -> list[tuple[int, int]]:
    if layer.min() >= 0 and layer.max() <= _LARGEST_COUNTED:
        number = np.bincount(layer.astype(np.uint8).ravel())
        return [(int(value), int(number[value])) for value in np.flatnonzero(number)]
    found, numbers = np.unique(layer, return_counts=True)
    return [(int(value), int(number)) for value, number in zip(found, numbers, strict=True)]
