"""Plain layers beside Winograd's."""

from __future__ import annotations

import pytest

from benchmarks.winograd import measure_layer


def test_a_layer_is_timed_and_compared_with_double_precision() -> None:
    row = measure_layer(32, 32, (12, 6, 6), rounds=1)
    assert min(row["plain"], row["winograd"]) > 0
    assert 0 < row["plain_error"] < 1e-4
    assert row["plain_error"] != row["winograd_error"] < 1e-3


def test_a_layer_that_is_not_computed_so_is_refused() -> None:
    with pytest.raises(ValueError, match="8 -> 8 channels"):
        measure_layer(8, 8, (8, 4, 4), rounds=1)
