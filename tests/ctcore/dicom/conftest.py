"""A small CT for DICOM series."""

from __future__ import annotations

import numpy as np
import pytest

from ctcore.volume import Geometry, Volume


@pytest.fixture
def ct() -> Volume:
    """A (12, 8, 10) CT in LPS order, with every value different from its neighbours."""
    values = np.random.default_rng(0).integers(-1000, 1500, (12, 8, 10)).astype(np.int16)
    return Volume(values, Geometry(values.shape, (0.7, 0.9, 2.5), (-31.25, 17.0, -250.5)))
