"""One case of a localizer's evaluation: what it found, against its label map."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ctcore.datasets.label_names import LESION, PANCREAS_PARTS, values_of
from ctcore.geometry import Box, Triple
from ctcore.nnunet.preparation.dataset import TrainingCase, read_training_pair
from ctcore.resample import resample_array
from ctcore.volume import Geometry, Volume
from stage1_localizer.localizer import Localization
from stage1_localizer.margins import Beyond, CaseNeed, Millimetres
from stage1_localizer.roi import roi_box

NO_MARGIN = (0.0, 0.0, 0.0)


class Locator(Protocol):
    """A localizer."""

    def locate(self, ct: Volume, /) -> Localization:
        """Finds the pancreas in a CT in LPS order."""


@dataclass(frozen=True, eq=False)
class LocatedCase:
    """What is kept of a case: enough to tell, for any margin, what the ROI holds.

    Boxes are index boxes (z, y, x) of the CT's own grid in LPS order, and so are all voxels counted.

    Attributes:
        case_id: the case.
        fold: the fold that did not train on it; "" for an exported model.
        geometry: the CT's grid.
        source: `localizer`, or `fallback` where nothing was found.
        flags: what the localizer says of it.
        box: of the mask found; of the fallback ROI where nothing was found.
        tight: of the true pancreas; None where the label map holds none.
        pancreas: how far the true pancreas lies beyond `box`.
        lesion: how far the lesion does; None without one.
        predicted_ml: volume of the mask found, at the low resolution.
        dice: of the mask found and the true pancreas; None where the label map holds none.
        seconds: of locating, without reading.
    """

    case_id: str
    fold: str
    geometry: Geometry
    source: str
    flags: tuple[str, ...]
    box: Box
    tight: Box | None
    pancreas: Beyond | None
    lesion: Beyond | None
    predicted_ml: float
    dice: float | None
    seconds: float

    @property
    def found(self) -> bool:
        """Whether the localizer found a pancreas."""
        return self.source == "localizer"

    @property
    def need(self) -> CaseNeed:
        """What the case asks of the margins."""
        spacing = self.geometry.spacing_zyx
        lesion = None if self.lesion is None else self.lesion.reach_mm(spacing)
        pancreas = None if self.pancreas is None else self.pancreas.reach_mm(spacing)
        return CaseNeed(self.case_id, self.found, lesion, pancreas)

    @property
    def lost_mm(self) -> float:
        """How far the lesion, or else the pancreas, lies beyond the box: the larger, the worse the case."""
        need = self.need
        return max(need.lesion_mm or need.pancreas_mm or NO_MARGIN)


@dataclass(frozen=True, eq=False)
class CaseMasks:
    """A case's voxels, on the CT's own grid in LPS order; not kept beyond the case.

    Attributes:
        ct: the CT.
        pancreas, lesion: true masks (z, y, x).
        found: the mask found.
    """

    ct: Volume
    pancreas: npt.NDArray[np.bool_]
    lesion: npt.NDArray[np.bool_]
    found: npt.NDArray[np.bool_]


def locate_case(localizer: Locator, case: TrainingCase, fold: str = "") -> tuple[LocatedCase, CaseMasks]:
    """Reads a case, locates its pancreas, and measures that against its label map.

    Raises:
        CaseError: a file cannot be used, or the network's answer cannot.
    """
    pair = read_training_pair(case, case.labels)
    ct = pair.image
    begin = time.perf_counter()
    located = localizer.locate(ct)
    seconds = time.perf_counter() - begin
    masks = CaseMasks(
        ct,
        np.isin(pair.label.array, values_of(case.labels, PANCREAS_PARTS)),
        np.isin(pair.label.array, values_of(case.labels, {LESION})),
        resample_array(located.pancreas.array, ct.geometry.shape, "nearest") > 0,
    )
    return compare(case.case_id, fold, located, masks, seconds), masks


def compare(case_id: str, fold: str, located: Localization, masks: CaseMasks, seconds: float) -> LocatedCase:
    """Measures what was found against the true masks."""
    geometry = masks.ct.geometry
    box = located.box
    if located.source == "localizer":
        box = roi_box(located.pancreas.array, geometry, NO_MARGIN) or located.box
    return LocatedCase(
        case_id=case_id,
        fold=fold,
        geometry=geometry,
        source=located.source,
        flags=located.flags,
        box=box,
        tight=Box.of_mask(masks.pancreas),
        pancreas=Beyond.of(masks.pancreas, box),
        lesion=Beyond.of(masks.lesion, box),
        predicted_ml=located.pancreas_ml,
        dice=dice(masks.found, masks.pancreas),
        seconds=seconds,
    )


def dice(found: npt.NDArray[np.bool_], true: npt.NDArray[np.bool_]) -> float | None:
    """Returns the Dice coefficient of two masks, None where the true one is empty."""
    total = int(np.count_nonzero(true))
    if total == 0:
        return None
    return 2.0 * int(np.count_nonzero(found & true)) / (total + int(np.count_nonzero(found)))


@dataclass(frozen=True)
class CaseFigures:
    """A case's figures for one margin: a row of `cases.csv`.

    Attributes:
        case_id, fold, source, dice, seconds: as in `LocatedCase`.
        lesion_in_roi: share of the lesion's voxels inside the ROI; None without a lesion.
        pancreas_in_roi: share of the pancreas' voxels (gland, duct, lesion).
        roi_to_tightest: volume of the ROI in that of the box of the true pancreas with the same margins.
        roi_of_scan: share of the scan's voxels that the ROI is.
        roi_ml, pancreas_ml, lesion_ml, predicted_ml: volumes in millilitres.
        lesion_beyond_mm: how far (z, y, x) the lesion reaches beyond the mask found (beyond the fallback ROI).
        pancreas_beyond_mm: how far the pancreas does.
        flags: what the localizer says of the case.
    """

    case_id: str
    fold: str
    source: str
    dice: float | None
    lesion_in_roi: float | None
    pancreas_in_roi: float | None
    roi_to_tightest: float | None
    roi_of_scan: float
    roi_ml: float
    pancreas_ml: float
    lesion_ml: float
    predicted_ml: float
    lesion_beyond_mm: Millimetres | None
    pancreas_beyond_mm: Millimetres | None
    flags: tuple[str, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Returns the figures by name."""
        return dict(vars(self))


