"""Small things that several tests of the phantoms share."""

from collections.abc import Callable

import numpy as np
import pytest

from ctcore.phantom.deformation import Deformation, random_deformation
from ctcore.phantom.draws import Draws
from ctcore.phantom.frame import Frame
from ctcore.volume import Geometry, Volume

NO_DEFORMATION = Deformation(origin=(-60.0, -60.0, -60.0), spacing=40.0, nodes=np.zeros((3, 5, 5, 5)))


@pytest.fixture
def draws() -> Draws:
    return Draws(np.random.default_rng(0))


@pytest.fixture
def frame() -> Frame:
    """A 2 mm grid from -30 to 30 mm without deformation."""
    return Frame((-30.0, -30.0, -30.0), (30.0, 30.0, 30.0), 2.0, NO_DEFORMATION)


@pytest.fixture
def bent() -> Deformation:
    """A deformation of about 4 mm."""
    return random_deformation(np.random.default_rng(3), (-80.0, -80.0, -80.0), (80.0, 80.0, 80.0), 50.0, 4.0)


def _hand_made_map(*, lesion: bool, stray: int = 0) -> Volume:
    """A tiny label map, LPS, 2 mm: an aorta, a gland in front of it, a portal vein up and to the right."""
    array = np.zeros((45, 45, 70), dtype=np.uint8)  # z, y, x
    z, y, x = np.indices(array.shape)
    array[(x - 35) ** 2 + (y - 36) ** 2 < 36] = 3
    gland = (np.abs(z - 15 - (x > 25) * (x - 25) // 4) < 7) & (np.abs(y - 16) < 5) & (x > 10) & (x < 62)
    array[gland] = 4
    array[(np.abs(z - 30) < 3) & (np.abs(y - 22) < 3) & (x > 3) & (x < 28)] = 2
    array[(np.abs(z - 18) < 1) & (np.abs(y - 16) < 1) & (x > 20) & (x < 50)] = 5
    array[(np.abs(z - 26) < 5) & (np.abs(y - 20) < 2) & (np.abs(x - 16) < 2)] = 6
    if lesion:
        array[(z - 16) ** 2 + (y - 16) ** 2 + (x - 18) ** 2 < 25] = 1
    if stray:
        array[:2, :2, :stray] = 7
    return Volume(array, Geometry(array.shape, (2.0, 2.0, 2.0), (-70.0, -60.0, 900.0)))


@pytest.fixture(scope="session")
def hand_made_map() -> Callable[..., Volume]:
    """Makes a tiny label map; takes `lesion` and, optionally, `stray`."""
    return _hand_made_map
