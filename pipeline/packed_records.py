"""Records of a run's cases, kept small: one with measurements takes 20 KiB and more as an object, and one packed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from typing import overload

from pipeline.records import CaseRecord

LEVEL = 6
"""Of the compression: higher ones take longer and save nothing."""

Packed = tuple[bytes, bytes]
"""A compressed record, and the other record whose words it may repeat."""


class PackedRecords(MutableMapping[str, CaseRecord]):
    """Records by case id; each is packed when it is put in and unpacked whenever it is asked for."""

    def __init__(self) -> None:
        self._packed: dict[str, Packed] = {}
        self._words: bytes | None = None

    def __getitem__(self, case_id: str) -> CaseRecord:
        """Returns an equal record, made anew."""
        return _unpacked(self._packed[case_id])

    def __setitem__(self, case_id: str, record: CaseRecord) -> None:
        """Keeps a record; what JSON cannot say of it (infinity) was refused when it was written."""
        text = record.model_dump_json().encode()
        if self._words is None:
            self._words = text  # all say the same things in the same order
        compressor = zlib.compressobj(LEVEL, zdict=self._words)
        self._packed[case_id] = compressor.compress(text) + compressor.flush(), self._words

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

    def __init__(self, packed: Iterable[Packed]) -> None:
        self._packed = tuple(packed)

    @overload
    def __getitem__(self, index: int) -> CaseRecord: ...

    @overload
    def __getitem__(self, index: slice) -> RecordsInOrder: ...

    def __getitem__(self, index: int | slice) -> CaseRecord | RecordsInOrder:
        """Returns a record, or several still packed."""
        if isinstance(index, slice):
            return RecordsInOrder(self._packed[index])
        return _unpacked(self._packed[index])

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self._packed)

    def __eq__(self, other: object) -> bool:
        """Tells whether another one has the same records."""
        return isinstance(other, RecordsInOrder) and list(self) == list(other)

    def __hash__(self) -> int:
        """Returns what is the same for the same records."""
        return hash(len(self))


def _unpacked(packed: Packed) -> CaseRecord:
    content, words = packed
    return CaseRecord.model_validate_json(zlib.decompressobj(zdict=words).decompress(content))
