"""What speaks of a whole run: `results.csv`, `run.json`, the report's page, names of labels."""

from __future__ import annotations

import datetime
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.dicom_series import series_records
from pipeline.outputs import OutputFolder
from pipeline.records import CaseRecord, RunOptions, RunRecord
from pipeline.run_record import run_record

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

    Attributes:
        elsewhere: finished cases of earlier runs that are not in this input.
    """

    def __init__(
        self,
        output: OutputFolder,
        bundle: Bundle,
        execution: Execution,
        options: RunOptions,
        input_path: Path,
        found: FoundCts,
    ) -> None:
        self._output, self._bundle, self._execution, self._options = output, bundle, execution, options
        self._input, self._found = input_path, found
        self._started, self._begin = datetime.datetime.now(datetime.UTC), time.perf_counter()
        self._taken_back = False
        self.elsewhere: list[CaseRecord] = []

    def take_back(self, kept: Iterable[CaseRecord]) -> None:
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

    def write(
        self, records: Iterable[CaseRecord], computed: Collection[str], *, complete: bool, loading: float
    ) -> None:
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
        run = self._run(told, computed, complete=complete, loading=loading)
        manifest = self._bundle.manifest
        self._output.write_results(told, manifest.class_names, manifest.probability_names)
        self._output.write_run(run)
        labels = next((record.segmentation_labels for record in told if record.segmentation_labels), None)
        self._output.write_labels(labels)
        if self._options.report:
            from pipeline.report.page import write_report

            write_report(self._output, run, told)

    def _with_others(self, records: Iterable[CaseRecord]) -> list[CaseRecord]:
        return sorted((*records, *self.elsewhere), key=lambda record: record.case_id)

    def _run(
        self, records: list[CaseRecord], computed: Collection[str], *, complete: bool, loading: float
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
            dicom=series_records(self._found),
            dicom_unreadable=tuple(f"{each.name}: {each.reason}" for each in self._found.unreadable),
        )
