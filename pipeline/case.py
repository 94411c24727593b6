"""The way of one case: from a CT in memory to its score, candidates, detection map and segmentation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box, Inset, Reorientation, crop, to_lps
from ctcore.quality.flags import decide
from ctcore.resample import nearest_index
from ctcore.volume import Volume
from pipeline.as_stored import as_stored
from pipeline.budget import Chooser, everything
from pipeline.clock import Clock
from pipeline.early_exit import FLAG_EARLY_EXIT
from pipeline.evidence import Evidence, Places, explained_or_flagged
from pipeline.measurements import Segmented, measured_or_flagged
from pipeline.quality import Seen, measure_quality, pancreas_region
from pipeline.records import DEMO_FLAG, EffortRecord, FusionRecord, LesionMaps, QualityRecord, RoiRecord

if TYPE_CHECKING:
    from ctcore.detection.calibration import Calibration
    from ctcore.detection.fusion import FusionResult
    from ctcore.detection.measures import Candidate
    from pipeline.bundle import Bundle
    from pipeline.measurements_record import MeasurementsRecord
    from pipeline.stages import PancreasLocation, Stages


@dataclass(frozen=True, eq=False)
class CaseResult:
    """What the two stages and the fusion say of one case.

    Arrays stay on the ROI, in LPS order, until they are written.

    Attributes:
        ct: the CT in LPS order.
        reorientation: the way back to the input's grid.
        box: the ROI, an index box of `ct`.
        detection: (z, y, x) float32 detection map on the ROI.
        pancreas: (z, y, x) the localizer's mask on the ROI, non-zero inside.
        labels: (z, y, x) uint8 segmentation on the ROI, or None where none was asked for.
        segmentation_labels: values of the segmentation by name; empty where there is none.
        location: what the localizer said.
        classes: calibrated probability of every class.
        fused: the scores.
        calibration: what the bundle knows of its scores, or None.
        candidates: lesion candidates; their boxes are of the input grid.
        flags: what a reader must know.
        effort: how much was computed.
        quality: what is known of how far the case can be trusted.
        measurements: what was measured on the segmentation; None without a segmentation of the pancreas.
        features: (d,) stage 2's pooled features; None where they are not known.
        candidate_labels: (z, y, x) integers on the ROI: 0 outside, k inside the candidate of number k.
        class_detections: the same map of each lesion class's own label; empty where all lesions are one label.
        fold_classes: calibrated probability of every class of each fold by itself, in the order in which they ran.
        evidence: what the classifier draws its answer from; None where it was not asked for.
    """

    ct: Volume
    reorientation: Reorientation
    box: Box
    detection: npt.NDArray[np.float32]
    pancreas: npt.NDArray[Any]
    labels: npt.NDArray[np.uint8] | None
    segmentation_labels: dict[str, int]
    location: PancreasLocation
    classes: dict[str, float]
    fused: FusionResult
    calibration: Calibration | None
    candidates: tuple[dict[str, Any], ...]
    flags: tuple[str, ...]
    effort: EffortRecord
    quality: QualityRecord
    measurements: MeasurementsRecord | None
    features: npt.NDArray[np.float32] | None
    candidate_labels: npt.NDArray[np.signedinteger[Any]]
    class_detections: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    fold_classes: tuple[dict[str, float], ...] = ()
    evidence: Evidence | None = None

    @property
    def detection_max(self) -> float:
        """Maximum of the detection map, 0 without candidates."""
        return float(self.detection.max(initial=0.0))

    def detection_inset(self) -> Inset:
        """Returns the detection map on the input's exact grid."""
        return self._on_input_grid(self.detection)

    def class_detection_insets(self) -> dict[str, Inset]:
        """Returns each lesion class's own detection map, where there are such, on the input's exact grid."""
        return {name: self._on_input_grid(array) for name, array in self.class_detections.items()}

    def segmentation_inset(self) -> Inset | None:
        """Returns the segmentation on the input's exact grid, where there is one."""
        return None if self.labels is None else self._on_input_grid(self.labels)

    def candidates_inset(self) -> Inset:
        """Returns the candidates' numbers, 0 outside of them, on the input's exact grid."""
        return self._on_input_grid(self.candidate_labels)

    def evidence_inset(self) -> Inset | None:
        """Returns the map of the evidence on the input's exact grid, where there is one."""
        return None if self.evidence is None else self._on_input_grid(self.evidence.map)

    def record_fields(self) -> dict[str, Any]:
        """Returns the part of the case's record that the computation decides."""
        box = self.reorientation.restore_box(self.box)
        maps: LesionMaps = "by_class" if self.class_detections else "one"
        return {
            "score": self.fused.score,
            "scores": self.fused.scores,
            "label": self.fused.label,
            "classes": self.classes,
            "fold_classes": self.fold_classes if len(self.fold_classes) > 1 else (),
            "detection_max": self.detection_max,
            **_calibrated(self.fused.score, self.calibration),
            "fusion": FusionRecord(rule=self.fused.rule, lesion_maps=maps, terms=self.fused.terms),
            "candidates": self.candidates,
            "roi": RoiRecord(start=box.start, stop=box.stop, source=self.location.source),
            "pancreas_ml": float(self.location.pancreas_ml),
            "segmentation_labels": self.segmentation_labels,
            "flags": self.flags,
            "effort": self.effort,
            "quality": self.quality,
            "measurements": self.measurements,
            "evidence": None if self.evidence is None else self.evidence.record,
        }

    def _on_input_grid(self, array: npt.NDArray[Any]) -> Inset:
        """Turns an array of the ROI back to the stored order; the rest of the input's grid, all 0, is never made."""
        box = self.reorientation.restore_box(self.box)
        return Inset(self.reorientation.restore(array), box, self.reorientation.stored)


