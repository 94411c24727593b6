"""What is kept of a case, the content of `cases/CASE.json`, and the choices of a run that decide it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field

from ctcore.inference.cover import WindowMode
from ctcore.quality.figures import FigureName, QualityFigures
from ctcore.quality.reference import Limits
from pipeline.evidence_record import EvidenceRecord
from pipeline.measurements_record import MeasurementsRecord
from pipeline.record import Record

if TYPE_CHECKING:
    from ctcore.files import CaseFile
    from ctcore.quality.flags import Verdict

OUTPUT_SCHEMA_VERSION: Final = 1
"""Version of the keys of `run.json` and `cases/CASE.json`."""

DEMO_FLAG = "demo_model"
"""Flag of every case that a demonstration bundle has scored."""

FLAG_NO_PICTURE = "no_picture"
"""Flag of a case whose picture could not be drawn; the log says why."""

FLAG_NO_MEASUREMENTS = "no_measurements"
"""Flag of a case that could not be measured; the log says why."""

FLAG_NO_EVIDENCE = "no_evidence"
"""Flag of a case whose evidence was asked for and could not be computed; the log says why."""

FLAG_NO_DICOM_OUTPUT = "no_dicom_output"
"""Flag of a case whose DICOM SEG and SR could not be made; the log says why."""

FLAG_NO_DICOM_SOURCE = "no_dicom_source"
"""Flag of a case that DICOM output was asked for, but that comes as an image file, to which DICOM cannot refer."""

Status = Literal["done", "failed"]
ImageFormat = Literal["nii.gz", "mha"]


class RunOptions(Record):
    """Choices of a run that do not belong to the bundle.

    Attributes:
        folds: models of each stage that are averaged; None for all.
        tta: whether predictions are averaged over mirrored inputs.
        windows: whether stage 2's windows lie around the pancreas or all over the ROI.
        early_exit: whether a case stops before its last fold where the decision is settled.
        max_seconds: that a case may take; None: as long as it takes.
        max_ram: bytes that the process may have in memory; None: whatever there is.
        format: file format of the maps.
        segmentations: whether segmentations are made beside the detection maps.
        evidence: whether the classifier's evidence is mapped.
        case_id_tag: DICOM tag that names cases; None: a digest of UIDs does.
        dicom_output: whether a DICOM SEG and SR are made of cases that come as DICOM.
        deterministic: whether the same input gives the same bytes; times are then left out.
        overwrite: whether finished cases are computed again.
        report: whether pictures and `report/index.html` are made.
    """

    folds: tuple[str, ...] | None = None
    tta: bool = False
    windows: WindowMode = "guided"
    early_exit: bool = False
    max_seconds: float | None = None
    max_ram: int | None = None
    format: ImageFormat = "nii.gz"
    segmentations: bool = True
    evidence: bool = False
    case_id_tag: str | None = None
    dicom_output: bool = False
    deterministic: bool = False
    overwrite: bool = False
    report: bool = True


class MadeWith(Record):
    """What decides a case's results; a case whose record says otherwise is computed again.

    Attributes:
        bundle: SHA-256 of the bundle's manifest.
        device: where the networks ran.
        backend: the library that computed.
        precision: its arithmetic.
        folds: models that were averaged; None for all.
        tta: whether inputs were mirrored.
        windows: how stage 2's windows were placed.
        early_exit: whether a case could stop before its last fold.
        max_seconds: that a case could take.
        max_ram: bytes that the process could have in memory.
        format: file format of the maps.
        segmentations: whether segmentations were made.
        evidence: whether the classifier's evidence was mapped.
        dicom_output: whether a DICOM SEG and SR were made.
        deterministic: whether it was computed with one thread, or a GPU's deterministic algorithms.
        input_bytes: size of the CT file, or of all slices of a series.
        input_modified_ns: when it was last changed, in nanoseconds since 1970; 0 on object storage.
        input_version: what object storage calls this content of it; None on a disk.
    """

    bundle: str
    device: str
    backend: str
    precision: str
    folds: tuple[str, ...] | None
    tta: bool
    format: ImageFormat
    segmentations: bool = True
    evidence: bool = False
    windows: WindowMode = "exact"
    early_exit: bool = False
    max_seconds: float | None = None
    max_ram: int | None = None
    dicom_output: bool = False
    deterministic: bool = False
    input_bytes: int = 0
    input_modified_ns: int = 0
    input_version: str | None = None

    def of_input(self, case: CaseFile) -> MadeWith:
        """Returns the same for one CT."""
        size, modified_ns = case.stamp
        return self.model_copy(
            update={"input_bytes": size, "input_modified_ns": modified_ns, "input_version": case.version}
        )

    def without_input(self) -> MadeWith:
        """Returns the same for no CT file in particular."""
        return self.model_copy(update={"input_bytes": 0, "input_modified_ns": 0, "input_version": None})


class BoxRecord(Record):
    """An index box of the input grid.

    Attributes:
        start: first index (z, y, x) inside.
        stop: first index (z, y, x) outside.
    """

    start: tuple[int, int, int]
    stop: tuple[int, int, int]


class RoiRecord(BoxRecord):
    """The ROI of a case.

    Attributes:
        source: `localizer`, or `fallback` where no pancreas was found.
    """

    source: str


class EffortRecord(Record):
    """How much stage 2 computed of a case.

    Attributes:
        folds: how many ran.
        folds_at_most: how many could have.
        tta: whether inputs were mirrored.
        windows: how windows were placed; `exact` where guided ones were asked for, but no pancreas was found.
        calls: how often a network was called.
        auroc_loss: what of the AUROC this effort loses against the full one, by the bundle's table; None where that
            does not say.
        ap_loss: the same of the lesions' average precision.
        measured_on: the cases that the table was measured on.
    """

    folds: int
    folds_at_most: int
    tta: bool
    windows: WindowMode
    calls: int
    auroc_loss: float | None = None
    ap_loss: float | None = None
    measured_on: str | None = None


class QualityRecord(QualityFigures):
    """What is known of how far a case can be trusted: figures, and how its quality flags were decided by them.

    Attributes:
        limits: by figure, those within which it raises no flag.
        unchecked: why a flag could not be decided, by its name.
    """

    limits: dict[FigureName, Limits] = Field(default_factory=dict)
    unchecked: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, figures: QualityFigures, verdict: Verdict) -> QualityRecord:
        """Returns the record of a case."""
        return cls(**dict(figures), limits=dict(verdict.limits), unchecked=dict(verdict.unchecked))


LesionMaps = Literal["one", "by_class"]


class FusionRecord(Record):
    """How the score was made.

    Attributes:
        rule: name of the rule.
        lesion_maps: `one` where all lesion classes share a detection map: each has the part p / sum(p) of its score, so
            that the classifier alone decides their order; `by_class` where each has a map of its own.
        terms: what went into it.
    """

    rule: str
    lesion_maps: LesionMaps = "one"
    terms: dict[str, float]


class CaseRecord(Record):
    """Everything of one case.

    Attributes:
        schema_version: version of these keys.
        case_id: the case.
        image: file name of the CT, or a digest that stands for a DICOM series.
        status: `done` or `failed`.
        error: why it failed, one line.
        score: the fused score of a lesion, 0..1.
        scores: the fused score of every class.
        label: the class with the highest score.
        classes: calibrated probability of every class; empty where the bundle has no classifier.
        fold_classes: the same of each fold by itself, in the order in which they ran; empty where fewer than two ran.
        detection_max: maximum of the detection map.
        fusion: how the score was made.
        calibrated_probability: share of positive cases at this score among the bundle's validation cases, or None.
        operating_points: for each of the bundle's operating points whether the score reaches its threshold.
        candidates: lesion candidates from the most confident to the least; their boxes are of the input grid.
        roi: the region that the multi-task network saw.
        pancreas_ml: volume of the pancreas that the localizer found.
        segmentation_labels: values of the segmentation by name.
        flags: what a reader must know.
        dicom: DICOM files that were made of the case, relative to the output folder.
        effort: how much was computed.
        quality: what is known of how far the case can be trusted; None where an earlier version computed it.
        measurements: what was measured on the segmentation; None without one of the pancreas, and where an earlier
            version computed the case.
        evidence: where the classifier's evidence lies; None where it was not asked for.
        seconds: time by phase; empty in deterministic runs.
        notice: what the model is not.
        made_with: what decided these results.
    """

    schema_version: Literal[1] = OUTPUT_SCHEMA_VERSION
    case_id: str
    image: str
    status: Status
    error: str | None = None
    score: float | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    label: str | None = None
    classes: dict[str, float] = Field(default_factory=dict)
    fold_classes: tuple[dict[str, float], ...] = ()
    detection_max: float | None = None
    fusion: FusionRecord | None = None
    calibrated_probability: float | None = None
    operating_points: dict[str, bool] = Field(default_factory=dict)
    candidates: tuple[dict[str, Any], ...] = ()
    roi: RoiRecord | None = None
    pancreas_ml: float | None = None
    segmentation_labels: dict[str, int] = Field(default_factory=dict)
    flags: tuple[str, ...] = ()
    dicom: tuple[str, ...] = ()
    effort: EffortRecord | None = None
    quality: QualityRecord | None = None
    measurements: MeasurementsRecord | None = None
    evidence: EvidenceRecord | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    notice: str | None = None
    made_with: MadeWith | None = None

    @property
    def total_seconds(self) -> float:
        """Time of all phases; phases of different cases overlap, so cases add up to more than a run takes."""
        return sum(self.seconds.values())
