"""A share of a run's cases, for machines that do not know of one another."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ctcore.cts import FoundCts
from ctcore.errors import RequestError
from ctcore.files import CaseFile
from pipeline.run_record import ShardRecord

_SHARD = re.compile(r"(\d{1,6})/(\d{1,6})")


@dataclass(frozen=True)
class Shard:
    """Every `of`-th case, by case id: shards of one input are disjoint and complete, whoever computes them.

    Attributes:
        number: which one, from 1.
        of: how many there are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Reads `2/8`.

        Raises:
            RequestError: it is no shard.
        """
        match = _SHARD.fullmatch(text)
        shard = cls(int(match[1]), int(match[2])) if match else cls(0, 0)
        if not 1 <= shard.number <= shard.of:
            raise RequestError(f"shard '{text}' is not one of several; write for instance --shard 2/8")
        return shard

    def __str__(self) -> str:
        """Returns it as it is written."""
        return f"{self.number}/{self.of}"

    def part(self, found: FoundCts) -> tuple[FoundCts, ShardRecord]:
        """Returns the shard's CTs, and what `run.json` says of it.

        Raises:
            RequestError: it has none.
        """
        cases = sorted(found.cases, key=lambda case: case.case_id)
        mine = tuple(cases[self.number - 1 :: self.of])
        if not mine:
            raise RequestError(f"shard {self} has no case: the input has {len(cases)}; use no more shards than cases")
        record = ShardRecord(number=self.number, of=self.of, cases=len(cases), digest=digest_of(cases))
        return replace(found, cases=mine), record


def digest_of(cases: Sequence[CaseFile]) -> str:
    """Returns a digest of a list of cases, in the order of their ids."""
    names = "\n".join(f"{case.case_id}\t{case.image}" for case in cases)
    return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()
