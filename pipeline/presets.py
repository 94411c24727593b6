"""What published pipelines fix around their networks, by name: with their weights a run does what they do.

Sources: the PANORAMA challenge's baseline algorithm and the winner of its test phase, PanDx. What they do wrong is not
repeated; docs/own-weights.md lists it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ctcore.detection.candidates import CandidateMode

PresetName = Literal["none", "panorama-baseline", "pandx"]

WHOLE_MASK_MM = 10_000.0
"""Longer than any CT: every part of a mask is of one cluster."""


@dataclass(frozen=True)
class Preset:
    """Settings around two imported networks.

    Attributes:
        margin_mm: margin (z, y, x) in mm around the pancreas that makes the ROI.
        bspline_mm: spacing (z, y, x) in mm to which B-splines bring the CT for stage 1; None: nnU-Net's own resampling.
        from_centres: whether the ROI is cut as the PANORAMA baseline does (`roi_rule`).
        bridge_mm: pieces of the mask no farther apart are one cluster, the largest of which is the pancreas.
        minimum_ml: smallest volume of that cluster that is taken for a pancreas.
        gate: whether the lesion probability is cleared away from what stage 2 labels pancreas, lesion or duct.
        gate_voxels: size (z, y, x) of the box by which these are dilated.
        mode: candidate extraction.
        growth_factor: a candidate reaches down to its peak divided by this.
    """

    margin_mm: tuple[float, float, float] = (15.0, 50.0, 100.0)
    bspline_mm: tuple[float, float, float] | None = None
    from_centres: bool = False
    bridge_mm: float = 40.0
    minimum_ml: float = 2.0
    gate: bool = False
    gate_voxels: tuple[int, int, int] = (5, 5, 5)
    mode: CandidateMode = "dynamic-fast"
    growth_factor: float = 2.5


_BASELINE = Preset(bspline_mm=(9.0, 4.5, 4.5), from_centres=True, bridge_mm=WHOLE_MASK_MM, minimum_ml=0.0, gate=True)

PRESETS: dict[PresetName, Preset] = {
    "none": Preset(),
    "panorama-baseline": _BASELINE,
    "pandx": replace(_BASELINE, growth_factor=15.0),
}
