"""Whether a stack of slices is a CT that can be computed, judged by its headers alone."""

from __future__ import annotations

import math

import numpy as np

from ctcore.bounds import MAX_VOXELS
from ctcore.dicom.grid import normal_of
from ctcore.dicom.header import Header
from ctcore.dicom.stack import Stack
from ctcore.errors import GeometryError, ImageDimensionError, IntensityError

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""SOP class UIDs; those that begin with the last are secondary captures, too."""

MIN_SLICES = 10
"""Fewer are a scout, a bolus tracker, a key image or a fragment."""

MAX_SIDE = 4096
"""Most rows or columns."""

LEAST_BITS = 9
"""Of a stored value: 8 bits hold no Hounsfield units of a body."""

AXIAL_COSINE = math.cos(math.radians(30))
"""Least cosine of the angle between a slice's normal and the body's axis."""

HU_TYPES = ("", "HU", "HU_MOD")
"""Values of RescaleType that mean Hounsfield units."""


def why_not_ct(stack: Stack) -> str | None:
    """Returns why a stack is not meant to be computed at all, or None: another modality, a scout, a capture, ..."""
    first, count = stack.first, len(stack.slices)
    enhanced = first.sop_class in (ENHANCED_CT, LEGACY_ENHANCED_CT)
    checks = (
        (first.modality != "CT", f"modality {first.modality or 'unknown'}, not CT"),
        (enhanced, "enhanced (multi-frame) CT; export it as single slices"),
        (first.sop_class.startswith(SECONDARY_CAPTURE), "secondary capture"),
        (first.sop_class != CT_IMAGE, f"no CT images (SOP class {first.sop_class})"),
        ("LOCALIZER" in first.image_type, "localizer (scout)"),
        (
            first.samples > 1 or not first.photometric.startswith("MONOCHROME"),
            f"colour image ({first.photometric or 'unknown'})",
        ),
        (first.bits < LEAST_BITS, f"{first.bits} bits a voxel: a capture, not Hounsfield units"),
        (count < MIN_SLICES, f"{count} slices, fewer than {MIN_SLICES}"),
    )
    return next((reason for wrong, reason in checks if wrong), None) or _why_not_axial(first)


def _why_not_axial(header: Header) -> str | None:
    try:
        normal = normal_of(header)
    except GeometryError:
        return None  # a fault of a CT, which the grid tells
    if abs(normal[2]) >= AXIAL_COSINE:
        return None
    return f"{('sagittal', 'coronal', 'oblique')[int(np.argmax(np.abs(normal)))]}, not axial"


def is_original(stack: Stack) -> bool:
    """Tells whether slices are what the scanner reconstructed first, not made from other slices."""
    return bool(stack.first.image_type) and stack.first.image_type[0] == "ORIGINAL"


def check_values(stack: Stack) -> None:
    """Checks what decides voxel values and memory.

    Raises:
        IntensityError: a slice does not say how its values become Hounsfield units, or they become none.
        ImageDimensionError: the volume has impossible sizes, or more voxels than `MAX_VOXELS`.
    """
    first = stack.first
    if not 0 < first.rows <= MAX_SIDE or not 0 < first.columns <= MAX_SIDE:
        raise ImageDimensionError(
            f"slices of {first.rows} x {first.columns} voxels; 1 to {MAX_SIDE} can be read, export the series again"
        )
    voxels = first.rows * first.columns * len(stack.slices)
    if voxels > MAX_VOXELS:
        raise ImageDimensionError(f"{voxels} voxels, {MAX_VOXELS} can be read; split the series")
    for header in stack.slices:
        name = header.source.name
        if header.frames != 1:
            raise ImageDimensionError(f"'{name}' holds {header.frames} frames; export the series as single slices")
        if header.slope is None or header.intercept is None:
            raise IntensityError(f"'{name}' lacks RescaleSlope or RescaleIntercept, values are no Hounsfield units")
        if not (math.isfinite(header.slope) and math.isfinite(header.intercept)) or header.slope <= 0:
            raise IntensityError(
                f"'{name}' has rescale slope {header.slope} and intercept {header.intercept}; export the series again"
            )
        if header.rescale_type not in HU_TYPES:
            raise IntensityError(f"'{name}' holds '{header.rescale_type}' values, not Hounsfield units")
    if first.photometric != "MONOCHROME2":
        raise IntensityError(f"'{first.source.name}' is stored as {first.photometric}; export it as MONOCHROME2")
