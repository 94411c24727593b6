"""Colours of the report's pictures and their legend."""

from __future__ import annotations

BACKGROUND = "#0b0f14"
ROI = "#f0f0f0"
PANCREAS = "#56b4e9"
VEINS = "#009e73"
ARTERIES = "#cc79a7"
DETECTION = "#ff8c00"
"""The middle of the map's scale from red to yellow."""
