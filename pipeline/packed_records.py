"""Records of a run's cases, kept small: one takes 19 KiB as an object with five candidates, and 1.5 to 2 packed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from typing import overload

from pipeline.records import CaseRecord

LEVEL = 1
"""Of the compression: higher ones take longer and save little."""


class PackedRecords(MutableMapping[str, CaseRecord]):
    """Records by case id; each is packed when it is put in and unpacked whenever it is asked for."""

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}

    def __getitem__(self, case_id: str) -> CaseRecord:
        """Returns an equal record, made anew."""
        return _unpacked(self._packed[case_id])

    def __setitem__(self, case_id: str, record: CaseRecord) -> None:
        """Keeps a record; what JSON cannot say of it (infinity) was refused when it was written."""
        self._packed[case_id] = zlib.compress(record.model_dump_json().encode(), LEVEL)

    def __delitem__(self, case_id: str) -> None:
        """Drops a record."""
        del self._packed[case_id]

    def __contains__(self, case_id: object) -> bool:
        """Tells whether a case has a record, without unpacking it."""
        return case_id in self._packed

    def __iter__(self) -> Iterator[str]:
        """Yields the case ids in the order of their coming."""
        return iter(self._packed)

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self._packed)

    def joined(self, others: PackedRecords) -> PackedRecords:
        """Returns these records and others, all still packed."""
        both = PackedRecords()
        both._packed = self._packed | others._packed
        return both

    def in_order(self) -> RecordsInOrder:
        """Returns the records by case id, as they are now; none is unpacked before it is asked for."""
        return RecordsInOrder(self._packed[case_id] for case_id in sorted(self._packed))


class RecordsInOrder(Sequence[CaseRecord]):
    """Records that are unpacked one at a time, however many there are.

    Args:
        packed: the records as `PackedRecords` keeps them.
    """

    def __init__(self, packed: Iterable[bytes]) -> None:
        self._packed = tuple(packed)

    @overload
    def __getitem__(self, index: int) -> CaseRecord: ...

    @overload
    def __getitem__(self, index: slice) -> RecordsInOrder: ...

    def __getitem__(self, index: int | slice) -> CaseRecord | RecordsInOrder:
        """Returns a record, or several still packed."""
        found = self._packed[index]
        return _unpacked(found) if isinstance(found, bytes) else RecordsInOrder(found)

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self._packed)

    def __eq__(self, other: object) -> bool:
        """Tells whether another one has the same records."""
        return isinstance(other, RecordsInOrder) and self._packed == other._packed

    def __hash__(self) -> int:
        """Returns what is the same for the same records."""
        return hash(self._packed)


def _unpacked(packed: bytes) -> CaseRecord:
    return CaseRecord.model_validate_json(zlib.decompress(packed))
