"""Cases to places that compute them; a place that is lost loses no case, and a case that ends places fails alone."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

from ctcore.errors import CaseError, PipelineError
from ctcore.files import CaseFile
from pipeline.case_writer import Progressing
from pipeline.executors.work import Work
from pipeline.observer import RunObserver
from pipeline.records import CaseRecord

LOSSES_OF_A_CASE = 3
"""A case that was being computed when so many places were lost has failed: it is likely why."""
ATTEMPTS_TO_OPEN = 3
"""A place that is lost so often in a row while its networks are loaded ends the run."""

logger = logging.getLogger(__name__)


class SeatLostError(Exception):
    """The process that computes at a place has ended."""


class CaseEndsWorkersError(CaseError):
    """Every process that has computed the case has ended meanwhile."""


class Seat(Protocol):
    """A place that computes one case at a time; used by one thread, closed by any."""

    def open(self) -> float:
        """Starts its process and loads the networks; may be called again after a loss. Returns seconds of loading.

        Raises:
            SeatLostError: the process has ended.
            Exception: it cannot compute, and no other attempt would help.
        """

    def run(self, case: CaseFile, observer: RunObserver) -> CaseRecord:
        """Computes a case and writes its files.

        Raises:
            SeatLostError: the process has ended.
            Exception: it cannot go on, with this case or another.
        """

    def close(self) -> None:
        """Ends the process at once; what it computes is given up."""


@dataclass(frozen=True)
class _Opened:
    seconds: float


@dataclass(frozen=True)
class _Phase:
    case_id: str
    phase: str


@dataclass(frozen=True)
class _Finished:
    record: CaseRecord


@dataclass(frozen=True)
class _GivenUp:
    case: CaseFile


@dataclass(frozen=True)
class _Ended:
    error: Exception | None


_Event = _Opened | _Phase | _Finished | _GivenUp | _Ended


class _Told:
    """Tells the thread that runs the cohort which case is in which phase."""

    def __init__(self, events: SimpleQueue[_Event]) -> None:
        self._events = events

    def started(self, pending: int, reused: int) -> None:
        """Does nothing: this is told by whoever dispatches."""

    def phase(self, case_id: str, phase: str) -> None:
        """Passes it on."""
        self._events.put(_Phase(case_id, phase))

    def finished(self, record: CaseRecord) -> None:
        """Does nothing: the record is handed over by itself."""


class _Cases:
    """What is left to compute; shared by the threads of all places."""

    def __init__(self, cases: Sequence[CaseFile]) -> None:
        self._left, self._taken = deque(cases), 0
        self._losses: Counter[str] = Counter()
        self._changed = threading.Condition()
        self.stopped = False

    def next(self) -> CaseFile | None:
        """Takes a case; waits where all are taken, as one of them may come back. None: there is none left."""
        with self._changed:
            self._changed.wait_for(lambda: self._left or not self._taken or self.stopped)
            if self.stopped or not self._left:
                return None
            self._taken += 1
            return self._left.popleft()

    def done(self) -> None:
        """A case that was taken has ended."""
        with self._changed:
            self._taken -= 1
            self._changed.notify_all()

    def lost(self, case: CaseFile) -> bool:
        """The place that computed a case was lost: it comes next. Returns False where that has happened too often."""
        with self._changed:
            self._taken -= 1
            self._losses[case.case_id] += 1
            again = self._losses[case.case_id] < LOSSES_OF_A_CASE
            if again:
                self._left.appendleft(case)
            self._changed.notify_all()
            return again

    def stop(self) -> None:
        """Nobody takes another one."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()


class _Place:
    """A seat and the thread that gives it cases."""

    def __init__(self, seat: Seat, cases: _Cases, may_write: threading.Event, events: SimpleQueue[_Event]) -> None:
        self._seat, self._cases, self._may_write, self._events = seat, cases, may_write, events
        self._is_open = False
        self._thread = threading.Thread(target=self._serve, name="seat", daemon=True)

    def start(self) -> None:
        """Begins to compute."""
        self._thread.start()

    def end(self) -> None:
        """Gives up what is being computed, and waits for the thread."""
        self._seat.close()
        if self._thread.ident is not None:
            self._thread.join()

    def _serve(self) -> None:
        error: Exception | None = None
        try:
            self._work()
        except Exception as raised:  # told in the thread that runs the cohort
            error = raised
        finally:
            self._seat.close()
            self._events.put(_Ended(error))

    def _work(self) -> None:
        told = _Told(self._events)
        while (case := self._cases.next()) is not None:
            self._open()
            self._may_write.wait()
            if self._cases.stopped:
                return
            try:
                record = self._seat.run(case, told)
            except SeatLostError as error:
                if not self._cases.stopped:
                    logger.warning("a worker has ended while it had case '%s': %s", case.case_id, error)
                self._seat.close()
                self._is_open = False
                if not self._cases.lost(case):
                    self._events.put(_GivenUp(case))
            else:
                self._events.put(_Finished(record))
                self._cases.done()

    def _open(self) -> None:
        attempts = 0
        while not self._is_open and not self._cases.stopped:
            attempts += 1
            try:
                self._events.put(_Opened(self._seat.open()))
                self._is_open = True
            except SeatLostError as error:
                self._seat.close()
                if attempts == ATTEMPTS_TO_OPEN:
                    raise PipelineError(
                        f"a worker has ended {attempts} times while it loaded the networks ({error}); free memory, or"
                        " use fewer workers"
                    ) from error


def dispatch(cases: Sequence[CaseFile], work: Work, seats: Sequence[Seat]) -> float:
    """Computes cases, each at one of several places.

    Args:
        cases: one at least.
        work: the run.
        seats: the places; no more of them than cases are used.

    Returns:
        Seconds that the slowest place took to load the networks.

    Raises:
        OutputGoneError: the output was removed or replaced meanwhile.
        Exception: what a place has raised; the others are stopped.
    """
    events: SimpleQueue[_Event] = SimpleQueue()
    left, may_write = _Cases(cases), threading.Event()
    places = [_Place(seat, left, may_write, events) for seat in seats[: len(cases)]]
    loading, running = 0.0, len(places)
    try:
        for place in places:
            place.start()
        while running:
            event = events.get()
            if isinstance(event, _Opened):
                loading = max(loading, event.seconds)
                if not may_write.is_set():
                    work.before_writing()
                    may_write.set()
            elif isinstance(event, _Ended):
                running -= 1
                if event.error is not None:
                    raise event.error
            else:
                _tell(event, work)
                work.context.output.check()
    finally:
        left.stop()
        may_write.set()  # who waits for it finds that all is stopped
        for place in places:
            place.end()
        while not events.empty():
            _tell(events.get(), work)
        work.context.output.remove_partials()
    return loading


def _tell(event: _Event, work: Work) -> None:
    if isinstance(event, _Phase):
        work.observer.phase(event.case_id, event.phase)
    elif isinstance(event, _Finished):
        work.finished(event.record)
    elif isinstance(event, _GivenUp):
        error = CaseEndsWorkersError(
            f"{LOSSES_OF_A_CASE} workers have ended while they computed it; free memory, or run it alone"
        )
        made_with = work.context.made_with
        work.finished(work.context.writer().write(Progressing(event.case, made_with), error))
