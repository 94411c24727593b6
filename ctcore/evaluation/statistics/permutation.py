"""Paired permutation test: do two systems differ on the same cases?

Under the null hypothesis it does not matter which of the two systems made which output of a case, so outputs are
swapped patient by patient at random and the difference is taken anew (Good, Permutation Tests, 2000, chapter 3). As
whole outputs are swapped, both systems must speak on one scale: bring confidences to `Findings.on_rank_scale` and
scores to ranks first, which changes neither AP nor AUROC of either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcore.errors import RequestError
from ctcore.evaluation.statistics.sampling import Design
from ctcore.evaluation.statistics.statistic import MAX_ELEMENTS, Bools, Statistic

TIE_TOLERANCE = 1e-12
"""A permuted difference that falls short of the observed one by less is as extreme: it differs by rounding."""


@dataclass(frozen=True)
class PermutationTest:
    """Two systems on the same cases.

    Attributes:
        difference: statistic of the first system minus that of the second; None if either is undefined.
        p: two-sided, of no difference; None where the difference is undefined.
        permutations: how many were looked at.
        exact: whether these are all there are.
    """

    difference: float | None
    p: float | None
    permutations: int
    exact: bool


def permutation_test(
    joint: Statistic,
    n_cases: int,
    permutations: int,
    seed: int,
    groups: Sequence[str] | Sequence[int] | npt.NDArray[np.generic] | None = None,
) -> PermutationTest:
    """Tests whether a statistic of two systems differs.

    If all swaps are no more than `permutations` each is looked at once and p is the share of those whose difference
    is as far from 0 as the observed one. Else that many are drawn and p = (1 + extreme ones) / (1 + all), which holds
    its level at any number (Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9, 2010). A
    swap that leaves the statistic undefined counts as extreme.

    Args:
        joint: statistic over 2 `n_cases` cases: those with the first system's outputs, then the same in the same order
            with the second's, as in `Findings.followed_by`.
        n_cases: number of cases.
        permutations: how many swaps to draw at most.
        seed: of the draws.
        groups: (cases,) the patient of every case, whose cases are swapped together; by default every case is one.

    Raises:
        DatasetError: there are not as many groups as cases.
        RequestError: no permutation is asked for.
    """
    if permutations < 1:
        raise RequestError(f"{permutations} permutations cannot test anything; 10000 for example")
    design = Design.of(np.zeros(n_cases, dtype=np.int64), groups)
    observed = float(_differences(joint, np.zeros((1, n_cases), dtype=bool))[0])
    if np.isnan(observed):
        return PermutationTest(None, None, 0, exact=False)
    # Swapping everyone only changes the sign, so that the first patient can stay as it is.
    exact = design.n_units - 1 < permutations.bit_length()
    number = 2 ** (design.n_units - 1) if exact else permutations
    swaps = _all_swaps(design.n_units, number) if exact else _drawn_swaps(design.n_units, number, seed)
    extreme = 0
    for swapped in swaps:
        differences = _differences(joint, swapped[:, design.unit])
        extreme += int(np.sum(~(np.abs(differences) < abs(observed) - TIE_TOLERANCE)))
    p = extreme / number if exact else (1 + extreme) / (1 + number)
    return PermutationTest(observed, p, number, exact)


def _differences(joint: Statistic, swapped: Bools) -> npt.NDArray[np.float64]:
    """Returns first minus second statistic (rows,) with the outputs of some cases (rows, cases) swapped."""
    kept = ~swapped
    first = np.concatenate([kept, swapped], axis=1).astype(np.int32)
    second = np.concatenate([swapped, kept], axis=1).astype(np.int32)
    return joint(first) - joint(second)


def _all_swaps(units: int, number: int) -> Iterator[Bools]:
    """Yields every choice (rows, units) of the units but the first, in blocks."""
    rows = max(1, MAX_ELEMENTS // units)
    for begin in range(0, number, rows):
        codes = np.arange(begin, min(begin + rows, number), dtype=np.int64)
        yield (codes[:, None] << 1 >> np.arange(units)) & 1 == 1


def _drawn_swaps(units: int, number: int, seed: int) -> Iterator[Bools]:
    """Yields random choices (rows, units), in blocks."""
    rng = np.random.default_rng(seed)
    rows = max(1, MAX_ELEMENTS // units)
    for begin in range(0, number, rows):
        yield rng.random((min(rows, number - begin), units)) < 0.5
