"""Gaussian smoothing of a probability, in millimetres."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TRUNCATE = 4.0
"""Reach of the Gaussian in standard deviations (SciPy's default)."""


def smoothed(
    probability: npt.NDArray[np.float32], sigma_mm: float, spacing_zyx: tuple[float, float, float]
) -> npt.NDArray[np.float32]:
    """Returns a (z, y, x) probability, smoothed by a Gaussian that is isotropic in the patient; 0..1 stays 0..1.

    Beyond the borders the edge voxels are repeated: zeros would make little of a lesion that the border cuts.

    Args:
        probability: (z, y, x), 0..1.
        sigma_mm: standard deviation in mm.
        spacing_zyx: spacing (z, y, x) in mm.
    """
    from scipy import ndimage

    sigma = tuple(sigma_mm / s for s in spacing_zyx)
    smooth = ndimage.gaussian_filter(probability, sigma, mode="nearest", truncate=TRUNCATE)
    return np.asarray(np.clip(smooth, 0, 1, out=smooth))
