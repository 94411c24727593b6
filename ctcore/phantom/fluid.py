"""Where a lesion is fluid: inside its rim, but for nodules on its wall and septa across it."""

from __future__ import annotations

import numpy as np

from ctcore.phantom.draws import Draws
from ctcore.phantom.pathology import Fluid
from ctcore.phantom.region import Region
from ctcore.phantom.texture import cloud

RIM_BLUR_MM = np.float32(1.5)
SEPTA_APART_MM = 9.0
SEPTA_HALF_WIDTH = np.float32(0.1)  # in units of a random field that changes by about 1 over SEPTA_APART_MM
NODULE_BLUR = np.float32(0.3)  # in units of the random field that shapes the nodules
LEAST_NODULE_MM = 4.0


def fluid_share(region: Region, fluid: Fluid, draws: Draws) -> np.ndarray:
    """Returns the share of each node's cell that is fluid, (z, y, x) float32 in 0..1; all 0 outside the lesion."""
    depth, frame = region.lesion_depth, region.frame
    deepest = float(depth.max())
    share = np.clip(np.float32(0.5) + (depth - np.float32(fluid.rim * deepest)) / RIM_BLUR_MM, 0.0, 1.0)
    share *= depth > 0
    generator = draws.stream("lesion.fluid_shape")
    if fluid.solid_share > 0.0 and deepest > 0.0:
        nodules = cloud(generator, frame.shape, frame.spacing, max(0.8 * deepest, LEAST_NODULE_MM))
        level = np.float32(np.quantile(nodules[depth > 0], 1.0 - fluid.solid_share))
        share *= np.clip(np.float32(0.5) + (level - nodules) / NODULE_BLUR, 0.0, 1.0)
    if fluid.septa:
        web = np.abs(cloud(generator, frame.shape, frame.spacing, SEPTA_APART_MM))
        share *= np.clip(web / SEPTA_HALF_WIDTH - np.float32(1.0), 0.0, 1.0)
    return np.asarray(share, dtype=np.float32)
