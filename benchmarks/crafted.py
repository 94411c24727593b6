"""Small random cases on which rules of matching can differ: what both evaluations are asked to decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SHAPE = (6, 14, 14)
CONFIDENCES = (0.1, 0.25, 0.25, 0.5, 0.5, 0.9)
"""Few, so that many are equal within a case and between cases."""

Slices = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class CraftedCase:
    """One case.

    Attributes:
        detection_map: (z, y, x) float32.
        lesion: (z, y, x) int32, 1 in lesions.
    """

    detection_map: npt.NDArray[np.float32]
    lesion: npt.NDArray[np.int32]


def crafted_case(rng: np.random.Generator, negative: bool) -> CraftedCase:
    """Returns a random case.

    Candidates often lie on lesions, several on one; lesions and candidates touch, join, and lie at the border; some
    maps are empty. Now and then touching candidates make a map that both evaluations must refuse as a softmax.

    Args:
        rng: of everything random.
        negative: whether it has no lesion.
    """
    lesion = np.zeros(SHAPE, dtype=np.int32)
    lesions = [] if negative else _boxes(rng, int(rng.integers(0, 4)))
    for box in lesions:
        lesion[box] = 1
    detection_map = np.zeros(SHAPE, dtype=np.float32)
    near = [
        tuple(
            slice(max(0, s.start + shift), s.stop + shift) for s, shift in zip(box, rng.integers(-2, 3, 3), strict=True)
        )
        for box in lesions
        for _ in range(int(rng.integers(0, 3)))
    ]
    for box in near + _boxes(rng, int(rng.integers(0, 3))):
        detection_map[box] = rng.choice(CONFIDENCES)
    for z, y, x in lesions:
        if x.stop - x.start > 4 and rng.random() < 0.7:  # two or three candidates on one lesion, of any confidence
            detection_map[z, y, x] = rng.choice(CONFIDENCES)
            detection_map[z, y, x.start + 2 : x.stop] = rng.choice(CONFIDENCES)
            detection_map[:, :, x.start + 2] = 0
    return CraftedCase(detection_map, lesion)


def _boxes(rng: np.random.Generator, number: int) -> list[Slices]:
    """Returns random boxes; they may touch, overlap and lie at the border."""
    starts = rng.integers(0, np.array(SHAPE) - 2, size=(number, 3))
    sizes = rng.integers(1, (4, 8, 8), size=(number, 3))
    return [
        tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        for start, size in zip(starts, sizes, strict=True)
    ]
