"""What is measured of one case, from its files to a few numbers; and of many, one after the other or side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctcore import files
from ctcore.errors import CaseError, DatasetError, first_line
from ctcore.evaluation.components import CaseComponents, find_components
from ctcore.evaluation.lesion_label import LesionLabel, values_present
from ctcore.evaluation.maps import read_map
from ctcore.orphans import end_with_parent

_AHEAD = 2
"""Cases a process that wait for it: enough to keep it busy, few enough that memory does not grow with the cohort."""


@dataclass(frozen=True)
class SegmentedLabel:
    """A label that both a predicted segmentation and the truth have.

    Attributes:
        name: of the label.
        predicted: its values in the segmentation.
        truth: its values in the label map.
    """

    name: str
    predicted: tuple[int, ...]
    truth: tuple[int, ...]


@dataclass(frozen=True)
class CaseJob:
    """Where the files of a case are and what is asked of them.

    Attributes:
        case_id: the case.
        detection_map: its detection map.
        label: its label map.
        lesion: which voxels of the label are lesion.
        segmentation: its predicted segmentation, or None.
        labels: the labels of the segmentation that are measured.
    """

    case_id: str
    detection_map: Path
    label: Path
    lesion: LesionLabel
    segmentation: Path | None = None
    labels: tuple[SegmentedLabel, ...] = ()


@dataclass(frozen=True)
class Agreement:
    """Voxels of one label in a segmentation and in the truth.

    Attributes:
        common: in both.
        predicted: in the segmentation.
        truth: in the label map.
    """

    common: int
    predicted: int
    truth: int

    @property
    def empty(self) -> bool:
        """Whether neither holds the label: there is nothing to agree on."""
        return self.predicted + self.truth == 0

    @property
    def dice(self) -> float:
        """2 common / (predicted + truth); NaN where both are empty."""
        total = self.predicted + self.truth
        return 2 * self.common / total if total else float("nan")

    @property
    def iou(self) -> float:
        """Common / (predicted + truth - common); NaN where both are empty."""
        union = self.predicted + self.truth - self.common
        return self.common / union if union else float("nan")


@dataclass(frozen=True, eq=False)
class CaseMeasurement:
    """What is kept of a case once its files are closed.

    Attributes:
        case_id: the case.
        components: its candidates and lesions.
        present: values of its label map, if the choice of the lesion label depends on them.
        agreement: of its segmentation, by label name.
    """

    case_id: str
    components: CaseComponents
    present: frozenset[int] = frozenset()
    agreement: Mapping[str, Agreement] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseFault:
    """Why a case cannot be evaluated.

    Attributes:
        case_id: the case.
        reason: one line.
    """

    case_id: str
    reason: str


def measure_case(job: CaseJob) -> CaseMeasurement | CaseFault:
    """Reads and measures one case."""
    try:
        label = files.read(job.label)
        mask = job.lesion.mask(label.array)
        detection_map = read_map(job.detection_map, label.geometry)
        components = find_components(detection_map, mask, label.geometry)
        del detection_map, mask
        present = frozenset(values_present(label.array)) if job.lesion.assumed else frozenset[int]()
        agreement = {}
        if job.segmentation is not None and job.labels:
            agreement = agreement_of(read_map(job.segmentation, label.geometry), label.array, job.labels)
    except (CaseError, DatasetError) as error:
        return CaseFault(job.case_id, first_line(error))
    return CaseMeasurement(job.case_id, components, present, agreement)


def measure_cases(jobs: Sequence[CaseJob], workers: int) -> Iterator[CaseMeasurement | CaseFault]:
    """Yields what is measured of every case, in the order in which they are finished.

    Args:
        jobs: the cases.
        workers: number of processes; with 1 the work is done in this one.
    """
    if workers == 1 or len(jobs) == 1:
        yield from map(measure_case, jobs)
        return
    waiting = iter(jobs)
    with ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=get_context("spawn"), initializer=end_with_parent
    ) as pool:
        running: set[Future[CaseMeasurement | CaseFault]] = set()
        try:
            for job in waiting:
                running.add(pool.submit(measure_case, job))
                if len(running) >= workers * _AHEAD:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            for future in running:
                future.cancel()


def agreement_of(
    segmentation: npt.NDArray[np.generic], truth: npt.NDArray[np.generic], labels: Sequence[SegmentedLabel]
) -> dict[str, Agreement]:
    """Counts the voxels of every label in a segmentation and in the truth.

    Args:
        segmentation: (z, y, x) predicted labels.
        truth: (z, y, x) true labels, on the same grid.
        labels: which labels.
    """
    found = {}
    for label in labels:
        common = predicted = true = 0
        for ours, theirs in zip(segmentation, truth, strict=True):  # plane by plane: masks stay small
            mine, other = _is_one_of(ours, label.predicted), _is_one_of(theirs, label.truth)
            predicted += int(np.count_nonzero(mine))
            true += int(np.count_nonzero(other))
            common += int(np.count_nonzero(mine & other))
        found[label.name] = Agreement(common, predicted, true)
    return found


def _is_one_of(labels: npt.NDArray[np.generic], values: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    return np.isin(labels, values) if len(values) > 1 else labels == values[0]
