"""The candidates of several lesion classes, each from its own probability, as one detection map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ctcore.detection.candidates import CandidateMap
from ctcore.detection.merging import Labels, one_per_component


def joined(maps: Mapping[str, CandidateMap]) -> tuple[CandidateMap, tuple[str, ...]]:
    """Joins the candidates of lesion classes whose maps lie on one grid.

    What overlaps or touches (26 neighbours) becomes one candidate, which has the highest confidence of those that it is
    made of, and their class: an evaluation takes the components of a detection map for its candidates.

    Args:
        maps: the candidates of each class, one class at least; of equal confidence the earlier class counts.

    Returns:
        All candidates, and the class of each.
    """
    order = [
        (confidence, name, number)
        for name, found in maps.items()
        for number, confidence in enumerate(found.confidences, start=1)
    ]
    order.sort(key=lambda item: -item[0])
    painted = np.zeros(next(iter(maps.values())).labels.shape, np.int32)
    for position in range(len(order), 0, -1):  # the more confident over the less
        _, name, number = order[position - 1]
        painted[maps[name].labels == number] = position
    flags = tuple(dict.fromkeys(flag for found in maps.values() for flag in found.flags))
    labels, confidences = one_per_component(painted, tuple(confidence for confidence, _, _ in order))
    return CandidateMap(labels, confidences, flags), _classes(painted, labels, [name for _, name, _ in order])


def _classes(painted: Labels, labels: Labels, names: Sequence[str]) -> tuple[str, ...]:
    """Returns the class of each joined candidate: that of the first, most confident, candidate in it."""
    from scipy import ndimage

    count = int(labels.max(initial=0))
    if not count:
        return ()
    first = ndimage.minimum(painted, labels, index=np.arange(1, count + 1))
    return tuple(names[int(position) - 1] for position in first)