def process_case(
    ct: Volume,
    stages: Stages,
    bundle: Bundle,
    clock: Clock,
    *,
    early_exit: bool = False,
    chooser: Chooser = everything,
    segmentations: bool = True,
    evidence: bool = False,
    case_id: str = "unnamed",
) -> CaseResult:
    """Computes one case.

    Args:
        ct: the CT as stored, in Hounsfield units.
        stages: both stages, loaded.
        bundle: gives candidate extraction, fusion, lesion classes and operating points.
        clock: receives the time of every phase.
        early_exit: whether to stop before the last fold where the decision is settled (`pipeline.early_exit`).
        chooser: chooses what is computed.
        segmentations: whether the segmentation is kept.
        evidence: whether the classifier's evidence is mapped; the stages are loaded with it.
        case_id: names the case in the log.

    Raises:
        CaseError: the case cannot be used.
    """
    from ctcore.detection.detection_map import detection_map
    from ctcore.detection.measures import describe
    from pipeline.told import run_and_score

    manifest = bundle.manifest
    with clock.phase("locate"):
        lps, reorientation = to_lps(ct)
        if manifest.orientation == "as-stored":
            stages = as_stored(stages, reorientation)
        location = stages.localizer.locate(lps)
        roi = crop(lps, location.box)
        pancreas = _on_roi(location.pancreas.array, lps.geometry.shape, location.box)
    choice = chooser(stages.predictor, roi.geometry, pancreas, clock.total)
    effort = choice.effort
    thresholds = manifest.thresholds if early_exit else ()
    with clock.phase("predict"):
        running = stages.predictor.begin(roi, pancreas, effort)
    told = run_and_score(running, manifest, roi.geometry, pancreas, thresholds, clock)
    prediction, scored, folds = told.prediction, told.scored, told.folds
    with clock.phase("detect"):
        found, fused = scored.found, scored.fused
        if manifest.fusion.weigh_candidates:
            found = found.weighed(scored.classes, manifest.lesion_classes)
        detection, own = detection_map(found.candidates), found.detection_maps()
        candidates = describe(found.candidates, roi.geometry, roi.array, pancreas)
        described = [_on_input(candidate, location.box, reorientation) for candidate in candidates]
        for candidate, name in zip(described, found.classes, strict=bool(found.classes)):
            candidate["class_name"] = name
    labels = np.asarray(prediction.segmentation, dtype=np.uint8) if segmentations else None
    label_values = {k: int(v) for k, v in stages.predictor.labels.items()} if segmentations else {}
    with clock.phase("detect"):
        seen = Seen(lps, location.box, pancreas, labels, label_values, prediction, fused)
        figures = measure_quality(seen, manifest, stages.features)
        verdict = decide(figures, manifest.quality)
    with clock.phase("measure"):
        segmented = Segmented(labels, label_values, found.candidates.labels, roi.geometry)
        measurements, unmeasured = measured_or_flagged(segmented, case_id)
    explained: Evidence | None = None
    unexplained: tuple[str, ...] = ()
    if evidence:
        places = Places(found.candidates.labels, pancreas_region(labels, label_values, pancreas), roi.geometry)
        explained, unexplained = explained_or_flagged(told, manifest.lesion_classes, places, case_id)
    flags = [*ct.flags, *location.flags, *found.candidates.flags, *verdict.flags]
    flags += [*unmeasured, *unexplained, *choice.flags]
    flags += stages.flags()
    if folds < effort.folds:
        flags.append(FLAG_EARLY_EXIT)
    if manifest.demo:
        flags.append(DEMO_FLAG)
    return CaseResult(
        ct=lps,
        reorientation=reorientation,
        box=location.box,
        detection=detection,
        pancreas=pancreas,
        labels=labels,
        segmentation_labels=label_values,
        location=location,
        classes=scored.classes,
        fused=fused,
        calibration=manifest.calibration,
        candidates=tuple(described),
        flags=tuple(dict.fromkeys(flags)),
        effort=EffortRecord(
            folds=folds,
            folds_at_most=stages.predictor.effort.folds,
            tta=effort.tta,
            windows=effort.windows if pancreas.any() else "exact",
            calls=stages.predictor.calls(roi.geometry, pancreas, replace(effort, folds=folds)),
            auroc_loss=choice.measured.auroc_loss if choice.measured else None,
            ap_loss=choice.measured.ap_loss if choice.measured else None,
            measured_on=choice.measured.measured_on if choice.measured else None,
        ),
        quality=QualityRecord.of(figures, verdict),
        measurements=measurements,
        features=prediction.features,
        candidate_labels=found.candidates.labels,
        class_detections=own,
        fold_classes=tuple(dict(fold) for fold in prediction.fold_probabilities),
        evidence=explained,
    )


