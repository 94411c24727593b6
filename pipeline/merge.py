"""The shards of a run in one folder: their cases as they are, and tables that speak of all of them."""

from __future__ import annotations

import contextlib
import datetime
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctcore.durable import write_atomic
from ctcore.errors import RequestError
from ctcore.object_store import Place
from pipeline.outputs import OutputFolder
from pipeline.packed_records import PackedRecords
from pipeline.records import CaseRecord
from pipeline.run_record import RunRecord, ShardRecord
from pipeline.stored_output import opened_output, opened_to_read
from pipeline.tables import write_tables

AGAIN = "run the shard again"
SAME = ("bundle", "options", "execution", "versions", "class_names", "probability_names")
"""What all shards of a run have in common, as `run.json` calls it; the bundle's folder and the threads aside."""


@dataclass(frozen=True)
class MergeSummary:
    """What a merging has come to.

    Attributes:
        shards: how many were joined.
        records: all cases, sorted by case id.
    """

    shards: int
    records: Sequence[CaseRecord]


def merge(
    inputs: Sequence[Place], output: Place, progress: Callable[[int, int], None] = lambda done, of: None
) -> MergeSummary:
    """Joins the shards of a run.

    Files are linked (hard links) where both folders are on one file system, and copied elsewhere; from and to object
    storage they come through this machine. The result is what
    one run of all cases would have left, but for times; a merging that was stopped is begun again by the same call.

    Args:
        inputs: the shards' output folders, in any order.
        output: folder of the whole run.
        progress: told how many of how many cases are there.

    Raises:
        RequestError: a folder holds no shard, or one that did not come to its end; the shards are of different lists of
            cases, bundles, options, machines or versions; one is missing or there twice.
        OutputError: a file cannot be written.
    """
    runs = [(folder, _read_run(folder)) for folder in inputs]
    _check(runs)
    ordered = sorted(runs, key=lambda pair: 0 if pair[1].shard is None else pair[1].shard.number)
    image_format = ordered[0][1].options.format
    if _resolved(output) in map(_resolved, inputs):
        raise RequestError(f"output '{output}' is one of the shards; give a folder of its own")
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(opened_output(output, image_format))
        sources = [stack.enter_context(opened_to_read(folder, image_format)) for folder, _ in ordered]
        stack.enter_context(target.locked())
        target.remove_tables()
        cases = [
            (status.case_id, source) for source, (_, run) in zip(sources, ordered, strict=True) for status in run.cases
        ]
        records = PackedRecords()
        for done, (case_id, source) in enumerate(sorted(cases, key=lambda pair: pair[0]), start=1):
            target.check()
            records[case_id] = _take(source, case_id, target)
            progress(done, len(cases))
        write_tables(target, _joined([run for _, run in ordered]), records.in_order())
    return MergeSummary(len(runs), records.in_order())


def _resolved(place: Place) -> Place:
    return place.resolve() if isinstance(place, Path) else place


def _read_run(folder: Place) -> RunRecord:
    nothing = RequestError(f"'{folder}' holds no run.json; give folders that 'pipeline run --shard' has written")
    if isinstance(folder, Path) and not folder.is_dir():
        raise nothing
    with opened_to_read(folder) as source:
        name = source.name_of(source.run_path)
        if not source.has(name):
            raise nothing
        with source.at_hand([name]):
            run = RunRecord.read(source.run_path, shown=source.shown(source.run_path), otherwise=AGAIN)
    if run.shard is None:
        raise RequestError(f"'{folder}' is no shard but a whole run; give folders of 'pipeline run --shard'")
    if not run.complete:
        raise RequestError(f"shard {_name(run.shard)} in '{folder}' did not come to its end; run it again")
    return run


