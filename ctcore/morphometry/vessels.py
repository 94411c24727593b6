"""Which vessel is which in masks that name only veins and arteries, on arrays in LPS order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ctcore.morphometry.centre_line import CentreLine, middle_line
from ctcore.morphometry.paths import Index, Inside, index_of, pieces

PORTAL_VEIN, MESENTERIC_VEIN, SPLENIC_VEIN = "portal vein", "superior mesenteric vein", "splenic vein"
MESENTERIC_ARTERY, HEPATIC_ARTERY, SPLENIC_ARTERY = (
    "superior mesenteric artery",
    "coeliac and hepatic artery",
    "coeliac and splenic artery",
)
DOWN, LEFT, RIGHT, UP_AND_RIGHT = (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, -1.0), (1.0, 0.0, -1.0)
"""Directions (z, y, x) of the patient on an array in LPS order."""
LEAST_BRANCH_MM = 12.0
"""A shorter branch is not told from the rough surface of the vessel that it leaves."""
AORTA_RADIUS_MM = 5.5
"""Where a ball of this radius fits is aorta; no other artery of the region is as wide."""


@dataclass(frozen=True, eq=False)
class VenousTree:
    """The veins behind the pancreas.

    Attributes:
        confluence: (3,) (z, y, x) mm where splenic and superior mesenteric vein meet (or the splenic vein and
            what shows of the portal vein); None where no splenic vein shows, or nothing but it.
        branches: centre lines by name, from the confluence outward.
    """

    confluence: npt.NDArray[np.float64] | None
    branches: dict[str, CentreLine]


def venous_tree(veins: Inside) -> VenousTree:
    """Names the branches of the veins: portal, splenic and superior mesenteric vein in one piece.

    The mesenteric vein ends at the lowest voxel, the splenic vein at the one farthest to the left, the portal vein at
    the one that is farthest up and to the right. The confluence is the voxel from which the ways in the middle to all
    three are cheapest together.
    """
    ends = {
        MESENTERIC_VEIN: veins.farthest_along(DOWN),
        SPLENIC_VEIN: veins.farthest_along(LEFT),
        PORTAL_VEIN: veins.farthest_along(UP_AND_RIGHT),
    }
    costs = np.sum([veins.middle_ways(end).costs for end in ends.values()], axis=0)
    meeting = index_of(np.unravel_index(int(np.argmin(costs)), costs.shape))
    branches = _branches(veins, meeting, ends)
    meets = SPLENIC_VEIN in branches and len(branches) > 1
    return VenousTree(place(veins, meeting) if meets else None, branches)


def arterial_tree(arteries: Inside) -> dict[str, CentreLine]:
    """Names the arteries that leave the aorta towards the pancreas; centre lines from the aorta outward.

    The aorta is where a ball of `AORTA_RADIUS_MM` fits. Of the pieces that remain without it, the one that falls
    farthest below its root is the superior mesenteric artery; the ways through the others (through all, where there
    are none) to the voxels farthest to the right and left are the coeliac trunk with the hepatic and the splenic
    artery.

    Returns:
        The arteries that show, by name; none where the aorta does not.
    """
    aorta = _aorta(arteries)
    rooted = [] if not aorta.any() else _rooted_pieces(arteries, aorta)
    if not rooted:
        return {}
    falls = [place(piece, root)[0] - place(piece, piece.farthest_along(DOWN))[0] for piece, root in rooted]
    lowest = int(np.argmax(falls))
    found = _branches(*rooted[lowest], {MESENTERIC_ARTERY: rooted[lowest][0].farthest_along(DOWN)})
    upper = [pair for number, pair in enumerate(rooted) if number != lowest] or rooted
    for name, side in ((HEPATIC_ARTERY, RIGHT), (SPLENIC_ARTERY, LEFT)):
        reached = [
            branch
            for piece, root in upper
            for branch in _branches(piece, root, {name: piece.farthest_along(side)}).values()
            if (branch.points[-1] - branch.points[0]) @ np.asarray(side) >= LEAST_BRANCH_MM
        ]
        if reached:
            found[name] = max(reached, key=lambda branch: branch.length_mm)
    return found


def place(piece: Inside, index: Index) -> npt.NDArray[np.float64]:
    """Returns the place (z, y, x) in mm of a voxel of a piece."""
    return np.asarray(piece.millimetres([index])[0])


def _branches(inside: Inside, source: Index, ends: dict[str, Index]) -> dict[str, CentreLine]:
    """Returns the centre lines from a voxel to the ends that are far enough away."""
    ways = inside.middle_ways(source)
    lines = {name: middle_line(inside, ways, end) for name, end in ends.items()}
    return {name: line for name, line in lines.items() if line is not None and line.length_mm >= LEAST_BRANCH_MM}


def _aorta(arteries: Inside) -> npt.NDArray[np.bool_]:
    """Returns where a ball of the aorta's least radius fits, and one voxel around."""
    from scipy.ndimage import distance_transform_edt

    core = arteries.depth > AORTA_RADIUS_MM
    if not core.any():
        return core
    away = distance_transform_edt(~core, sampling=arteries.spacing)
    return np.asarray(arteries.mask & (away <= AORTA_RADIUS_MM + max(arteries.spacing)))


def _rooted_pieces(arteries: Inside, aorta: npt.NDArray[np.bool_]) -> list[tuple[Inside, Index]]:
    """Returns what remains of the arteries without the aorta, where it is long enough for a branch, each with its root.

    The root is the deepest of the voxels nearest to the aorta. Indices are of the pieces, places of the arteries' grid.
    """
    from scipy.ndimage import distance_transform_edt

    away = distance_transform_edt(~aorta, sampling=arteries.spacing)
    rooted = []
    for piece in pieces(arteries.mask & ~aorta, arteries.spacing, LEAST_BRANCH_MM):
        voxels = piece.voxels
        distances = away[tuple((voxels + np.rint(piece.origin / piece.spacing).astype(np.intp)).T)]
        nearest = voxels[distances <= distances.min() + max(arteries.spacing)]
        root = index_of(nearest[np.argmax(piece.depth[tuple(nearest.T)])])
        rooted.append((replace(piece, origin=piece.origin + arteries.origin), root))
    return rooted
