"""A label map for a case whose lesions are counted but not drawn: report-guided annotation.

As many lesion candidates of a trained network are kept as the report counts. Source: Bosma et al., "Semisupervised
Learning with Report-guided Pseudo Labels for Deep Learning-based Prostate Cancer Detection Using Biparametric MRI",
Radiology: Artificial Intelligence 5(5), 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ctcore.datasets.label_names import LESION, PANCREAS_PARTS, project_name, values_of
from ctcore.errors import DatasetError, LabelError
from ctcore.files import read_ct
from ctcore.geometry import Box, crop, to_lps
from ctcore.nnunet.preparation.dataset import read_training_pair
from ctcore.volume import Volume
from stage2_multitask.prediction import MultiTaskPrediction
from stage2_multitask.reported_lesions import ReportedCase

if TYPE_CHECKING:
    from ctcore.detection.candidates import CandidateMap, CandidateSettings
    from ctcore.detection.measures import Candidate

Labels = npt.NDArray[np.uint8]


class Annotator(Protocol):
    """The network that draws."""

    @property
    def labels(self) -> dict[str, int]:
        """Values of its segmentation by name."""

    @property
    def lesion_labels(self) -> dict[str, int]:
        """Value of each lesion class's own label; empty where all lesions are one label."""

    def predict(self, roi: Volume, /) -> MultiTaskPrediction:
        """Segments and classifies an ROI in LPS order at full resolution."""


@dataclass(frozen=True)
class Drawing:
    """How label maps are drawn.

    Attributes:
        network: finds lesions.
        settings: how lesion candidates are cut out; their number comes from the report.
        margin_mm: margin (z, y, x) in mm around the pancreas of a label map: the ROI.
        labels: label value by name in the label maps to write.
        roi_crops: whether images without a pancreas drawn are ROI crops; otherwise they cannot be used.
    """

    network: Annotator
    settings: CandidateSettings
    margin_mm: tuple[float, float, float]
    labels: Mapping[str, int]
    roi_crops: bool = False


@dataclass(frozen=True, eq=False)
class PseudoLabel:
    """What was drawn.

    Attributes:
        label: uint8 label map on the image's grid as stored.
        candidates: its lesions, from the most confident to the least.
    """

    label: Volume
    candidates: tuple[Candidate, ...]


def draw(reported: ReportedCase, drawing: Drawing) -> PseudoLabel:
    """Draws a case's label map: the anatomy of its own, or the network's, and as many lesions as its report counts.

    Raises:
        CaseError: a file cannot be used, there is no ROI, or fewer candidates were found than lesions are counted.
        DatasetError: the labels do not fit the network's.
    """
    from ctcore.detection.measures import describe

    case = reported.case
    stored = read_ct(case.image)
    image, reorientation = to_lps(stored)
    anatomy = None
    if case.label is not None:
        drawn = reported.to_train_on(drawing.labels, pseudo=False)
        anatomy = np.array(read_training_pair(drawn, drawing.labels).label.array)
    box = _roi(anatomy, image, drawing)
    roi = crop(image, box)
    prediction = drawing.network.predict(roi)
    if anatomy is None:
        anatomy = np.zeros(image.geometry.shape, np.uint8)
        anatomy[box.slices] = _without_lesions(prediction.segmentation, drawing)
    pancreas = np.isin(anatomy[box.slices], values_of(drawing.labels, PANCREAS_PARTS))
    found = _as_many_as_reported(reported, prediction, drawing.settings, roi, pancreas)
    anatomy[box.slices][found.labels > 0] = lesion_value(reported.class_name, drawing)
    candidates = describe(found, roi.geometry, roi.array, pancreas)
    return PseudoLabel(stored.with_array(reorientation.restore(anatomy)), tuple(candidates))


