"""Writing what has become of a case: maps, picture, record; a failure here is this case's alone."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ctcore.cts import DicomCase
from ctcore.errors import CaseError, first_line
from ctcore.files import CaseFile
from pipeline.case import CaseResult
from pipeline.clock import PHASES, Clock
from pipeline.output_paths import DICOM_FILES
from pipeline.outputs import OutputFolder
from pipeline.records import (
    DEMO_FLAG,
    FLAG_NO_DICOM_OUTPUT,
    FLAG_NO_DICOM_SOURCE,
    FLAG_NO_PICTURE,
    CaseRecord,
    MadeWith,
)

if TYPE_CHECKING:
    from pipeline.bundle import Bundle

logger = logging.getLogger(__name__)


@dataclass
class Progressing:
    """A case on its way.

    Attributes:
        case: the case.
        made_with: what decides its results.
        clock: time by phase.
    """

    case: CaseFile
    made_with: MadeWith
    clock: Clock = field(default_factory=Clock)


class CaseWriter:
    """Writes cases into an output folder.

    Args:
        output: where results go.
        bundle: what they were made with.
        report: whether each case gets a picture.
        dicom: whether cases that come as DICOM get a DICOM SEG and SR.
        timed: whether records tell times.
    """

    def __init__(
        self, output: OutputFolder, bundle: Bundle, *, report: bool, dicom: bool = False, timed: bool = True
    ) -> None:
        self._output, self._bundle, self._report, self._dicom, self._timed = output, bundle, report, dicom, timed

    def write(self, item: Progressing, result: CaseResult | Exception) -> CaseRecord:
        """Writes everything of a case (in the writing thread) and returns its record."""
        case_id = item.case.case_id
        if not isinstance(result, Exception):
            try:
                with item.clock.phase("write"):
                    self._output.clear_case(case_id)
                    self._output.write_maps(case_id, result)
                    result, made = self._with_dicom(item.case, result)
                if self._report:
                    with item.clock.phase("report"):
                        result = self._with_picture(case_id, result)
                record = self._record(item, result, made)
                if self._report:
                    from pipeline.report.case_page import write_case_page

                    write_case_page(self._output, record)
                self._output.write_record(record)
                return record
            except Exception as error:  # a full disk or an impossible value: this case's alone
                result = error
        logger.error("case '%s' failed: %s", case_id, first_line(result), exc_info=result)
        record = self._record(item, result)
        try:
            self._output.clear_case(case_id)
            self._output.write_record(record)
        except Exception:  # a full disk, or no memory left even for this
            logger.exception("the record of case '%s' cannot be written", case_id)
        return record

    def _with_picture(self, case_id: str, result: CaseResult) -> CaseResult:
        """Draws the case, and its evidence, for the report; where that fails the case is flagged, not lost."""
        from pipeline.report.evidence_figure import draw_evidence
        from pipeline.report.figure import draw_case

        try:
            draw_case(result, self._output.picture_path(case_id))
            if result.evidence is not None:
                draw_evidence(result, result.evidence, self._output.evidence_picture_path(case_id))
        except Exception:
            logger.exception("case '%s' has no picture in the report", case_id)
            return replace(result, flags=(*result.flags, FLAG_NO_PICTURE))
        return result

    def _with_dicom(self, case: CaseFile, result: CaseResult) -> tuple[CaseResult, tuple[str, ...]]:
        """Writes the case as DICOM where that was asked for; returns which files, and the result with its flags."""
        if not self._dicom:
            return result, ()
        if not isinstance(case, DicomCase):
            return replace(result, flags=(*result.flags, FLAG_NO_DICOM_SOURCE)), ()
        from pipeline.dicom_output.write import write_dicom

        folder = self._output.dicom_folder(case.case_id)
        try:
            written = write_dicom(case.series, result, self._bundle, folder)
        except Exception:  # headers that break the standard's rules: the maps and the score are sound
            logger.exception("case '%s' has no DICOM output", case.case_id)
            for name in DICOM_FILES:
                (folder / name).unlink(missing_ok=True)
            return replace(result, flags=(*result.flags, FLAG_NO_DICOM_OUTPUT)), ()
        return result, tuple(map(self._output.name_of, written))

    def _record(self, item: Progressing, result: CaseResult | Exception, dicom: tuple[str, ...] = ()) -> CaseRecord:
        """Returns the record of a case that has ended."""
        clock = item.clock if self._timed else Clock()
        if not isinstance(result, Exception):
            return record_of(item.case, result, clock, self._bundle, item.made_with, dicom)
        return CaseRecord(
            **_common(item.case, clock, self._bundle, item.made_with),
            status="failed",
            error=reason(result),
            flags=(DEMO_FLAG,) if self._bundle.manifest.demo else (),
        )


def record_of(
    case: CaseFile,
    result: CaseResult,
    clock: Clock,
    bundle: Bundle,
    made_with: MadeWith | None = None,
    dicom: tuple[str, ...] = (),
) -> CaseRecord:
    """Returns the record of a case that is done.

    Args:
        case: its id and image.
        result: what was computed.
        clock: time by phase.
        bundle: what it was made with.
        made_with: what decides its results, where a later run may keep them.
        dicom: DICOM files that were written of it.
    """
    return CaseRecord(**_common(case, clock, bundle, made_with), status="done", dicom=dicom, **result.record_fields())


def _common(case: CaseFile, clock: Clock, bundle: Bundle, made_with: MadeWith | None) -> dict[str, Any]:
    """Returns what is recorded of every case."""
    return {
        "case_id": case.case_id,
        "image": case.image,
        "seconds": {name: clock.seconds[name] for name in PHASES if name in clock.seconds},
        "notice": bundle.notice,
        "made_with": made_with,
    }


def reason(error: Exception) -> str:
    """Returns why a case failed, in one line: our own faults speak for themselves, others also name their kind."""
    line = first_line(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {line}; end other programs, or limit what is computed with --max-ram"
    if isinstance(error, CaseError) or line == type(error).__name__:
        return line
    return f"{type(error).__name__}: {line}"
