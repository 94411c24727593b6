"""Training cases: which they are, reading them in the stages' labels, preparing them in parallel, recording them."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ctcore.datasets.case_labels import write_case_labels
from ctcore.datasets.description import MANUAL, TEST, Dataset, DatasetCase, Layout
from ctcore.datasets.label_names import LESION, project_name, values_of
from ctcore.datasets.label_values import LabelValues, label_values, relabelled
from ctcore.datasets.layouts import read_dataset
from ctcore.datasets.parallel import over_cases
from ctcore.durable import write_atomic, write_text
from ctcore.errors import DatasetError, GeometryError, LabelError, RequestError
from ctcore.files import read, read_ct, write
from ctcore.geometry import to_lps
from ctcore.labels import PANORAMA_NAMES
from ctcore.nnunet.workspace import FILE_ENDING, Workspace
from ctcore.volume import Volume


@dataclass(frozen=True)
class TrainingCase:
    """One case to train on.

    Attributes:
        case_id: the case.
        image: its CT.
        label: its label map.
        class_name: its patient-level class, or None where none is needed.
        labels: label value by name in its label map; PANORAMA's if not given.
        patient_id: its patient; the case itself if not given.
        source: where its label map comes from.
        split: the part of the dataset that it belongs to, or "".
        label_source: `manual`, or `pseudo`: then it is trained on but never validated on.
    """

    case_id: str
    image: Path
    label: Path
    class_name: str | None
    labels: Mapping[str, int] = field(default_factory=lambda: dict(PANORAMA_NAMES))
    patient_id: str = ""
    source: str = ""
    split: str = ""
    label_source: str = MANUAL

    @classmethod
    def of(cls, dataset: Dataset, case: DatasetCase, label: Path) -> TrainingCase:
        """Returns a dataset's case with its label map, which the caller knows to be there."""
        return cls(
            case.case_id,
            case.image,
            label,
            case.class_name,
            dict(dataset.labels),
            case.patient_id,
            case.source,
            case.split,
            case.label_source,
        )

    @property
    def patient(self) -> str:
        """The patient, or the case where the patient is not known."""
        return self.patient_id or self.case_id


@dataclass(frozen=True)
class TrainingPair:
    """A case's voxels in LPS order.

    Attributes:
        image: the CT.
        label: the label map (uint8) in the values asked for.
        image_as_stored: whether the CT's file holds exactly this.
        label_as_stored: whether the label map's file holds exactly this.
        lesion_ml: volume of the lesions in ml, on the grid as stored.
    """

    image: Volume
    label: Volume
    image_as_stored: bool
    label_as_stored: bool
    lesion_ml: float


def read_datasets(folders: Sequence[Path], layout: Layout = Layout.NNUNET, splits: Path | None = None) -> list[Dataset]:
    """Reads datasets that become one.

    Raises:
        RequestError: folds are given for one of several datasets, or as `ctcore.datasets.layouts.read_dataset`.
        DatasetError: two datasets share a case id, or as there.
    """
    datasets = [read_dataset(folder, layout, splits) for folder in folders]
    if len(datasets) > 1 and any(dataset.folds for dataset in datasets):
        raise RequestError(
            f"splits are given for one of {len(datasets)} inputs; give one --input, or none of them splits"
        )
    places: dict[str, Path] = {}
    for dataset in datasets:
        for case_id in {case.case_id for case in dataset.cases}:
            if case_id in places:
                raise DatasetError(f"case '{case_id}' is in '{dataset.folder}' and '{places[case_id]}'; rename one")
            places[case_id] = dataset.folder
    return datasets


def training_cases(
    datasets: Sequence[Dataset], class_names: Collection[str] | None, leave_out: Collection[str] = ()
) -> list[TrainingCase]:
    """Returns the cases of datasets to train on: all but those of the test split.

    Args:
        datasets: what was read of them.
        class_names: the classes that a case must have one of; None: any or none will do.
        leave_out: case ids to pass over.

    Raises:
        DatasetError: a case that is there twice, an image without label map, a case without a class, or a class that is
            not in `class_names`; the case is named.
    """
    cases: dict[str, TrainingCase] = {}
    for dataset in datasets:
        for case in _cases_of(dataset, class_names, leave_out):
            if case.case_id in cases:
                places = f"'{case.image.parent}' and '{cases[case.case_id].image.parent}'"
                raise DatasetError(f"case '{case.case_id}' is in {places}; rename one")
            cases[case.case_id] = case
    if not cases:
        raise DatasetError(f"no case is left to prepare; {len(leave_out)} were left out")
    return list(cases.values())


def _cases_of(
    dataset: Dataset, class_names: Collection[str] | None, leave_out: Collection[str]
) -> Iterator[TrainingCase]:
    if class_names is not None and not dataset.has_classes:
        raise DatasetError(
            f"'{dataset.folder / dataset.class_origin}' is missing; write one row `case_id,class_name` for each case"
        )
    for case in dataset.cases:
        if case.split == TEST or case.case_id in leave_out:
            continue
        if case.label is None:
            raise DatasetError(f"case '{case.case_id}' has no label map in '{dataset.folder}'; add it")
        if class_names is not None and case.class_name is None:
            raise DatasetError(f"case '{case.case_id}' has no row in '{dataset.class_origin}'; add its class")
        if class_names is not None and case.class_name not in class_names:
            raise DatasetError(
                f"case '{case.case_id}' has class '{case.class_name}' in '{dataset.class_origin}';"
                f" use {' or '.join(class_names)}"
            )
        yield TrainingCase.of(dataset, case, case.label)


