"""The detection map of a case."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctcore.detection.candidates import CandidateMap


def detection_map(candidates: CandidateMap) -> npt.NDArray[np.float32]:
    """Returns the (z, y, x) map in which each candidate's voxels hold its confidence, and all else 0."""
    values = np.array((0.0, *candidates.confidences), dtype=np.float32)
    painted: npt.NDArray[np.float32] = values[candidates.labels]
    return painted