def _calibrated(score: float, calibration: Calibration | None) -> dict[str, Any]:
    """Returns what the bundle's validation cases say of a score."""
    if calibration is None:
        return {}
    return {
        "calibrated_probability": calibration.isotonic.probability(score),
        "operating_points": {point.name: score >= point.threshold for point in calibration.operating_points},
    }


def _on_roi(mask: npt.NDArray[Any], shape: tuple[int, int, int], roi: Box) -> npt.NDArray[Any]:
    """Returns a mask (z, y, x) over the CT's field of view on the ROI of a CT of `shape`: the nearest voxels."""
    z, y, x = (nearest_index(old, new)[inside] for old, new, inside in zip(mask.shape, shape, roi.slices, strict=True))
    return np.asarray(mask[np.ix_(z, y, x)])


def _on_input(candidate: Candidate, roi: Box, reorientation: Reorientation) -> dict[str, Any]:
    """Returns a candidate of the ROI as JSON types, with its box on the input's grid."""
    z, y, x = roi.start
    a, b = candidate.box.start, candidate.box.stop
    shifted = Box((a[0] + z, a[1] + y, a[2] + x), (b[0] + z, b[1] + y, b[2] + x))
    box = reorientation.restore_box(shifted)
    return candidate.as_dict() | {"box": {"start": list(box.start), "stop": list(box.stop)}}
