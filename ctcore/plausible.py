"""Whether a volume can be a CT: what is impossible is refused, what is doubtful is flagged.

It is refused where no reader could trust a result. It is flagged where the result can be trusted as far as the flag
says, for instance where values were clipped to a window that the networks clip to anyway.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.errors import GeometryError, ImageDimensionError, IntensityError
from ctcore.volume import Geometry, Volume

LARGEST_MINIMUM_HU = -50
"""Every CT, also a crop around an organ, holds fat (about -100 HU) or air; a shifted or normalised one does not."""

SMALLEST_MAXIMUM_HU = 20
"""Every CT of a body holds soft tissue; a normalised one does not."""

RANGE_HU = (-65536, 65535)
"""What 16 bits of a scanner can hold with any usual offset; metal reaches beyond 30,000."""

LARGEST_PADDING_HU = -1100
"""Below air: what scanners and converters put where they measured nothing."""

LOWEST_HU = -8192
"""Lowest value that a scanner's extended scale has; lower ones are a converter's padding, or have overflown."""

AIR_HU = -200
"""Below the density of any tissue but lung."""

SPACING_MM = (0.01, 50.0)
"""Voxel sizes, of which a CT's are 0.2 to 20 mm."""

FEW_SLICES = 10
"""Fewer voxels than that along an axis hold no pancreas."""

LARGEST_ORIGIN_MM = 10_000.0
"""No table of a scanner is as long."""

FLAG_CLIPPED = "values_clipped"
FLAG_OUTSIDE_HU = "values_outside_hu"
FLAG_FEW_SLICES = "few_slices"
FLAG_ORIGIN = "origin_implausible"


def judge_ct(volume: Volume, name: str) -> Volume:
    """Judges a CT by its values and voxel sizes.

    Args:
        volume: the CT, in what are said to be Hounsfield units.
        name: what messages call it.

    Returns:
        The same, with a flag for everything that is doubtful.

    Raises:
        IntensityError: values are complex, NaN or infinite, or cannot be Hounsfield units.
        ImageDimensionError: it has a single voxel along an axis.
        GeometryError: no scanner has such voxel sizes.
    """
    flags = [*volume.flags, *_judge_grid(volume.geometry, name), *_judge_values(volume.array, name)]
    return replace(volume, flags=tuple(dict.fromkeys(flags)))


def _judge_grid(geometry: Geometry, name: str) -> list[str]:
    least, most = SPACING_MM
    if not all(least <= spacing <= most for spacing in geometry.spacing):
        x, y, z = geometry.spacing
        raise GeometryError(
            f"'{name}' has voxels of {x:g} x {y:g} x {z:g} mm, a CT's are {least:g} to {most:g} mm; correct the image"
            " header"
        )
    if min(geometry.shape) == 1:
        raise ImageDimensionError(
            f"'{name}' has (z, y, x) {geometry.shape} voxels, a single one along an axis; give the whole CT"
        )
    flags = [FLAG_FEW_SLICES] if min(geometry.shape) < FEW_SLICES else []
    if max(abs(o) for o in geometry.origin) > LARGEST_ORIGIN_MM:
        flags.append(FLAG_ORIGIN)
    return flags


def _judge_values(array: npt.NDArray[Any], name: str) -> list[str]:
    if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise IntensityError(f"'{name}' holds {array.dtype} values; give Hounsfield units")
    if np.issubdtype(array.dtype, np.floating):
        bad = int(array.size - np.isfinite(array).sum())
        if bad:
            raise IntensityError(f"'{name}' holds {bad} NaN or infinite voxels; convert the CT again")
    low, high = float(array.min()), float(array.max())
    if low == high:
        raise IntensityError(f"'{name}' holds the single value {low:g}; it is not a CT")
    if low < RANGE_HU[0] or high > RANGE_HU[1]:
        reason, advice = "no CT reaches beyond 16 bits", "convert to Hounsfield units"
    elif (least := _without_padding(array, low)) > LARGEST_MINIMUM_HU:
        padded = f" (what lies below {LARGEST_PADDING_HU} is padding)" if low < LARGEST_PADDING_HU else ""
        reason = f"a CT holds fat or air, below {LARGEST_MINIMUM_HU} HU{padded}"
        advice = _advice(least, high)
    elif high < SMALLEST_MAXIMUM_HU:
        reason = f"a CT holds soft tissue, above {SMALLEST_MAXIMUM_HU} HU"
        advice = "convert to Hounsfield units, or leave it out if it holds air alone"
    else:
        return [FLAG_CLIPPED] * (least > AIR_HU) + [FLAG_OUTSIDE_HU] * (low < LOWEST_HU)
    raise IntensityError(f"'{name}' holds values from {low:g} to {high:g}, but {reason}; {advice}")


def _without_padding(array: npt.NDArray[Any], low: float) -> float:
    """Returns the least value that is not padding."""
    if low >= LARGEST_PADDING_HU:
        return low
    least = np.inf
    for layer in array:  # one after the other: masks stay small
        kept = layer[layer >= LARGEST_PADDING_HU]
        least = min(least, float(kept.min())) if kept.size else least
        if least <= AIR_HU:
            break  # there is air: lower values say no more
    return least


def _advice(low: float, high: float) -> str:
    if low >= 0 and high <= 1:
        return "give the CT, not a mask or a probability map"
    if low >= 0 and high > 255:
        return "add the rescale intercept, usually -1024; if it is no CT, leave it out"
    return "convert to Hounsfield units"
