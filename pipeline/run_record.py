"""The content of `run.json`: what is said of a whole run."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.clock import PHASES
from pipeline.records import CaseRecord, CaseStatus, RunOptions, RunRecord, SeriesRecord, ShardRecord
from pipeline.versions import versions

if TYPE_CHECKING:
    from ctcore.inference.backends.choose import Execution
    from pipeline.bundle import Bundle


def run_record(
    bundle: Bundle,
    execution: Execution,
    options: RunOptions,
    *,
    input_path: Path,
    records: Sequence[CaseRecord],
    computed: Collection[str],
    complete: bool,
    started: datetime.datetime,
    wall_seconds: float,
    loading_seconds: float,
    shard: ShardRecord | None = None,
    dicom: tuple[SeriesRecord, ...] = (),
    dicom_unreadable: tuple[str, ...] = (),
) -> RunRecord:
    """Returns what `run.json` holds.

    Args:
        bundle: the bundle.
        execution: device, backend, precision and threads.
        options: choices of the run.
        input_path: what was asked for.
        records: every case of the tables.
        computed: ids of those that this run computed; the others were kept.
        complete: whether every case was reached.
        started: when the run began.
        wall_seconds: how long it took.
        loading_seconds: how long the models took to load.
        shard: which share of the input's cases; None: all of them.
        dicom: the DICOM series of the input.
        dicom_unreadable: what could not be read of it, with the reason.
    """
    manifest, timed = bundle.manifest, not options.deterministic
    fresh = [record for record in records if record.case_id in computed]
    seconds = {phase: sum(record.seconds.get(phase, 0.0) for record in fresh) for phase in PHASES}
    return RunRecord(
        notice=bundle.notice,
        complete=complete,
        started=started.isoformat(timespec="seconds") if timed else None,
        wall_seconds=wall_seconds if timed else None,
        versions=versions(),
        bundle={
            "name": manifest.name,
            "version": manifest.version,
            "sha256": bundle.digest,
            "demo": manifest.demo,
            "folder": str(bundle.folder),
        },
        class_names=manifest.class_names,
        probability_names=tuple(manifest.probability_names),
        input=str(input_path),
        shard=shard,
        options=options,
        execution={
            "device": execution.device,
            "backend": execution.backend,
            "precision": execution.precision,
            "threads": execution.threads,
        },
        phase_seconds={"load_models": loading_seconds, **seconds} if timed else {},
        cases=tuple(
            CaseStatus(
                case_id=record.case_id,
                status=record.status,
                error=record.error,
                reused=record.case_id not in computed if timed else None,
                seconds=record.total_seconds if timed else None,
            )
            for record in records
        ),
        dicom=dicom,
        dicom_unreadable=dicom_unreadable,
    )
