"""The content of `run.json`: what is said of a whole run."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal

from ctcore.detection.calibration import OperatingPoint
from ctcore.versions import versions
from pipeline.clock import PHASES
from pipeline.record import Record
from pipeline.records import OUTPUT_SCHEMA_VERSION, CaseRecord, RunOptions, Status

if TYPE_CHECKING:
    from ctcore.inference.backends.choose import Execution
    from ctcore.object_store import Place
    from pipeline.bundle import Bundle


class CaseStatus(Record):
    """One case in `run.json`.

    Attributes:
        case_id: the case.
        status: `done` or `failed`.
        error: why it failed.
        reused: whether the result of an earlier run was kept; None in deterministic runs, whose output does not tell
            how often they were stopped.
        seconds: time of all phases; None in deterministic runs.
    """

    case_id: str
    status: Status
    error: str | None
    reused: bool | None
    seconds: float | None


class SeriesRecord(Record):
    """One DICOM series in `run.json`: nothing of it identifies the patient.

    Attributes:
        series: digest of its UIDs.
        study: digest of the study's UID.
        part: which of the series' stacks of slices of one kind this is, from 1.
        number: the series' number.
        modality: `CT`, `MR`, ...
        slices: how many.
        size: (rows, columns) of a slice.
        spacing_mm: voxel size (x, y, z), or null where the slices make no grid.
        verdict: `chosen`, `faulty` (a case that fails) or `refused` (no case).
        reason: why.
        case_id: the case, or null.
    """

    series: str
    study: str
    part: int
    number: int | None
    modality: str
    slices: int
    size: tuple[int, int]
    spacing_mm: tuple[float, float, float] | None
    verdict: Literal["chosen", "faulty", "refused"]
    reason: str
    case_id: str | None


class ShardRecord(Record):
    """Which share of an input's cases a run has.

    Attributes:
        number: which shard, from 1.
        of: how many there are.
        cases: how many cases they have together.
        digest: SHA-256 of the list of them; shards of one list have the same.
    """

    number: int
    of: int
    cases: int
    digest: str


class RunRecord(Record):
    """What `run.json` holds.

    Attributes:
        schema_version: version of these keys.
        notice: what the model is not.
        complete: whether every case was reached; false after an interruption, and while a run goes on.
        started: when the run began, ISO 8601 with time zone; None, as the other times, in deterministic runs.
        wall_seconds: how long it took.
        versions: Python and packages.
        bundle: name, version, hash and folder of the bundle, and whether it is a demonstration.
        class_names: its patient-level classes, in their order.
        probability_names: those that its classifier gives a probability.
        operating_points: thresholds that the bundle was given.
        calibrated_on: the cases that they were chosen on; None without any.
        input: the folder or file that was asked for.
        shard: which share of its cases; None: all of them.
        options: choices of the run.
        execution: device, backend, precision and threads (null on a GPU).
        phase_seconds: time by phase, summed over the cases computed in this run.
        cases: status of every case in the tables.
        dicom: every DICOM series of the input, and why it was chosen or not.
        dicom_unreadable: DICOM objects and archives that cannot be read, with the reason.
    """

    schema_version: Literal[1] = OUTPUT_SCHEMA_VERSION
    notice: str | None
    complete: bool
    started: str | None
    wall_seconds: float | None
    versions: dict[str, str]
    bundle: dict[str, str | bool]
    class_names: tuple[str, ...] = ()
    probability_names: tuple[str, ...] = ()
    operating_points: tuple[OperatingPoint, ...] = ()
    calibrated_on: str | None = None
    input: str
    shard: ShardRecord | None = None
    options: RunOptions
    execution: dict[str, str | int | None]
    phase_seconds: dict[str, float]
    cases: tuple[CaseStatus, ...]
    dicom: tuple[SeriesRecord, ...] = ()
    dicom_unreadable: tuple[str, ...] = ()


def run_record(
    bundle: Bundle,
    execution: Execution,
    options: RunOptions,
    *,
    input_path: Place,
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
    seconds = dict.fromkeys(PHASES, 0.0)
    cases = []
    for record in records:
        fresh = record.case_id in computed
        cases.append(
            CaseStatus(
                case_id=record.case_id,
                status=record.status,
                error=record.error,
                reused=not fresh if timed else None,
                seconds=record.total_seconds if timed else None,
            )
        )
        for phase in PHASES if fresh else ():
            seconds[phase] += record.seconds.get(phase, 0.0)
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
        operating_points=manifest.calibration.operating_points if manifest.calibration else (),
        calibrated_on=manifest.calibration.fitted_on if manifest.calibration else None,
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
        cases=tuple(cases),
        dicom=dicom,
        dicom_unreadable=dicom_unreadable,
    )