def read_training_pair(case: TrainingCase, labels: Mapping[str, int]) -> TrainingPair:
    """Reads a case's CT and label map and brings both to LPS.

    Args:
        case: the case.
        labels: label value by name that the label map is brought to.

    Raises:
        CaseError: a file cannot be used, the grids differ, or the label map holds a value that has no name in `labels`.
    """
    stored_image, stored = read_ct(case.image), read(case.label)
    if not stored_image.geometry.allclose(stored.geometry):
        raise GeometryError(
            f"case '{case.case_id}': CT {stored_image.geometry.shape} at {stored_image.geometry.spacing} mm and label"
            f" map {stored.geometry.shape} at {stored.geometry.spacing} mm lie on different grids; resample the label"
        )
    values = label_values(stored.array)
    if values.has_fractions:
        raise LabelError(f"case '{case.case_id}': the label map holds fractions; resample it with nearest neighbour")
    wanted = {project_name(name): value for name, value in labels.items()}
    named = {value: project_name(name) for name, value in case.labels.items()}
    target = {value: wanted[name] for value, name in named.items() if name in wanted}
    stray = sorted(values.counts.keys() - target.keys())
    unwanted = {value: named[value] for value in stray if value in named}
    if unwanted:
        found = ", ".join(f"{name} ({value})" for value, name in unwanted.items())
        of_class = f" of class {case.class_name}" if case.class_name else ""
        raise LabelError(
            f"case '{case.case_id}'{of_class}: the recipe has no label for {found} of the label map; name it there, or"
            " correct class or label map"
        )
    if stray:
        raise LabelError(f"case '{case.case_id}': label values {stray} have no name; correct the label map")
    new_values = {value: target[value] for value in values.counts}
    same_values = stored.array.dtype == np.uint8 and all(old == new for old, new in new_values.items())
    image, label = to_lps(stored_image)[0], to_lps(stored.with_array(relabelled(stored.array, new_values)))[0]
    return TrainingPair(
        image,
        label,
        image_as_stored=image.geometry == stored_image.geometry,
        label_as_stored=label.geometry == stored.geometry and same_values,
        lesion_ml=_lesion_ml(stored, values, case.labels),
    )


def lesion_ml_of(case: TrainingCase) -> float:
    """Reads a case's label map and returns the volume of its lesions in ml.

    Raises:
        CaseError: it cannot be read.
    """
    stored = read(case.label)
    return _lesion_ml(stored, label_values(stored.array), case.labels)


def _lesion_ml(label: Volume, values: LabelValues, labels: Mapping[str, int]) -> float:
    return sum(values.counts.get(value, 0) for value in values_of(labels, {LESION})) * label.geometry.voxel_volume_ml


def store_image(made: Volume, pair: TrainingPair, case: TrainingCase, target: Path) -> None:
    """Writes what was made of a case's CT, or links its file where nothing was changed."""
    _store(made, pair.image, pair.image_as_stored, case.image, target)


def store_label(made: Volume, pair: TrainingPair, case: TrainingCase, target: Path) -> None:
    """Writes what was made of a case's label map, or links its file where nothing was changed."""
    _store(made, pair.label, pair.label_as_stored, case.label, target)


def _store(made: Volume, before: Volume, as_stored: bool, source: Path, target: Path) -> None:
    unchanged = (
        as_stored
        and source.name.endswith(FILE_ENDING)
        and made.geometry == before.geometry
        and made.array.dtype == before.array.dtype
        and np.array_equal(made.array, before.array)
    )
    if unchanged:
        link(source, target)
    else:
        write(made, target)


def link(source: Path, target: Path) -> None:
    """Makes `target` a symbolic link to a file, or a copy where the file system has none; replaces what is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".partial-{target.name}")
    partial.unlink(missing_ok=True)
    try:
        partial.symlink_to(source.resolve())
        partial.replace(target)
    except OSError:
        partial.unlink(missing_ok=True)

        def copy_to(path: Path) -> None:
            shutil.copyfile(source, path)

        write_atomic(target, copy_to)


def prepare_cases(
    cases: Sequence[TrainingCase],
    prepare: Callable[[TrainingCase], float],
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Runs `prepare` on every case, over processes where `workers` exceeds 1 (it must then be picklable).

    Returns:
        What `prepare` returns, the volume of the lesions in ml, by case id.

    Raises:
        CaseError: the first fault found; it names the case.
    """
    return {case.case_id: ml for case, ml in over_cases(cases, prepare, workers=workers, progress=progress)}


def record_cases(workspace: Workspace, cases: Sequence[TrainingCase]) -> None:
    """Writes `case_labels.csv` (cases with a class) and `cases.csv` (where each case comes from)."""
    write_case_labels(
        workspace.case_labels_file, {case.case_id: case.class_name for case in cases if case.class_name is not None}
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("case_id", "class_name", "patient_id", "split", "source", "label_source", "image", "label"))
    for case in sorted(cases, key=lambda case: case.case_id):
        origin = (case.split, case.source, case.label_source)
        writer.writerow((case.case_id, case.class_name or "", case.patient, *origin, case.image, case.label))
    write_text(workspace.cases_file, text.getvalue())
