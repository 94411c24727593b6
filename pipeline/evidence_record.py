"""What is kept of the evidence for a class; definitions: docs/evidence.md."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from pipeline.record import Record


class EvidenceRecord(Record):
    """Where the evidence for a class lies.

    Attributes:
        class_name: the class: the most probable one with a lesion.
        supporting: log-odds of the class (as the network gives them, before the temperature) that speak for it.
        opposing: log-odds that speak against it, 0 or more.
        scale: log-odds per ml where the map is 1: its peak.
        candidate_share: of what speaks for the class, inside the most confident candidate; None where nothing does.
        pancreas_share: inside the rest of the pancreas.
        elsewhere_share: outside both.
        candidate_volume_share: of the ROI's volume, inside that candidate.
        pancreas_volume_share: inside the rest of the pancreas.
        peak_lps_mm: where the map is 1: (x, y, z) in LPS mm; None where nothing speaks for the class.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    class_name: str
    supporting: float = Field(ge=0)
    opposing: float = Field(ge=0)
    scale: float = Field(ge=0)
    candidate_share: float | None
    pancreas_share: float | None
    elsewhere_share: float | None
    candidate_volume_share: float
    pancreas_volume_share: float
    peak_lps_mm: tuple[float, float, float] | None
