"""Records of a run's cases, kept small: one takes 19 KiB as an object with five candidates, and 1.5 packed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, MutableMapping

from pipeline.records import CaseRecord

LEVEL = 1
"""Of the compression: higher ones take longer and save little."""


class PackedRecords(MutableMapping[str, CaseRecord]):
    """Records by case id; each is packed when it is put in and unpacked whenever it is asked for."""

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}

    def __getitem__(self, case_id: str) -> CaseRecord:
        """Returns an equal record, made anew."""
        return CaseRecord.model_validate_json(zlib.decompress(self._packed[case_id]))

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
