"""Cases to places: each once, whatever happens to the places."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ctcore.errors import OutputGoneError, PipelineError, RequestError
from ctcore.files import CaseFile
from ctcore.inference.backends.choose import Execution
from pipeline.bundle import Bundle
from pipeline.case_runner import RunContext
from pipeline.executors.dispatch import ATTEMPTS_TO_OPEN, LOSSES_OF_A_CASE, SeatLostError, dispatch
from pipeline.executors.work import Work
from pipeline.observer import RunObserver, SilentObserver
from pipeline.outputs import OutputFolder
from pipeline.records import CaseRecord, RunOptions

Act = Callable[[CaseFile, int], None]


def nothing(case: CaseFile, attempt: int) -> None:
    """Lets a case be computed."""


@dataclass
class Log:
    """What all seats of a test did."""

    begun: list[str] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    attempts: Counter[str] = field(default_factory=Counter)


class FakeSeat:
    """Computes nothing; `act` is called with every case and how often it was begun, and may raise."""

    def __init__(self, log: Log, act: Act = nothing, opening: Callable[[int], None] = lambda attempt: None) -> None:
        self._log, self._act, self._opening = log, act, opening

    def open(self) -> float:
        self._log.opened += 1
        self._opening(self._log.opened)
        return 0.5

    def run(self, case: CaseFile, observer: RunObserver) -> CaseRecord:
        self._log.attempts[case.case_id] += 1
        self._log.begun.append(case.case_id)
        observer.phase(case.case_id, "read")
        self._act(case, self._log.attempts[case.case_id])
        return CaseRecord(case_id=case.case_id, image=case.image, status="done")

    def close(self) -> None:
        self._log.closed += 1


@pytest.fixture
def records() -> list[CaseRecord]:
    """What was handed over."""
    return []


@pytest.fixture
def work(tmp_path: Path, bundle: Bundle, execution: Execution, records: list[CaseRecord]) -> Work:
    """A run that keeps the records."""
    context = RunContext(OutputFolder(tmp_path / "out"), bundle, execution, RunOptions())
    return Work(context, lambda: pytest.fail("loaded"), lambda: None, records.append, SilentObserver())


def cases(number: int) -> list[CaseFile]:
    return [CaseFile(f"case{n:02}", Path(f"/nowhere/case{n:02}.nii.gz")) for n in range(number)]


def ids(records: list[CaseRecord]) -> list[str]:
    return sorted(record.case_id for record in records)


@pytest.mark.parametrize("places", [1, 3, 20])
def test_every_case_is_computed_once(work: Work, records: list[CaseRecord], places: int) -> None:
    log = Log()
    assert dispatch(cases(12), work, [FakeSeat(log) for _ in range(places)]) == 0.5
    assert ids(records) == [case.case_id for case in cases(12)]
    assert max(log.attempts.values()) == 1
    assert log.opened <= min(places, 12)


def test_a_lost_place_costs_one_case_of_work(work: Work, records: list[CaseRecord]) -> None:
    def lose_some(case: CaseFile, attempt: int) -> None:
        if case.case_id in ("case01", "case07") and attempt == 1:
            raise SeatLostError("signal 9")

    log = Log()
    dispatch(cases(12), work, [FakeSeat(log, lose_some) for _ in range(2)])
    assert ids(records) == [case.case_id for case in cases(12)]
    assert {case_id for case_id, n in log.attempts.items() if n > 1} == {"case01", "case07"}
    assert sum(log.attempts.values()) == 14


def test_a_case_that_ends_its_places_fails_alone(work: Work, records: list[CaseRecord], tmp_path: Path) -> None:
    def poison(case: CaseFile, attempt: int) -> None:
        if case.case_id == "case03":
            raise SeatLostError("signal 11")

    log = Log()
    dispatch(cases(6), work, [FakeSeat(log, poison) for _ in range(2)])
    assert log.attempts["case03"] == LOSSES_OF_A_CASE
    assert ids(records) == [case.case_id for case in cases(6)]
    (failed,) = (record for record in records if record.status == "failed")
    assert failed.case_id == "case03"
    assert failed.error == "3 workers have ended while they computed it; free memory, or run it alone"
    assert CaseRecord.model_validate_json((tmp_path / "out" / "cases" / "case03.json").read_text()) == failed


def test_the_last_case_is_taken_over(work: Work, records: list[CaseRecord]) -> None:
    """By a place that has nothing to do any more: it waits as long as a case may come back."""
    other_is_idle = threading.Event()

    def lose_last(case: CaseFile, attempt: int) -> None:
        if case.case_id == "case01" and attempt == 1:
            other_is_idle.wait(5)
            raise SeatLostError("signal 9")
        if case.case_id == "case00":
            threading.Timer(0.05, other_is_idle.set).start()

    dispatch(cases(2), work, [FakeSeat(Log(), lose_last) for _ in range(2)])
    assert ids(records) == ["case00", "case01"]


def test_a_place_that_never_opens_ends_the_run(work: Work, records: list[CaseRecord]) -> None:
    def lost(attempt: int) -> None:
        raise SeatLostError("exit code 1")

    log = Log()
    with pytest.raises(PipelineError, match=r"has ended 3 times while it loaded the networks \(exit code 1\); free"):
        dispatch(cases(4), work, [FakeSeat(log, opening=lost)])
    assert log.opened == ATTEMPTS_TO_OPEN
    assert records == []


def test_what_a_place_raises_ends_the_run(work: Work, records: list[CaseRecord]) -> None:
    def refuse(attempt: int) -> None:
        raise RequestError("a worker has another bundle")

    log, fine = Log(), Log()
    slow = FakeSeat(fine, lambda *_: time.sleep(0.02))
    with pytest.raises(RequestError, match="another bundle"):
        dispatch(cases(500), work, [FakeSeat(log, opening=refuse), slow])
    assert fine.closed
    assert ids(records) == sorted(fine.begun)  # what was computed meanwhile is told
    assert len(fine.begun) < 500


def test_nothing_is_written_before_it_may_be(work: Work, records: list[CaseRecord]) -> None:
    log, before = Log(), []
    seats = [FakeSeat(log) for _ in range(3)]
    telling = Work(work.context, work.load, lambda: before.append(len(log.begun)), work.finished, work.observer)
    dispatch(cases(9), telling, seats)
    assert before == [0]


def test_ctrl_c_closes_all_places(work: Work) -> None:
    def stop(record: CaseRecord) -> None:
        told.append(record.case_id)
        if len(told) == 2:
            raise KeyboardInterrupt

    told: list[str] = []
    log = Log()
    stopping = Work(work.context, work.load, lambda: None, stop, work.observer)
    with pytest.raises(KeyboardInterrupt):
        dispatch(cases(300), stopping, [FakeSeat(log, lambda *_: time.sleep(0.01)) for _ in range(2)])
    assert log.closed >= 2
    assert sorted(told) == sorted(log.begun)
    assert threading.active_count() < 10


def test_an_output_that_is_gone_ends_the_run(work: Work, records: list[CaseRecord]) -> None:
    log = Log()
    with work.context.output.locked():
        work.context.output.folder.rename(work.context.output.folder.with_name("elsewhere"))
        with pytest.raises(OutputGoneError):
            dispatch(cases(300), work, [FakeSeat(log, lambda *_: time.sleep(0.01))])
    assert len(log.begun) < 300


def test_a_place_that_is_still_opening_when_another_refuses_computes_nothing(work: Work) -> None:
    refused, log = threading.Event(), Log()

    class Slow(FakeSeat):
        def open(self) -> float:
            refused.wait(60)
            raise SeatLostError("it was closed")

        def close(self) -> None:
            refused.set()

    class Refusing(FakeSeat):
        def open(self) -> float:
            raise RequestError("a worker has other versions")

    with pytest.raises(RequestError, match="other versions"):
        dispatch(cases(4), work, [Slow(log), Refusing(log)])
    assert log.begun == []
