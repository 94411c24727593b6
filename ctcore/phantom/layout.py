"""What the rest of a phantom must know about its pancreas, whichever source the pancreas comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ctcore.phantom.body import Habitus
from ctcore.phantom.deformation import Deformation
from ctcore.phantom.draws import Draws
from ctcore.phantom.frame import Frame
from ctcore.phantom.paint_region import Site
from ctcore.phantom.pancreas import Line, PancreasPlan, draw_plan
from ctcore.phantom.pathology import Pathology
from ctcore.phantom.region import Region, plan_bounds, region_from_plan

REGION_MARGIN_MM = 10.0
# Vessels are drawn far beyond the gland; the fine grid follows them only this far up and down.
LARGE_MASS_MM = 100_000.0 ** (1.0 / 3.0)  # edge of a cube of 100 ml: larger ones reach above and below the gland
REGION_HEIGHT_MARGIN_MM = 34.0
LESION_SHOWN_MM = 10.0


@dataclass(frozen=True, eq=False)
class Layout:
    """The pancreatic region of one phantom, not yet on a grid; lengths in mm.

    Attributes:
        habitus: The body, adapted to the region where necessary.
        pathology: The state of the gland.
        extent: Lowest and highest z of the gland.
        must_show: Range of z that the scan has to cover; None where nothing must be seen.
        head: (3, 3) lower, middle and upper point of the head.
        head_radius: Radius of the head.
        low, high: Corners (x, y, z) of the box the fine grid covers.
        vessels: Curves with their tissue, painted on the whole-body canvas.
        region: Makes the fields of the fine grid.
        site: Chooses a place for a mimic.
    """

    habitus: Habitus
    pathology: Pathology
    extent: tuple[float, float]
    must_show: tuple[float, float] | None
    head: np.ndarray
    head_radius: float
    low: np.ndarray
    high: np.ndarray
    vessels: tuple[tuple[Line, str], ...]
    region: Callable[[Frame, Draws], Region]
    site: Callable[[Region, Draws], Site]


def _site(plan: PancreasPlan, pathology: Pathology, draws: Draws) -> Site:
    axis = plan.axis
    index = int(np.argmin(np.abs(axis.position - pathology.position)))
    angle = draws.uniform("finding.angle", 0.0, 2.0 * np.pi)
    # Findings lie in front, above and below the gland rather than behind it, where the vessels run.
    outward = np.array([0.3 * np.cos(3 * angle), -abs(np.cos(angle)) + 0.2, np.sin(angle)])
    outward /= np.linalg.norm(outward)
    reach = float(np.linalg.norm(axis.radii[index] * axis.stretch[index] * outward))
    centre = axis.points[index]
    return Site(centre=centre, surface=centre + reach * outward, outward=outward)


def parametric_layout(draws: Draws, habitus: Habitus, pathology: Pathology, deformation: Deformation) -> Layout:
    """Draws a pancreas and the vessels around it from nothing but random numbers."""
    plan = draw_plan(draws, habitus, pathology)
    reach = plan.axis.radii * plan.axis.stretch[:, 2]
    extent = (float((plan.axis.points[:, 2] - reach).min()), float((plan.axis.points[:, 2] + reach).max()))
    must_show = None
    if pathology.has_lesion:
        middle = float(np.interp(pathology.position, plan.axis.position, plan.axis.points[:, 2]))
        must_show = (middle - LESION_SHOWN_MM, middle + LESION_SHOWN_MM)
    lines = [plan.axis, plan.uncinate, plan.bile, *(item.line for item in plan.vessels if item.name != "aorta")]
    low, high = plan_bounds(lines)
    # A large mass reaches beyond the gland.
    size = (1000.0 * pathology.volume_ml) ** (1.0 / 3.0)
    margin = REGION_MARGIN_MM + 0.7 * max(size - 20.0, 0.0)
    low, high = low - margin, high + margin
    height_margin = REGION_HEIGHT_MARGIN_MM + 0.7 * max(size - LARGE_MASS_MM, 0.0)
    low[2] = max(low[2], extent[0] - height_margin)
    high[2] = min(high[2], extent[1] + height_margin)
    return Layout(
        habitus=habitus,
        pathology=pathology,
        extent=extent,
        must_show=must_show,
        head=plan.head,
        head_radius=plan.head_radius,
        low=low,
        high=high,
        vessels=tuple((item.line, item.tissue) for item in plan.vessels),
        region=lambda frame, source: region_from_plan(frame, plan, pathology, source),
        site=lambda _, source: _site(plan, pathology, source),
    )
