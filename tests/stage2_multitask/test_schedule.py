"""Phases at their borders, by hand."""

from __future__ import annotations

import pytest

from stage2_multitask.recipe import PhaseShares
from stage2_multitask.schedule import Phase, phase_of

S, H, J = Phase.SEGMENTATION, Phase.HEAD, Phase.JOINT


@pytest.mark.parametrize(
    ("epochs", "segmentation", "head", "expected"),
    [
        (10, 0.5, 0.2, [S] * 5 + [H] * 2 + [J] * 3),
        (10, 0.0, 0.0, [J] * 10),
        (4, 1.0, 0.0, [S] * 4),
        (4, 0.0, 1.0, [H] * 4),
        (4, 0.5, 0.5, [S, S, H, H]),
        (1, 0.4, 0.1, [J]),
        (45, 0.4, 0.1, [S] * 18 + [H] * 4 + [J] * 23),
    ],
)
def test_phases(epochs: int, segmentation: float, head: float, expected: list[Phase]) -> None:
    shares = PhaseShares(segmentation=segmentation, head=head)
    assert [phase_of(epoch, epochs, shares) for epoch in range(epochs)] == expected
