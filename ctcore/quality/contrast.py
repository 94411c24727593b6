"""Contrast phase, from the attenuation of vessels and of the pancreas.

Attenuation after contrast medium in the abdomen at about 120 kVp: blood without it 30 to 60 HU; in the late arterial
(pancreatic) phase the aorta reaches 250 to 350 HU while the portal vein still lies around 100 to 140; in the
portal-venous phase both lie within some 30 HU of one another, 120 to 200 (Bae, "Intravenous Contrast Medium
Administration and Scan Timing at CT: Considerations and Approaches", Radiology 2010; McNulty et al., "Multi-Detector
Row Helical CT of the Pancreas", Radiology 2001). The limits below lie between these ranges. A delayed phase whose
vessels are still above `ENHANCED_HU` cannot be told from a portal-venous one by them.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Phase = Literal["unenhanced", "weak or delayed", "arterial", "portal-venous"]

UNENHANCED_HU = 75.0
"""Below it blood holds no contrast medium."""
ENHANCED_HU = 100.0
"""From here on veins are those of a portal-venous phase."""
ARTERIAL_LEAD_HU = 60.0
"""Arteries that are brighter than veins by more are those of an arterial phase."""
PLAIN_PANCREAS_HU = 55.0
"""Median below which a gland holds no contrast medium: without it 30 to 50 HU, portal-venous 85 to 115. A fatty gland
is low in any phase: it decides only where no vessel was segmented."""

LEAST_ML = 0.3
"""Less of a label tells no median."""


def median_hu(
    hounsfield: npt.NDArray[Any], labels: npt.NDArray[Any], values: list[int], voxel_ml: float
) -> float | None:
    """Returns the median HU of some labels, None where there is too little of them.

    Voxels at the edge of a slice's section hold its surroundings, too: they are left out where enough remains.

    Args:
        hounsfield: CT (z, y, x).
        labels: segmentation on its grid.
        values: the labels.
        voxel_ml: volume of a voxel.
    """
    places = np.nonzero(np.isin(labels, values))
    if len(places[0]) * voxel_ml < LEAST_ML:
        return None
    box = tuple(slice(int(p.min()), int(p.max()) + 1) for p in places)
    mask = np.isin(labels[box], values)
    inner = mask.copy()
    for axis in (1, 2):
        for shift in (1, -1):
            inner &= np.roll(np.pad(mask, [(1, 1)] * 3), shift, axis)[1:-1, 1:-1, 1:-1]
    chosen = inner if inner.sum() * voxel_ml >= LEAST_ML else mask
    return float(np.median(hounsfield[box][chosen]))


def contrast_phase(veins: float | None, arteries: float | None, pancreas: float | None) -> Phase | None:
    """Returns the phase that medians in HU look like, None where neither a vessel nor the gland tells."""
    vessels = [hu for hu in (veins, arteries) if hu is not None]
    if not vessels:
        return "unenhanced" if pancreas is not None and pancreas < PLAIN_PANCREAS_HU else None
    if max(vessels) < UNENHANCED_HU:
        return "unenhanced"
    if veins is None:
        return None
    if arteries is not None and arteries - veins > ARTERIAL_LEAD_HU:
        return "arterial"
    return "portal-venous" if veins >= ENHANCED_HU else "weak or delayed"
