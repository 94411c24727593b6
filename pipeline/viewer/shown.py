"""What an output folder has to show: its cases, and where the CTs lie that they were computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ctcore.cts import look_for_cts
from ctcore.errors import CaseError, RequestError
from ctcore.files import CaseFile
from pipeline.output_paths import OutputPaths
from pipeline.records import CaseRecord
from pipeline.run_record import RunRecord


@dataclass(frozen=True)
class ShownRun:
    """A run's output, as the viewer reads it.

    Attributes:
        output: where its files lie.
        run: what is said of the run.
        input: where its CTs are looked for.
    """

    output: OutputPaths
    run: RunRecord
    input: Path

    @classmethod
    def read(cls, folder: Path, input_path: Path | None = None) -> ShownRun:
        """Reads what a run has left.

        Args:
            folder: output of a run.
            input_path: where its CTs are; None: where the run has found them.

        Raises:
            RequestError: the folder holds no run, or its `run.json` is damaged.
        """
        path = folder / "run.json"
        if not path.is_file():
            raise RequestError(f"'{folder}' holds no run.json; give the output of 'pipeline run'")
        run = RunRecord.read(path)
        return cls(OutputPaths(folder, run.options.format), run, input_path or Path(run.input))

    @property
    def case_ids(self) -> list[str]:
        """Ids of all cases of the run's tables, done or failed."""
        return [case.case_id for case in self.run.cases]

    def record(self, case_id: str) -> CaseRecord:
        """Returns the record of a case.

        Raises:
            RequestError: it is gone or damaged.
        """
        return CaseRecord.read(self.output.record_path(case_id))

    def summaries(self) -> list[dict[str, object]]:
        """Returns id, status, score and error of every case, from the highest score to the lowest, failed ones last."""
        found: list[tuple[float, str, dict[str, object]]] = []
        for case in self.run.cases:
            try:
                record = self.record(case.case_id)
            except RequestError as error:
                lost: dict[str, object] = {
                    "case_id": case.case_id,
                    "status": "failed",
                    "score": None,
                    "error": str(error),
                }
                found.append((-1.0, case.case_id, lost))
                continue
            summary = record.model_dump(mode="json", include={"case_id", "status", "score", "error"})
            found.append((-1.0 if record.score is None else record.score, case.case_id, summary))
        return [summary for *_, summary in sorted(found, key=lambda one: (-one[0], one[1]))]

    @cached_property
    def cts(self) -> Mapping[str, CaseFile]:
        """The CTs of the input by case id; none where it is not there any more."""
        try:
            return {case.case_id: case for case in look_for_cts(self.input, self.run.options.case_id_tag).cases}
        except RequestError:
            return {}

    def ct(self, record: CaseRecord) -> CaseFile:
        """Returns the CT that a case was computed from.

        Raises:
            RequestError: it is not there, or is another one.
        """
        case = self.cts.get(record.case_id)
        if case is None or case.image != record.image:
            raise RequestError(
                f"the CT '{record.image}' is not in '{self.input}'; say where it is: pipeline view --input FOLDER"
            )
        try:
            size = case.stamp[0]
        except CaseError as error:
            raise RequestError(str(error)) from error
        if record.made_with is not None and record.made_with.input_bytes not in (0, size):
            raise RequestError(f"the CT '{record.image}' in '{self.input}' has changed since the run; run it again")
        return case