def _check(runs: Sequence[tuple[Place, RunRecord]]) -> None:
    """Refuses what is not one run in parts."""
    if not runs:
        raise RequestError("there is no shard to merge; give the folders of all of them with --input")
    (first_folder, first), *others = runs
    for folder, run in others:
        pair = f"'{first_folder}' and '{folder}'"
        if _list_of(run.shard) != _list_of(first.shard):
            raise RequestError(f"{pair} are shards of different lists of cases; run all shards on the same input again")
        for name in SAME:
            if _said(run, name) != _said(first, name):
                raise RequestError(f"{pair} were run with different {name.replace('_', ' ')}; run one of them again")
    numbers = [run.shard.number for _, run in runs if run.shard is not None]
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise RequestError(f"shard {twice[0]} is there twice; give every shard once")
    of = first.shard.of if first.shard is not None else 0
    missing = [str(number) for number in range(1, of + 1) if number not in numbers]
    if missing:
        raise RequestError(f"shard{'s' * (len(missing) > 1)} {', '.join(missing)} of {of} missing; give all of them")


def _list_of(shard: ShardRecord | None) -> tuple[int, int, str] | None:
    return None if shard is None else (shard.of, shard.cases, shard.digest)


def _said(run: RunRecord, name: str) -> object:
    said = getattr(run, name)
    if name == "bundle":
        return {key: value for key, value in said.items() if key != "folder"}
    if name == "execution":
        return {key: value for key, value in said.items() if key != "threads"}
    if name == "options":
        return said.model_copy(update={"overwrite": False})
    return said


def _take(source: OutputFolder, case_id: str, target: OutputFolder) -> CaseRecord:
    """Takes a case's files into another folder, its record last; returns that."""
    record_path = source.record_path(case_id)
    record_name = source.name_of(record_path)
    with source.at_hand([record_name]):
        record = CaseRecord.read(record_path, shown=source.shown(record_path), otherwise=AGAIN)
    names = source.files_of(record) if record.status == "done" else []
    missing = [name for name in names if not source.has(name)]
    if missing:
        raise RequestError(f"'{source.shown(source.folder / missing[0])}' is missing; {AGAIN}")
    target.clear_case(case_id)
    report = source.report_files(case_id)
    further = [name for path in report if source.has(name := source.name_of(path))]
    taken = [*names, *further, record_name]
    with source.at_hand(taken):
        for name in taken:
            write_atomic(target.folder / name, _linker(source.folder / name))
    target.keep(case_id)
    return record


def _linker(source: Path) -> Callable[[Path], None]:
    """Returns what makes a file the same as another."""

    def link(partial: Path) -> None:
        partial.unlink(missing_ok=True)
        try:
            partial.hardlink_to(source)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, partial)

    return link


def _joined(runs: Sequence[RunRecord]) -> RunRecord:
    """Returns what `run.json` says of all shards together; times are added up, but for the clock's."""
    first = runs[0]
    phases = {name: sum(run.phase_seconds.get(name, 0.0) for run in runs) for name in first.phase_seconds}
    statuses = {status.case_id: status for run in runs for status in run.cases}
    return first.model_copy(
        update={
            "started": min(_known(run.started for run in runs), default=None),
            "wall_seconds": _wall_seconds(runs),
            "phase_seconds": phases,
            "cases": tuple(statuses[case_id] for case_id in sorted(statuses)),
            "shard": None,
        }
    )


def _wall_seconds(runs: Sequence[RunRecord]) -> float | None:
    """Returns the time from the first start to the last end; None where the runs tell no times."""
    spans = [
        (begin, begin + run.wall_seconds)
        for run in runs
        if run.started is not None and run.wall_seconds is not None
        for begin in [datetime.datetime.fromisoformat(run.started).timestamp()]
    ]
    return max(end for _, end in spans) - min(begin for begin, _ in spans) if spans else None


def _known(values: Iterable[str | None]) -> list[str]:
    return [value for value in values if value is not None]


def _name(shard: ShardRecord) -> str:
    return f"{shard.number}/{shard.of}"
