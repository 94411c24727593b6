"""The lesion candidates of a case; those of several lesion classes, each from its own probability, as one map."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.detection.candidates import CandidateMap, CandidateSettings, extract_candidates
from ctcore.detection.detection_map import detection_map
from ctcore.detection.merging import Labels, one_per_component
from ctcore.volume import Geometry

LEAST_WEIGHT = 1e-4
"""Least probability by which a candidate's confidence is multiplied."""


@dataclass(frozen=True, eq=False)
class FoundLesions:
    """The lesion candidates of a case.

    Attributes:
        candidates: all of them.
        by_class: those of each lesion class's own label; empty where all lesions are one label.
        classes: which class each of `candidates` is of; empty where all lesions are one label.
    """

    candidates: CandidateMap
    by_class: dict[str, CandidateMap] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    def detection_maps(self) -> dict[str, npt.NDArray[np.float32]]:
        """Returns the detection map (z, y, x) of each lesion class that has a label of its own."""
        return {name: detection_map(found) for name, found in self.by_class.items()}

    def maxima(self) -> float | dict[str, float]:
        """Returns the detection map's maximum, 0 without candidates: of all, or of each class with its own label."""
        by_class = {name: float(np.float32(found.maximum)) for name, found in self.by_class.items()}
        return by_class or float(np.float32(self.candidates.maximum))

    def weighed(self, class_probabilities: Mapping[str, float], lesion_classes: Collection[str]) -> FoundLesions:
        """Returns the same candidates, each confidence multiplied by the probability of a lesion in the patient.

        That is the probability of all lesion classes, or of the candidate's own class where each has a label of its
        own; `LEAST_WEIGHT` at least, lest a candidate vanish.

        Args:
            class_probabilities: by class name.
            lesion_classes: names of the classes that stand for a lesion.
        """
        if not self.by_class:
            p = math.fsum(class_probabilities[name] for name in lesion_classes)
            return FoundLesions(_scaled(self.candidates, p))
        by_class = {name: _scaled(found, class_probabilities[name]) for name, found in self.by_class.items()}
        candidates, classes = joined(by_class)
        return FoundLesions(candidates, by_class, classes)


def find_lesions(
    any_lesion: npt.NDArray[np.float32],
    of_classes: Mapping[str, npt.NDArray[np.float32]],
    settings: CandidateSettings,
    geometry: Geometry,
    pancreas: npt.NDArray[Any] | None,
) -> FoundLesions:
    """Cuts the candidates out of the lesion probability, or of that of each lesion class, which are then joined.

    Args:
        any_lesion: (z, y, x) probability of a lesion.
        of_classes: that of each lesion class that has a label of its own; none where all lesions are one label.
        settings: how candidates are cut out.
        geometry: the grid.
        pancreas: (z, y, x) mask on it, for settings that keep candidates near the pancreas.
    """
    by_class = {
        name: extract_candidates(probability, settings, geometry=geometry, pancreas=pancreas)
        for name, probability in of_classes.items()
    }
    if not by_class:
        return FoundLesions(extract_candidates(any_lesion, settings, geometry=geometry, pancreas=pancreas))
    candidates, classes = joined(by_class)
    return FoundLesions(candidates, by_class, classes)


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


def _scaled(found: CandidateMap, p: float) -> CandidateMap:
    """Returns candidates with their confidences multiplied by a probability."""
    weight = min(max(p, LEAST_WEIGHT), 1.0)
    return CandidateMap(found.labels, tuple(weight * confidence for confidence in found.confidences), found.flags)


def _classes(painted: Labels, labels: Labels, names: Sequence[str]) -> tuple[str, ...]:
    """Returns the class of each joined candidate: that of the first, most confident, candidate in it."""
    from scipy import ndimage

    count = int(labels.max(initial=0))
    if not count:
        return ()
    first = ndimage.minimum(painted, labels, index=np.arange(1, count + 1))
    return tuple(names[int(position) - 1] for position in first)