def lesion_value(class_name: str, drawing: Drawing) -> int:
    """Returns the label value of a class's lesions.

    Raises:
        DatasetError: the dataset names no lesion, or several and the network does not say which one is the class's.
    """
    values = values_of(drawing.labels, {LESION})
    if len(values) == 1:
        return values[0]
    own = drawing.network.lesion_labels.get(class_name)
    names = {project_name(name) for name, value in drawing.network.labels.items() if value == own}
    fitting = [value for name, value in drawing.labels.items() if project_name(name) in names and value in values]
    if len(fitting) != 1:
        raise DatasetError(
            f"no label of the dataset is the lesion of class '{class_name}': {', '.join(drawing.labels)}; name it in"
            " dataset.json as the model does"
        )
    return fitting[0]


def new_values(drawing: Drawing) -> dict[int, int]:
    """Returns the dataset's value of each of the network's labels that is no lesion.

    Raises:
        DatasetError: the dataset does not name one of them.
    """
    lesions = values_of(drawing.network.labels, {LESION})
    known = {project_name(name): value for name, value in drawing.labels.items()}
    wanted = {value: project_name(name) for name, value in drawing.network.labels.items() if value not in lesions}
    absent = [name for name in wanted.values() if name not in known]
    if absent:
        raise DatasetError(
            f"the model segments {', '.join(absent)}, which the dataset does not name ({', '.join(drawing.labels)});"
            " add them to its dataset.json, or leave out the cases without label map"
        )
    return {value: known[name] for value, name in wanted.items()}


def _roi(anatomy: Labels | None, image: Volume, drawing: Drawing) -> Box:
    """Returns the ROI in a CT in LPS order.

    Raises:
        LabelError: nothing says where the pancreas is.
    """
    shape, spacing = image.geometry.shape, image.geometry.spacing_zyx
    tight = None if anatomy is None else Box.of_mask(np.isin(anatomy, values_of(drawing.labels, PANCREAS_PARTS)))
    if tight is not None:
        return tight.expand_mm(drawing.margin_mm, spacing).clip(shape)
    if drawing.roi_crops:
        return Box.whole(shape)
    what = "it has no label map" if anatomy is None else "its label map holds no pancreas"
    raise LabelError(f"{what}, so that nothing says where to look; label its pancreas, or give crops with --roi-crops")


def _as_many_as_reported(
    reported: ReportedCase,
    prediction: MultiTaskPrediction,
    settings: CandidateSettings,
    roi: Volume,
    pancreas: npt.NDArray[Any],
) -> CandidateMap:
    """Returns the most confident candidates, as many as the report counts.

    Raises:
        LabelError: there are fewer.
    """
    from ctcore.detection.candidates import CandidateMap, extract_candidates

    count = reported.lesions
    if not count:
        return CandidateMap(np.zeros(roi.geometry.shape, np.int16), ())
    found = extract_candidates(
        prediction.lesion_probability,
        settings.model_copy(update={"num_lesions_to_extract": count}),
        geometry=roi.geometry,
        pancreas=pancreas,
    )
    number = len(found.confidences)
    if number < count:
        raise LabelError(f"{number} of {count} lesions found; draw it, or try another model or lower --min-confidence")
    # The modes with one threshold for all candidates do not stop at the number asked for.
    return CandidateMap(np.where(found.labels <= count, found.labels, 0), found.confidences[:count], found.flags)


def _without_lesions(segmentation: Labels, drawing: Drawing) -> Labels:
    """Returns the network's segmentation in the dataset's values; lesions take the nearest other label."""
    from scipy import ndimage

    lesion = np.isin(segmentation, values_of(drawing.network.labels, {LESION}))
    if lesion.any() and not lesion.all():
        nearest = ndimage.distance_transform_edt(lesion, return_distances=False, return_indices=True)
        segmentation = segmentation[tuple(nearest)]
    elif lesion.all():
        segmentation = np.zeros_like(segmentation)
    table = np.zeros(int(segmentation.max()) + 1, np.uint8)
    for old, new in new_values(drawing).items():
        if old < len(table):
            table[old] = new
    return np.asarray(table[segmentation])
