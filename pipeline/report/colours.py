"""Colours of the report's pictures and their legend."""

from __future__ import annotations

BACKGROUND = "#0b0f14"
ROI = "#f0f0f0"
PANCREAS = "#56b4e9"
VEINS = "#009e73"
ARTERIES = "#cc79a7"
DETECTION = "#ff8c00"
"""The middle of the map's scale from red to yellow."""
EVIDENCE_MAP = "viridis"
"""matplotlib's scale for the evidence: of even steps for colour-blind readers too, and nowhere grey as the CT is."""
EVIDENCE = ("#440154", "#31688e", "#35b779", "#fde725")
"""It from 0 to 1, in even steps."""
