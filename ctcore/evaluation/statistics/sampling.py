"""Which cases count how often: drawn with replacement, or all but some. Strata apart, patients whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcore.errors import DatasetError
from ctcore.evaluation.statistics.statistic import MAX_ELEMENTS

Indices = npt.NDArray[np.intp]
Counts = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Design:
    """How a study's cases were gathered.

    Attributes:
        unit: (cases,) index of the unit, that is the patient, of every case; a unit is drawn with all its cases.
        strata: for every stratum the indices of its units; each is drawn to its own size.
    """

    unit: Indices
    strata: tuple[Indices, ...]

    @classmethod
    def of(
        cls, strata: npt.ArrayLike, groups: Sequence[str] | Sequence[int] | npt.NDArray[np.generic] | None = None
    ) -> Design:
        """Makes the design of a study.

        Args:
            strata: (cases,) integers, for instance 1 for positive and 0 for negative cases. A patient with cases of
                several strata belongs to the highest: one positive case makes a positive patient.
            groups: (cases,) the patient of every case; by default every case is a patient.

        Raises:
            DatasetError: the two differ in length.
        """
        stratum = np.asarray(strata).astype(np.int64)
        if stratum.ndim != 1 or (groups is not None and len(groups) != stratum.size):
            given = "" if groups is None else f" and {len(groups)} groups"
            raise DatasetError(f"strata of shape {stratum.shape}{given}: give one of each a case")
        names = np.arange(stratum.size) if groups is None else np.asarray(groups)
        known, unit = np.unique(names, return_inverse=True)
        of_unit = np.full(known.size, np.iinfo(np.int64).min)
        np.maximum.at(of_unit, unit, stratum)
        return cls(unit.astype(np.intp), tuple(np.flatnonzero(of_unit == value) for value in np.unique(of_unit)))

    @property
    def n_units(self) -> int:
        """Number of patients."""
        return sum(members.size for members in self.strata)

    def draws(self, replicates: int, seed: int) -> Iterator[Counts]:
        """Yields bootstrap samples, (rows, cases) how often each case was drawn, in blocks of bounded size."""
        rng = np.random.default_rng(seed)
        per_block = max(1, MAX_ELEMENTS // max(self.unit.size, 1))
        for begin in range(0, replicates, per_block):
            rows = min(per_block, replicates - begin)
            drawn = np.zeros(rows * self.n_units, dtype=np.int64)
            for members in self.strata:
                picks = members[rng.integers(members.size, size=(rows, members.size))]
                drawn += np.bincount((picks + np.arange(rows)[:, None] * self.n_units).ravel(), minlength=drawn.size)
            yield self._of_cases(drawn.reshape(rows, self.n_units).astype(np.int32))

    def deletions(self, blocks: int, seed: int) -> Iterator[Counts]:
        """Yields for every stratum its jackknife samples: (blocks, cases), 0 for the cases of the block left out.

        Args:
            blocks: into how many a stratum is cut at random; a stratum of fewer units has them left out one by one.
            seed: of the cut.
        """
        rng = np.random.default_rng(seed)
        for members in self.strata:
            number = min(blocks, members.size)
            kept = np.ones((number, self.n_units), dtype=np.int32)
            kept[np.arange(members.size) % number, rng.permutation(members)] = 0
            yield self._of_cases(kept)

    def _of_cases(self, counts: Counts) -> Counts:
        """Spreads (rows, units) over the cases: (rows, cases)."""
        return counts[:, self.unit]
