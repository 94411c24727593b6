"""ROI margins chosen by data: the smallest that would have kept every validation lesion inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from ctcore.errors import DatasetError
from ctcore.geometry import Box, Triple

Millimetres = tuple[float, float, float]

Structure = Literal["lesion", "pancreas"]

ROUNDING_MM = 0.1
"""Margins are rounded up to this."""

AXES = ("z", "y", "x")


@dataclass(frozen=True, eq=False)
class Beyond:
    """How far the voxels of a structure lie beyond the faces of a box.

    Attributes:
        steps: (n, 3) distinct distances (z, y, x) in voxels of the voxels outside the box; 0 along an axis where the
            voxel lies between the box's two faces.
        counts: (n,) number of voxels at each.
        voxels: voxels of the structure, inside and outside.
    """

    steps: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    voxels: int

    @classmethod
    def of(cls, mask: npt.NDArray[np.bool_], box: Box) -> Beyond | None:
        """Measures a (z, y, x) mask against a box of its grid; None if the mask is empty."""
        tight = Box.of_mask(mask)
        if tight is None:
            return None
        voxels = int(np.count_nonzero(mask[tight.slices]))
        if all(a >= b for a, b in zip(tight.start, box.start, strict=True)) and all(
            a <= b for a, b in zip(tight.stop, box.stop, strict=True)
        ):
            return cls(np.zeros((0, 3), np.int64), np.zeros(0, np.int64), voxels)
        index = np.argwhere(mask[tight.slices]) + np.asarray(tight.start)
        before = np.asarray(box.start) - index
        after = index - (np.asarray(box.stop) - 1)
        steps = np.maximum(np.maximum(before, after), 0)
        distinct, counts = np.unique(steps[steps.any(axis=1)], axis=0, return_counts=True)
        return cls(distinct, counts, voxels)

    def share_inside(self, margin_voxels: Triple) -> float:
        """Returns the share of the structure that the box holds once it has grown by (z, y, x) voxels on both sides."""
        outside = (self.steps > np.asarray(margin_voxels)).any(axis=1)
        return 1.0 - float(self.counts[outside].sum()) / self.voxels

    def reach_mm(self, spacing_zyx: Millimetres) -> Millimetres:
        """Returns how far (z, y, x) the structure reaches beyond the box, in mm."""
        farthest = self.steps.max(axis=0, initial=0)
        z, y, x = (float(n) * s for n, s in zip(farthest, spacing_zyx, strict=True))
        return z, y, x


@dataclass(frozen=True)
class CaseNeed:
    """What one validation case asks of the margins.

    Attributes:
        case_id: the case.
        found: whether the localizer found a pancreas; no margin cures a case where it did not.
        lesion_mm: how far (z, y, x) the lesion reaches beyond the box of the predicted mask; None without a lesion.
        pancreas_mm: the same of gland, duct and lesion; None where the label map holds none.
    """

    case_id: str
    found: bool
    lesion_mm: Millimetres | None
    pancreas_mm: Millimetres | None


class AxisMargin(BaseModel):
    """What decided the margin along one axis.

    Attributes:
        needed_mm: the smallest margin that holds the structure in every case.
        case_id: the case that asks for it; None where no case asks for any.
        next_mm: what would do without that case.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    needed_mm: float
    case_id: str | None
    next_mm: float


class FoundMargins(BaseModel):
    """Margins and how they were found, as `model.json` keeps them.

    Attributes:
        margin_mm: the margins (z, y, x) in mm: needed plus reserve, rounded up to 0.1 mm.
        decided_by: the structure that they keep inside: the lesion, or the pancreas where no case has a lesion.
        axes: what decided each axis (z, y, x).
        reserve_mm: added to what was needed.
        pancreas_mm: margins (z, y, x) that would have held the whole pancreas of every case, without reserve.
        folds: the folds whose validation cases were predicted.
        cases: cases that counted: those with the structure, where the localizer found a pancreas.
        not_found: cases with the structure in which it found none; left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin_mm: Millimetres
    decided_by: Structure
    axes: tuple[AxisMargin, AxisMargin, AxisMargin]
    reserve_mm: float
    pancreas_mm: Millimetres
    folds: tuple[str, ...]
    cases: int
    not_found: tuple[str, ...]


def choose_margins(needs: Sequence[CaseNeed], reserve_mm: float, folds: Sequence[str] = ()) -> FoundMargins:
    """Returns the smallest margins (z, y, x), plus a reserve, that keep every lesion inside the ROI.

    Lesions decide: what must not be lost is the lesion, and where the gland alone reaches farther a larger ROI would
    cost every case. Where no case has a lesion the pancreas decides. Each axis is decided by itself.

    Args:
        needs: the cases, each predicted by a network that did not train on it.
        reserve_mm: what is added. A new case is as likely as any of the n seen ones to be the one that asks for most,
            and so exceeds their largest with probability 1 / (n + 1) an axis: for that the reserve is there.
        folds: their folds, to be recorded.

    Raises:
        DatasetError: there is no case to decide by.
    """
    structure: Structure = "lesion" if any(need.lesion_mm is not None for need in needs) else "pancreas"
    asked = {need.case_id: need.lesion_mm if structure == "lesion" else need.pancreas_mm for need in needs}
    found = {need.case_id for need in needs if need.found}
    counted = {case_id: mm for case_id, mm in asked.items() if mm is not None and case_id in found}
    if not counted:
        number = sum(mm is not None for mm in asked.values())
        raise DatasetError(
            f"the localizer found a pancreas in none of {number} validation cases with a {structure}, so that margins"
            " cannot be chosen; train longer, or give margin_mm three numbers"
        )
    z, y, x = (_axis(counted, axis) for axis in range(3))
    whole = [need.pancreas_mm for need in needs if need.found and need.pancreas_mm is not None]
    pz, py, px = (max(mm[axis] for mm in whole) for axis in range(3))
    return FoundMargins(
        margin_mm=(_with(z, reserve_mm), _with(y, reserve_mm), _with(x, reserve_mm)),
        decided_by=structure,
        axes=(z, y, x),
        reserve_mm=reserve_mm,
        pancreas_mm=(pz, py, px),
        folds=tuple(folds),
        cases=len(counted),
        not_found=tuple(sorted(c for c, mm in asked.items() if mm is not None and c not in found)),
    )


def _axis(counted: dict[str, Millimetres], axis: int) -> AxisMargin:
    ranked = sorted(((mm[axis], case_id) for case_id, mm in counted.items()), reverse=True)
    needed, case_id = ranked[0]
    next_mm = ranked[1][0] if len(ranked) > 1 else 0.0
    return AxisMargin(needed_mm=needed, case_id=case_id if needed > 0 else None, next_mm=next_mm)


def _with(axis: AxisMargin, reserve_mm: float) -> float:
    tenths = (axis.needed_mm + reserve_mm) / ROUNDING_MM
    whole = round(tenths) if math.isclose(tenths, round(tenths), rel_tol=1e-9) else math.ceil(tenths)
    return round(whole * ROUNDING_MM, 1)


def stated(margin_mm: Sequence[Any]) -> str:
    """Returns margins (z, y, x) as a recipe states them."""
    return "[" + ", ".join(f"{float(mm):g}" for mm in margin_mm) + "]"
