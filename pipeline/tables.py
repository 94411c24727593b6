"""What speaks of a whole run: `results.csv`, `measurements.csv`, `run.json`, the report's page, names of labels."""

from __future__ import annotations

import datetime
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ctcore.object_store import Place
from pipeline.dicom_series import series_records
from pipeline.measurements_table import measurements_csv
from pipeline.outputs import OutputFolder
from pipeline.packed_records import PackedRecords
from pipeline.records import CaseRecord, RunOptions
from pipeline.run_record import RunRecord, ShardRecord, run_record

if TYPE_CHECKING:
    from ctcore.cts import FoundCts
    from ctcore.inference.backends.choose import Execution
    from pipeline.bundle import Bundle


class RunTables:
    """Writes the tables of a run; its time begins here.

    Args:
        output: where they go.
        bundle: the models.
        execution: device, backend and precision.
        options: choices of the run.
        input_path: what was asked for.
        found: the CTs of the input.
        shard: which share of its cases they are; None: all of them.

    Attributes:
        elsewhere: finished cases of earlier runs that are not in this input.
    """

    def __init__(
        self,
        output: OutputFolder,
        bundle: Bundle,
        execution: Execution,
        options: RunOptions,
        input_path: Place,
        found: FoundCts,
        shard: ShardRecord | None = None,
    ) -> None:
        self._output, self._bundle, self._execution, self._options = output, bundle, execution, options
        self._input, self._found, self._shard = input_path, found, shard
        self._started, self._begin = datetime.datetime.now(datetime.UTC), time.perf_counter()
        self._taken_back = False
        self.elsewhere = PackedRecords()

    def take_back(self, kept: PackedRecords) -> None:
        """Takes back what an earlier run has said of all cases, before the first of them changes; then does nothing.

        A run that is killed afterwards leaves a `run.json` that says so, and no table.

        Args:
            kept: cases whose earlier results stay.

        Raises:
            OutputError: it cannot be removed or written.
        """
        if self._taken_back:
            return
        self._output.remove_tables()
        self._output.write_run(self._run(self._with_others(kept), (), complete=False, loading=0.0))
        self._taken_back = True

    def write(self, records: PackedRecords, computed: Collection[str], *, complete: bool, loading: float) -> None:
        """Writes them all.

        Args:
            records: the cases of this input that were reached.
            computed: ids of those that this run computed.
            complete: whether all were reached.
            loading: seconds that the models took to load.

        Raises:
            OutputError: one cannot be written; the cases are.
            OutputGoneError: the output was removed or replaced.
        """
        self._output.check()
        told = self._with_others(records)
        write_tables(self._output, self._run(told, computed, complete=complete, loading=loading), told)

    def _with_others(self, records: PackedRecords) -> Sequence[CaseRecord]:
        return records.joined(self.elsewhere).in_order()

    def _run(
        self, records: Sequence[CaseRecord], computed: Collection[str], *, complete: bool, loading: float
    ) -> RunRecord:
        return run_record(
            self._bundle,
            self._execution,
            self._options,
            input_path=self._input,
            records=records,
            computed=computed,
            complete=complete,
            started=self._started,
            wall_seconds=time.perf_counter() - self._begin,
            loading_seconds=loading,
            shard=self._shard,
            dicom=series_records(self._found),
            dicom_unreadable=tuple(f"{each.name}: {each.reason}" for each in self._found.unreadable),
        )


def write_tables(output: OutputFolder, run: RunRecord, records: Sequence[CaseRecord]) -> None:
    """Writes all that speaks of a whole run.

    Args:
        output: where it goes.
        run: what `run.json` says.
        records: its cases, sorted by case id.

    Raises:
        OutputError: a file cannot be written.
    """
    output.write_results(records, run.class_names, run.probability_names)
    output.write_text(output.measurements_path, measurements_csv(records))
    output.write_run(run)
    output.write_labels(next((record.segmentation_labels for record in records if record.segmentation_labels), None))
    if run.options.report:
        from pipeline.report.page import write_report

        write_report(output, run, records)
