"""What tissues look like on CT: mean HU per contrast phase, their spread between patients, and their texture.

Sources of the numbers. Unless a line says otherwise, means are typical radiology reference ranges for 120 kVp:

* non-contrast: fat -120 to -80, muscle 45-60, liver 50-65, spleen 40-55, pancreas 30-50, kidney 25-40, blood 35-50,
  bile 0-20, water 0, cortical bone above 300;
* portal-venous (about 70 s after injection): aorta 130-180, portal vein 150-190, liver 95-120, spleen 110-130, kidney
  cortex 160-200, pancreas 85-115;
* late arterial ("pancreatic", about 40 s): aorta 250-350, pancreas 95-130, liver 65-90, portal vein 90-140;
* delayed (about 180 s): vessels 105-125, liver 85-100, pancreas 70-90.

The difference between pancreas and ductal adenocarcinoma is largest in the pancreatic phase and a little smaller in the
portal-venous one (McNulty et al., Radiology 2001; typical difference 30-50 HU). About one carcinoma in ten is
iso-attenuating and betrays itself by its secondary signs alone (Prokesch et al., Radiology 2002: 11 %; Kim et al.,
Radiology 2010: 5 % overall, 27 % of those of 2 cm or less).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ctcore.phantom.draws import Draws

Phase = Literal["portal-venous", "pancreatic", "delayed", "non-contrast"]
PHASES: tuple[Phase, ...] = ("portal-venous", "pancreatic", "delayed", "non-contrast")

AIR_HU = -1000.0
WATER_HU = 0.0


@dataclass(frozen=True)
class Tissue:
    """One tissue's attenuation.

    Attributes:
        means: Mean HU in the phases of `PHASES`, in that order.
        spread: Standard deviation of the mean between patients, in HU, in enhanced phases.
        plain_spread: The same without contrast medium.
        fine: Standard deviation of the fine texture inside one organ, in HU.
        coarse: Standard deviation of the slow variation inside one organ, in HU.
    """

    means: tuple[float, float, float, float]
    spread: float
    plain_spread: float
    fine: float = 4.0
    coarse: float = 3.0


#                                 portal  pancr.  delayed  plain
TISSUES: dict[str, Tissue] = {
    "fat": Tissue((-105.0, -106.0, -104.0, -107.0), 5.0, 5.0, 5.0, 6.0),
    "subcutaneous_fat": Tissue((-107.0, -108.0, -106.0, -108.0), 5.0, 5.0, 4.0, 4.0),
    "muscle": Tissue((60.0, 56.0, 62.0, 50.0), 6.0, 6.0, 8.0, 6.0),
    "skin": Tissue((30.0, 25.0, 35.0, 10.0), 10.0, 10.0, 6.0, 3.0),
    "cortical_bone": Tissue((520.0, 520.0, 520.0, 520.0), 110.0, 110.0, 60.0, 40.0),
    "cancellous_bone": Tissue((165.0, 162.0, 165.0, 150.0), 30.0, 30.0, 30.0, 18.0),
    "disc": Tissue((85.0, 82.0, 85.0, 80.0), 10.0, 10.0, 6.0, 4.0),
    "spinal_canal": Tissue((30.0, 28.0, 32.0, 25.0), 6.0, 6.0, 4.0, 2.0),
    "cartilage": Tissue((110.0, 108.0, 110.0, 105.0), 20.0, 20.0, 10.0, 8.0),
    "lung": Tissue((-830.0, -830.0, -830.0, -840.0), 35.0, 35.0, 35.0, 25.0),
    "heart": Tissue((135.0, 190.0, 110.0, 40.0), 18.0, 5.0, 4.0, 8.0),
    "liver": Tissue((107.0, 78.0, 95.0, 56.0), 11.0, 7.0, 4.0, 3.0),
    "liver_vessel": Tissue((155.0, 95.0, 118.0, 40.0), 14.0, 4.0, 3.0, 2.0),
    "spleen": Tissue((120.0, 128.0, 104.0, 48.0), 11.0, 5.0, 4.0, 2.0),
    "kidney_cortex": Tissue((185.0, 185.0, 160.0, 33.0), 20.0, 4.0, 6.0, 3.0),
    "kidney_medulla": Tissue((155.0, 85.0, 165.0, 31.0), 20.0, 4.0, 6.0, 3.0),
    "renal_pelvis": Tissue((15.0, 10.0, 350.0, 8.0), 12.0, 5.0, 3.0, 2.0),
    "adrenal": Tissue((75.0, 80.0, 60.0, 25.0), 12.0, 10.0, 4.0, 2.0),
    "bile": Tissue((8.0, 8.0, 8.0, 8.0), 6.0, 6.0, 3.0, 1.0),
    "bowel_wall": Tissue((95.0, 92.0, 85.0, 42.0), 14.0, 7.0, 6.0, 6.0),
    "bowel_fluid": Tissue((15.0, 15.0, 15.0, 15.0), 8.0, 8.0, 5.0, 6.0),
    "chyme": Tissue((35.0, 35.0, 35.0, 33.0), 15.0, 15.0, 20.0, 18.0),
    "oral_contrast": Tissue((260.0, 260.0, 260.0, 260.0), 90.0, 90.0, 15.0, 25.0),
    "stool": Tissue((20.0, 20.0, 20.0, 20.0), 25.0, 25.0, 60.0, 60.0),
    "gas": Tissue((-960.0, -960.0, -960.0, -960.0), 15.0, 15.0, 8.0, 4.0),
    "urine": Tissue((8.0, 6.0, 60.0, 6.0), 5.0, 5.0, 3.0, 1.0),
    "aorta": Tissue((152.0, 310.0, 116.0, 42.0), 18.0, 4.0, 3.0, 2.0),
    "arteries": Tissue((150.0, 300.0, 115.0, 42.0), 18.0, 4.0, 3.0, 2.0),
    "inferior_vena_cava": Tissue((125.0, 90.0, 113.0, 40.0), 20.0, 4.0, 5.0, 8.0),
    "portal_veins": Tissue((165.0, 125.0, 120.0, 41.0), 18.0, 4.0, 3.0, 3.0),
    "pancreas": Tissue((100.0, 115.0, 82.0, 41.0), 15.0, 6.0, 6.0, 5.0),
    "node": Tissue((85.0, 80.0, 78.0, 38.0), 14.0, 6.0, 5.0, 3.0),
    "calcification": Tissue((550.0, 550.0, 550.0, 550.0), 150.0, 150.0, 10.0, 5.0),
}

# How much of a carcinoma's portal-venous contrast to the gland is left in each phase (order of PHASES).
LESION_CONTRAST_FACTOR: dict[Phase, float] = {
    "portal-venous": 1.0,
    "pancreatic": 1.2,
    "delayed": 0.6,
    "non-contrast": 0.12,
}


@dataclass(frozen=True)
class Palette:
    """The attenuations of one patient in one phase.

    Attributes:
        phase: Contrast phase.
        means: Tissue -> mean HU.
        texture: Factor on the texture of every tissue.
    """

    phase: Phase
    means: dict[str, float]
    texture: float

    def __getitem__(self, tissue: str) -> float:
        return self.means[tissue]


def draw_palette(draws: Draws, phase: Phase, *, jitter: float = 1.0, texture: float = 1.0) -> Palette:
    """Draws one patient's attenuations.

    Enhanced tissues of one patient vary together (dose for the body size, circulation), so that part of the spread is
    shared.

    Args:
        draws: Source of randomness.
        phase: Contrast phase.
        jitter: Factor on the spread between patients.
        texture: Factor on the texture.
    """
    column = PHASES.index(phase)
    plain = phase == "non-contrast"
    shared = draws.normal("hu.shared_enhancement", 0.0, 0.10 * jitter, -0.35, 0.35)
    means: dict[str, float] = {}
    for name, tissue in TISSUES.items():
        spread = jitter * (tissue.plain_spread if plain else tissue.spread)
        own = draws.normal(f"hu.offset.{name}", 0.0, 0.8 * spread, -2.5 * spread, 2.5 * spread)
        uptake = tissue.means[column] - tissue.means[3]
        means[name] = tissue.means[column] + shared * uptake + own
    # Fatty liver lowers the liver alone; about a third of adults have some.
    steatosis = draws.uniform("hu.steatosis", 5.0, 40.0) if draws.flag("hu.steatosis_present", 0.3) else 0.0
    means["liver"] -= steatosis
    draws.note("hu.mean", {name: round(value, 2) for name, value in means.items()})
    return Palette(phase=phase, means=means, texture=texture)