def case_roi(case: LocatedCase, margin_mm: Millimetres) -> Box:
    """Returns the ROI that a case gets with a margin (z, y, x); the fallback ROI has none."""
    if not case.found:
        return case.box
    return case.box.expand_mm(margin_mm, case.geometry.spacing_zyx).clip(case.geometry.shape)


def figures_of(case: LocatedCase, margin_mm: Millimetres) -> CaseFigures:
    """Returns a case's figures for a margin (z, y, x) in mm."""
    spacing = case.geometry.spacing_zyx
    steps: Triple = (0, 0, 0)
    if case.found:
        z, y, x = (math.ceil(m / s) for m, s in zip(margin_mm, spacing, strict=True))
        steps = (z, y, x)
    roi = case_roi(case, margin_mm)
    voxel_ml = case.geometry.voxel_volume_ml
    tightest = None
    if case.tight is not None:
        tightest = case.tight.expand_mm(margin_mm, spacing).clip(case.geometry.shape)
    need = case.need
    return CaseFigures(
        case_id=case.case_id,
        fold=case.fold,
        source=case.source,
        dice=case.dice,
        lesion_in_roi=None if case.lesion is None else case.lesion.share_inside(steps),
        pancreas_in_roi=None if case.pancreas is None else case.pancreas.share_inside(steps),
        roi_to_tightest=None if tightest is None else roi.voxels / tightest.voxels,
        roi_of_scan=roi.voxels / math.prod(case.geometry.shape),
        roi_ml=roi.voxels * voxel_ml,
        pancreas_ml=0.0 if case.pancreas is None else case.pancreas.voxels * voxel_ml,
        lesion_ml=0.0 if case.lesion is None else case.lesion.voxels * voxel_ml,
        predicted_ml=case.predicted_ml,
        lesion_beyond_mm=need.lesion_mm,
        pancreas_beyond_mm=need.pancreas_mm,
        flags=case.flags,
        seconds=case.seconds,
    )
