"""One candidate per connected component of the detection map."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.detection.components import NEIGHBOURS
from ctcore.geometry import Box

Labels = npt.NDArray[np.signedinteger[Any]]


def one_per_component(labels: Labels, confidences: tuple[float, ...]) -> tuple[Labels, tuple[float, ...]]:
    """Returns the candidates with those that touch (26 neighbours) made one, of their highest confidence.

    An evaluation takes the components of a detection map for its candidates; after this they are the same.

    Args:
        labels: (z, y, x): 0 outside, k inside the k-th candidate.
        confidences: of candidates 1..n, from high to low; so are those returned.
    """
    from scipy import ndimage

    box = Box.of_mask(labels)
    if box is None:
        return labels, confidences
    old = labels[box.slices]
    components, count = ndimage.label(old, structure=NEIGHBOURS)
    # The first candidate of a component, hence its most confident one, gives it its place and confidence.
    first = ndimage.minimum(old, components, index=np.arange(1, count + 1)).astype(np.intp)
    order = np.argsort(first, kind="stable")
    number = np.zeros(count + 1, dtype=labels.dtype)
    number[order + 1] = np.arange(1, count + 1)
    merged = np.zeros_like(labels)
    merged[box.slices] = number[components]
    return merged, tuple(confidences[k - 1] for k in first[order])
