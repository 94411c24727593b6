"""Three lesion subtypes that CT tells apart in most cases, not in all.

`subtype0` is hypo-attenuating and solid, `subtype1` cystic, `subtype2` hyper-attenuating. All shares and ranges are
plausible choices, not measurements (see docs/phantoms.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ctcore.labels import SUBTYPE_NAMES
from ctcore.phantom.draws import Draws
from ctcore.phantom.pathology import HEAD_SHARE, ISO_ATTENUATING_HU, LESION_RANGE_ML, Fluid, Kind, Pathology

VOLUME_SIGMA = 1.0
FLUID_SHIFT_HU = (8.0, 10.0, -4.0, 40.0)
TURBID_SHARE = 0.12
TURBID_SHIFT_HU = (25.0, 55.0)
SEPTA_SHARE = 0.45
NODULE_SHARE = 0.35
NODULE_RANGE = (0.15, 0.60)


@dataclass(frozen=True)
class Look:
    """The distributions from which one subtype's lesions are drawn.

    Attributes:
        kind: What it is.
        median_ml: Median volume.
        contrast_hu: Mean, sd, least and largest portal-venous HU by which the solid part is darker than the gland.
        iso_share: Probability that the solid part has no contrast.
        border_mm: Range of the border's width.
        fluid_odds: Probability of a fluid part.
        rim: Range of the depth at which it begins, as a share of the lesion's largest depth.
        complex_fluid: It may hold septa and nodules.
        necrosis_odds: Probability of a darker centre.
        duct_odds: Probability of a dilated duct upstream.
        bile_odds: Probability of a dilated bile duct where the lesion lies in the head.
    """

    kind: Kind
    median_ml: float
    contrast_hu: tuple[float, float, float, float]
    iso_share: float
    border_mm: tuple[float, float]
    fluid_odds: float
    rim: tuple[float, float]
    complex_fluid: bool
    necrosis_odds: float
    duct_odds: float
    bile_odds: float


LOOKS: Mapping[str, Look] = dict(
    zip(
        SUBTYPE_NAMES,
        (
            Look(
                kind="hypo_attenuating",
                median_ml=6.6,
                contrast_hu=(35.0, 15.0, 8.0, 80.0),
                iso_share=0.10,
                border_mm=(2.5, 8.0),
                fluid_odds=0.12,
                rim=(0.35, 0.65),
                complex_fluid=False,
                necrosis_odds=0.20,
                duct_odds=0.65,
                bile_odds=0.70,
            ),
            Look(
                kind="cystic",
                median_ml=8.0,
                contrast_hu=(8.0, 14.0, -25.0, 45.0),
                iso_share=0.0,
                border_mm=(1.0, 3.5),
                fluid_odds=1.0,
                rim=(0.05, 0.35),
                complex_fluid=True,
                necrosis_odds=0.0,
                duct_odds=0.30,
                bile_odds=0.15,
            ),
            Look(
                kind="hyper_attenuating",
                median_ml=5.0,
                contrast_hu=(-35.0, 18.0, -90.0, -8.0),
                iso_share=0.12,
                border_mm=(1.0, 5.0),
                fluid_odds=0.18,
                rim=(0.35, 0.65),
                complex_fluid=False,
                necrosis_odds=0.0,
                duct_odds=0.15,
                bile_odds=0.15,
            ),
        ),
        strict=True,
    )
)


def _draw_fluid(draws: Draws, look: Look) -> Fluid:
    turbid = draws.flag("lesion.fluid_turbid", TURBID_SHARE)
    clear_shift = draws.normal("lesion.fluid_clear_shift", *FLUID_SHIFT_HU)
    turbid_shift = draws.uniform("lesion.fluid_turbid_shift", *TURBID_SHIFT_HU)
    nodules = draws.flag("lesion.nodules", NODULE_SHARE)
    solid = draws.uniform("lesion.nodule_share", *NODULE_RANGE)
    septa = draws.flag("lesion.septa", SEPTA_SHARE)
    return Fluid(
        shift_hu=turbid_shift if turbid else clear_shift,
        rim=draws.uniform("lesion.rim", *look.rim),
        solid_share=solid if nodules and look.complex_fluid else 0.0,
        septa=septa and look.complex_fluid,
    )


def draw_subtype(draws: Draws, subtype: str) -> Pathology:
    """Draws a lesion of a subtype; `subtype` is one of `SUBTYPE_NAMES`."""
    look = LOOKS[subtype]
    volume = draws.lognormal("lesion.volume_ml", look.median_ml, VOLUME_SIGMA, *LESION_RANGE_ML)
    in_head = draws.flag("lesion.in_head", HEAD_SHARE)
    position = draws.uniform("lesion.position", *((0.5, 2.8) if in_head else (3.3, 6.6)))
    iso = draws.flag("lesion.iso_attenuating", look.iso_share)
    contrast = draws.normal("lesion.contrast_hu", *look.contrast_hu)
    iso_contrast = draws.uniform("lesion.iso_contrast_hu", -ISO_ATTENUATING_HU, ISO_ATTENUATING_HU)
    dilated = draws.flag("duct.dilated", look.duct_odds)
    atrophied = draws.flag("gland.atrophied", 0.60 if dilated else 0.15)
    bile = draws.flag("bile.dilated", look.bile_odds if in_head and position > 0.6 else 0.05)
    necrotic = draws.flag("lesion.necrotic", look.necrosis_odds)
    liquefied = draws.flag("lesion.fluid", look.fluid_odds)
    return Pathology(
        kind=look.kind,
        position=position,
        volume_ml=volume,
        contrast_hu=iso_contrast if iso else contrast,
        border_mm=draws.uniform("lesion.border_mm", *look.border_mm),
        iso_attenuating=iso,
        necrosis=draws.uniform("lesion.necrosis_hu", 15.0, 40.0) if necrotic else 0.0,
        duct_dilated=dilated,
        duct_radius=draws.lognormal("duct.radius", 2.6, 0.30, 1.5, 5.5),
        bile_dilated=bile,
        atrophy=draws.uniform("gland.atrophy", 0.55, 0.88) if atrophied else 1.0,
        calcifications=0,
        fluid=_draw_fluid(draws, look) if liquefied else None,
    )
