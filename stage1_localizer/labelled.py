"""Cases with label maps that a localizer is measured on, wherever they lie."""

from __future__ import annotations

from pathlib import Path

from ctcore.datasets.description import Layout
from ctcore.datasets.label_names import PANCREAS_PARTS, read_label_names, values_of
from ctcore.datasets.layouts import read_dataset
from ctcore.datasets.pairing import images_of, labels_of
from ctcore.errors import DatasetError, RequestError
from ctcore.json_files import read_json
from ctcore.labels import PANORAMA_NAMES
from ctcore.nnunet.preparation.dataset import TrainingCase
from ctcore.nnunet.preparation.labelled import checked_cases, labelled_cases
from ctcore.nnunet.training.validation import validation_ids
from ctcore.nnunet.workspace import Workspace

DATASET_FILE = "dataset.json"


def cases_of_folders(images: Path, labels: Path, layout: Layout | None) -> list[TrainingCase]:
    """Pairs the CTs of one folder with the label maps of another by case id; CTs without label map are left out.

    The names of the label values come from a `dataset.json` in the labels' folder or beside that folder; where there
    is none, `layout` must be PANORAMA's, whose values are known.

    Raises:
        RequestError: the label values are not known, or a folder cannot be used.
        DatasetError: no CT has a label map, or none of the values is pancreas.
    """
    if not labels.is_dir():
        raise RequestError(f"'{labels}' does not exist; give the folder of label maps")
    described = next((p for p in (labels / DATASET_FILE, labels.parent / DATASET_FILE) if p.is_file()), None)
    if described is None and layout is not Layout.PANORAMA:
        raise RequestError(
            f"no '{DATASET_FILE}' in or beside '{labels}' names the label values; add one, or pass --dataset panorama"
            " if they are PANORAMA's"
        )
    names = dict(PANORAMA_NAMES) if described is None else read_label_names(described)
    ct_files, label_files = images_of(images), labels_of(labels)
    cases = [
        TrainingCase(case_id, ct_files[case_id], label_files[case_id], None, names)
        for case_id in sorted(ct_files.keys() & label_files.keys())
    ]
    origin = f"'{images}' and '{labels}'"
    return _with_pancreas(checked_cases(cases, origin), origin)


def cases_of_dataset(folder: Path, layout: Layout) -> list[TrainingCase]:
    """Returns the cases of a dataset that have a label map.

    Raises:
        RequestError, DatasetError: as `ctcore.datasets.layouts.read_dataset`; no case has a label map, two share an
            id, or none of the values is pancreas.
    """
    return _with_pancreas(labelled_cases(read_dataset(folder, layout)), f"'{folder}'")


def validation_cases(workspace: Workspace, fold: str) -> list[TrainingCase]:
    """Returns the cases that a fold did not train on, with the files that they were prepared from.

    Raises:
        RequestError: the fold has no validation cases.
        DatasetError: the record of a case's preparation is missing.
    """
    cases = []
    for case_id in validation_ids(workspace, fold):
        record_file = workspace.prepared_file(case_id)
        if not record_file.is_file():
            raise DatasetError(f"'{record_file}' is missing, which says where the case comes from; run `prepare` again")
        record = read_json(record_file)
        image, label = Path(record["image"][0]), Path(record["label"][0])
        cases.append(TrainingCase(case_id, image, label, None, record["labels"]))
    origin = f"fold {fold} of '{workspace.root}'"
    return _with_pancreas(checked_cases(cases, origin), origin)


def _with_pancreas(cases: list[TrainingCase], origin: str) -> list[TrainingCase]:
    if not values_of(cases[0].labels, PANCREAS_PARTS):
        raise DatasetError(f"the labels of {origin} ({', '.join(cases[0].labels)}) name no pancreas; correct them")
    return cases
