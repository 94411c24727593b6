"""What is wrong with a phantom's pancreas: a lesion, one of the mimics of a carcinoma, or nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ctcore.errors import RequestError
from ctcore.phantom.draws import Draws

Kind = Literal[
    "carcinoma",
    "hypo_attenuating",
    "cystic",
    "hyper_attenuating",
    "healthy",
    "cyst",
    "neuroendocrine_tumour",
    "focal_fat",
    "chronic_pancreatitis",
    "dilated_duct",
    "adjacent_bowel",
    "adjacent_node",
]

LESION_KINDS: frozenset[Kind] = frozenset(("carcinoma", "hypo_attenuating", "cystic", "hyper_attenuating"))
"""What carries the label of a lesion."""

NON_PDAC_KINDS: dict[str, float] = {
    "healthy": 0.45,
    "cyst": 0.12,
    "neuroendocrine_tumour": 0.07,
    "focal_fat": 0.08,
    "chronic_pancreatitis": 0.08,
    "dilated_duct": 0.05,
    "adjacent_bowel": 0.09,
    "adjacent_node": 0.06,
}

ISO_ATTENUATING_SHARE = 0.10
ISO_ATTENUATING_HU = 8.0
CONTRAST_MEAN_HU, CONTRAST_SD_HU = 35.0, 15.0
HEAD_SHARE = 0.65
# Measured on the public label maps of PANORAMA: median 6.6 ml, quartiles 3.1 and 12.6 ml.
LESION_MEDIAN_ML, LESION_SIGMA = 6.6, 1.04
LESION_RANGE_ML = (0.3, 100.0)
DRAWABLE_ML = (0.1, 800.0)

# Positions along the gland: 0 lower end of the head, 3 neck, 7 tip of the tail (see `pancreas.py`).
NECK_POSITION, TIP_POSITION = 3.0, 7.0


@dataclass(frozen=True)
class Fluid:
    """The part of a lesion that is fluid.

    Attributes:
        shift_hu: HU by which it is brighter than bile.
        rim: Depth at which it begins, as a share of the lesion's largest depth.
        solid_share: Share of the lesion that is solid nonetheless (mural nodules).
        septa: Solid walls cross it.
    """

    shift_hu: float
    rim: float
    solid_share: float
    septa: bool


@dataclass(frozen=True)
class Pathology:
    """The state of one pancreas.

    Attributes:
        kind: What it is.
        position: Where along the gland's axis (0 head, 3 neck, 7 tip), for what is focal.
        volume_ml: Volume of the focal finding; 0 where there is none.
        contrast_hu: Portal-venous HU by which the finding is darker than the gland (negative: brighter).
        border_mm: Width of its blurred border.
        iso_attenuating: True for a lesion without contrast.
        necrosis: Depth of the darker centre, in HU; 0 without.
        duct_dilated: The pancreatic duct is wide (upstream of a lesion).
        duct_radius: Radius of the wide part of the duct, in mm.
        bile_dilated: The common bile duct is wide.
        atrophy: Factor on the gland's thickness (upstream of a lesion).
        calcifications: Number of calcifications in the gland.
        fluid: The lesion's fluid part; None where all of it is solid.
    """

    kind: Kind
    position: float
    volume_ml: float
    contrast_hu: float
    border_mm: float
    iso_attenuating: bool
    necrosis: float
    duct_dilated: bool
    duct_radius: float
    bile_dilated: bool
    atrophy: float
    calcifications: int
    fluid: Fluid | None = None

    @property
    def has_lesion(self) -> bool:
        """True where the label map shows a lesion."""
        return self.kind in LESION_KINDS


def check_lesion_ml(lesion_ml: tuple[float, float] | None, *, parametric_carcinoma: bool) -> None:
    """Checks a range of volumes to draw carcinomas from.

    Raises:
        RequestError: The range cannot be made, or volumes are not drawn (subtypes, lesions of label maps).
    """
    if lesion_ml is None:
        return
    if not parametric_carcinoma:
        raise RequestError("lesion volumes are drawn for carcinomas in parametric anatomy alone: leave them out")
    (low, high), (least, most) = lesion_ml, DRAWABLE_ML
    if not least <= low <= high <= most:
        raise RequestError(
            f"lesions of {low:g} to {high:g} ml cannot be made: give two rising numbers within {least:g} to {most:g}"
        )


def _draw_volume(draws: Draws, lesion_ml: tuple[float, float] | None) -> float:
    if lesion_ml is None:
        return draws.lognormal("lesion.volume_ml", LESION_MEDIAN_ML, LESION_SIGMA, *LESION_RANGE_ML)
    low, high = lesion_ml
    volume = math.exp(draws.uniform("lesion.log_volume_ml", math.log(low), math.log(high)))
    draws.note("lesion.volume_ml", volume)
    return volume


def _draw_carcinoma(draws: Draws, lesion_ml: tuple[float, float] | None) -> Pathology:
    volume = _draw_volume(draws, lesion_ml)
    in_head = draws.flag("lesion.in_head", HEAD_SHARE)
    position = draws.uniform("lesion.position", *((0.5, 2.8) if in_head else (3.3, 6.6)))
    iso = draws.flag("lesion.iso_attenuating", ISO_ATTENUATING_SHARE)
    contrast = draws.normal("lesion.contrast_hu", CONTRAST_MEAN_HU, CONTRAST_SD_HU, ISO_ATTENUATING_HU, 80.0)
    iso_contrast = draws.uniform("lesion.iso_contrast_hu", -ISO_ATTENUATING_HU, ISO_ATTENUATING_HU)
    # The duct of the uncinate is a side branch: a carcinoma there dilates the main duct less often.
    odds = 0.95 if iso else (0.45 if position < 1.1 else 0.70)
    dilated = draws.flag("duct.dilated", odds)
    atrophied = draws.flag("gland.atrophied", 0.60 if dilated else 0.15)
    necrotic = draws.flag("lesion.necrotic", 0.30 if volume > 5.0 else 0.08)
    bile = draws.flag("bile.dilated", 0.80 if in_head and position > 0.6 else 0.05)
    return Pathology(
        kind="carcinoma",
        position=position,
        volume_ml=volume,
        contrast_hu=iso_contrast if iso else contrast,
        border_mm=draws.uniform("lesion.border_mm", 2.5, 8.0),
        iso_attenuating=iso,
        necrosis=draws.uniform("lesion.necrosis_hu", 15.0, 40.0) if necrotic else 0.0,
        duct_dilated=dilated,
        duct_radius=draws.lognormal("duct.radius", 2.6, 0.30, 1.5, 5.5),
        bile_dilated=bile,
        atrophy=draws.uniform("gland.atrophy", 0.55, 0.88) if atrophied else 1.0,
        calcifications=0,
    )


def _draw_other(draws: Draws, kind: Kind) -> Pathology:
    focal = kind in ("cyst", "neuroendocrine_tumour", "focal_fat", "adjacent_bowel", "adjacent_node")
    in_head = draws.flag("finding.in_head", 0.55)
    position = draws.uniform("finding.position", *((0.4, 2.8) if in_head else (3.3, 6.7)))
    median = {"cyst": 2.0, "neuroendocrine_tumour": 2.5, "focal_fat": 5.0}.get(kind, 3.0)
    volume = draws.lognormal("finding.volume_ml", median, 0.9, 0.25, 40.0)
    contrast = {
        "cyst": 0.0,
        "neuroendocrine_tumour": -draws.uniform("finding.brighter_hu", 20.0, 80.0),
        "focal_fat": draws.uniform("finding.darker_hu", 15.0, 60.0),
    }.get(kind, 0.0)
    inflamed = kind == "chronic_pancreatitis"
    dilated = inflamed or kind == "dilated_duct" or draws.flag("duct.dilated", 0.03)
    old = draws.flag("gland.old", 0.15)
    return Pathology(
        kind=kind,
        position=position,
        volume_ml=volume if focal else 0.0,
        contrast_hu=contrast,
        border_mm=draws.uniform("finding.border_mm", 2.5, 9.0) if kind == "focal_fat" else 1.0,
        iso_attenuating=False,
        necrosis=0.0,
        duct_dilated=dilated,
        duct_radius=draws.lognormal("duct.radius", 2.2, 0.30, 1.4, 5.0),
        bile_dilated=draws.flag("bile.dilated", 0.35 if kind == "dilated_duct" else 0.07),
        atrophy=draws.uniform("gland.atrophy", 0.6, 0.9) if inflamed or old else 1.0,
        calcifications=draws.integer("gland.calcifications", 0, 14) if inflamed else 0,
    )


def draw_pathology(draws: Draws, *, positive: bool, lesion_ml: tuple[float, float] | None = None) -> Pathology:
    """Draws a carcinoma (`positive`) or one of the other states of `NON_PDAC_KINDS`.

    Args:
        draws: Source of randomness.
        positive: With a carcinoma, or without.
        lesion_ml: Smallest and largest volume of a carcinoma, between which its logarithm is uniform; None for the
            distribution measured on PANORAMA, cut off at `LESION_RANGE_ML`.
    """
    if positive:
        return _draw_carcinoma(draws, lesion_ml)
    kind: Kind = draws.pick("kind", NON_PDAC_KINDS)  # type: ignore[assignment]
    return _draw_other(draws, kind)
