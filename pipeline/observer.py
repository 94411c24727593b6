"""Who wants to know how a run goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pipeline.records import CaseRecord


class RunObserver(Protocol):
    """Whoever wants to know how a run goes; called from the thread that runs it."""

    def started(self, pending: int, reused: int) -> None:
        """The run begins: so many cases to compute, so many finished earlier."""

    def phase(self, case_id: str, phase: str) -> None:
        """A case enters a phase."""

    def finished(self, record: CaseRecord) -> None:
        """A case has ended, done or failed, and its files are written."""


class SilentObserver:
    """Tells nobody."""

    def started(self, pending: int, reused: int) -> None:
        """Does nothing."""

    def phase(self, case_id: str, phase: str) -> None:
        """Does nothing."""

    def finished(self, record: CaseRecord) -> None:
        """Does nothing."""
