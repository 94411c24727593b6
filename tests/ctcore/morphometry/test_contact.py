"""Lesions around straight vessels, by known degrees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.morphometry.centre_line import centre_line
from ctcore.morphometry.contact import Contact, vessel_contact
from ctcore.morphometry.paths import Inside, Spacing
from tests.ctcore.morphometry.shapes import places, tube

LENGTH_MM, FIRST_DEGREES = 8.0, 20.0


def wrapped(spacing: Spacing, tilt: float, radius: float, degrees: float, gap: float = 0.0) -> Contact:
    """Measures a vessel, tilted from z towards x, with a lesion around it for so many degrees."""
    shape = (int(30 / spacing[0]), int(36 / spacing[1]), int(36 / spacing[2]))
    unit = np.array([np.cos(tilt), 0.0, np.sin(tilt)])
    middle = np.array([15.1, 18.13, 18.27])  # on no lattice: its voxels would all lie on one side of an edge
    vessel = tube(shape, spacing, [middle - 13 * unit, middle + 13 * unit], radius)
    offset = places(shape, spacing) - middle
    along = offset @ unit
    side, up = offset @ np.array([np.sin(tilt), 0.0, -np.cos(tilt)]), offset[..., 1]
    angle = (np.degrees(np.arctan2(up, side)) - FIRST_DEGREES) % 360
    away = np.hypot(side, up)
    lesion = ~vessel & (away > radius + gap) & (away < radius + 7) & (np.abs(along) < LENGTH_MM / 2) & (angle < degrees)
    inside = Inside.of(vessel, spacing)
    assert inside is not None
    line = centre_line(inside)
    assert line is not None
    return vessel_contact(vessel, lesion, spacing, line)


@settings(max_examples=20)
@given(
    st.sampled_from([(0.8, 0.8, 0.8), (1.5, 0.75, 0.75), (2.5, 0.8, 0.8)]),
    st.floats(0.3, 0.8),  # along a lattice axis all cross-sections are off by the same voxels
    st.floats(3.0, 5.0),
    st.floats(40.0, 330.0),
)
def test_degrees_and_length(spacing: Spacing, tilt: float, radius: float, degrees: float) -> None:
    contact = wrapped(spacing, tilt, radius, degrees)
    half_a_voxel = np.degrees(np.arctan2(0.5 * np.hypot(*spacing[1:]), radius))  # unknown at either end of the arc
    assert contact.degrees == pytest.approx(degrees, abs=max(2 * half_a_voxel, 18.0))
    assert contact.length_mm == pytest.approx(LENGTH_MM, abs=1.5 * float(np.linalg.norm(spacing)))


def test_all_around() -> None:
    assert wrapped((1.0, 1.0, 1.0), 0.3, 4.0, 360.0).degrees == pytest.approx(360.0)


def test_a_layer_of_fat_is_no_contact() -> None:
    assert wrapped((1.0, 1.0, 1.0), 0.0, 4.0, 180.0, gap=2.5) == Contact(0.0, 0.0)


def test_a_lesion_far_away_and_none() -> None:
    vessel = np.zeros((20, 5, 60), dtype=bool)
    vessel[:, 1:4, 1:4] = True
    inside = Inside.of(vessel, (1.0, 1.0, 1.0))
    assert inside is not None
    line = centre_line(inside)
    assert line is not None
    lesion = np.zeros_like(vessel)
    assert vessel_contact(vessel, lesion, (1.0, 1.0, 1.0), line) == Contact(0.0, 0.0)
    lesion[:, :, 40:] = True
    assert vessel_contact(vessel, lesion, (1.0, 1.0, 1.0), line) == Contact(0.0, 0.0)
