"""Training cases on disk: finding them, preparing them in parallel, splitting them into folds."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctcore.errors import DatasetError, GeometryError, LabelError
from ctcore.files import discover, label_id_of, read, read_ct, write_json, write_text
from ctcore.geometry import to_lps
from ctcore.nnunet.workspace import Workspace
from ctcore.volume import Volume

LABEL_FRACTION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class TrainingCase:
    """One case to train on.

    Attributes:
        case_id: the case.
        image: its CT.
        label: its label map in PANORAMA's values.
        class_name: its patient-level class.
    """

    case_id: str
    image: Path
    label: Path
    class_name: str


def find_training_cases(folders: Sequence[Path], class_names: Sequence[str]) -> list[TrainingCase]:
    """Finds the cases of folders with `imagesTr`, `labelsTr` and `case_labels.csv`.

    Args:
        folders: the datasets.
        class_names: the classes that a case may have.

    Raises:
        RequestError: a folder or its images are missing.
        DatasetError: a case that two folders hold, an image without label map, a case without a class, or a class that
            is not in `class_names`; the case is named.
    """
    cases: dict[str, TrainingCase] = {}
    for folder in folders:
        for case in _cases_of(folder, class_names):
            if case.case_id in cases:
                raise DatasetError(
                    f"case '{case.case_id}' is in '{folder}' and '{cases[case.case_id].image.parents[1]}'; rename one"
                )
            cases[case.case_id] = case
    return list(cases.values())


def _cases_of(folder: Path, class_names: Sequence[str]) -> Iterator[TrainingCase]:
    images = discover(folder / "imagesTr")
    labels = {label_id_of(case.path): case.path for case in discover(folder / "labelsTr")}
    classes = read_case_labels(folder / "case_labels.csv")
    for case in images:
        if case.case_id not in labels:
            raise DatasetError(f"case '{case.case_id}' has no label map in '{folder / 'labelsTr'}'; add it")
        if case.case_id not in classes:
            raise DatasetError(f"case '{case.case_id}' has no row in '{folder / 'case_labels.csv'}'; add its class")
        class_name = classes[case.case_id]
        if class_name not in class_names:
            raise DatasetError(
                f"case '{case.case_id}' has class '{class_name}' in 'case_labels.csv'; use {' or '.join(class_names)}"
            )
        yield TrainingCase(case.case_id, case.path, labels[case.case_id], class_name)


def read_case_labels(path: Path) -> dict[str, str]:
    """Reads a table `case_id,class_name`.

    Raises:
        DatasetError: it is missing, lacks a column, has an empty class, or names a case twice with different classes.
    """
    if not path.is_file():
        raise DatasetError(f"'{path}' is missing; write one row `case_id,class_name` for each case")
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        if not {"case_id", "class_name"} <= set(reader.fieldnames or ()):
            raise DatasetError(f"'{path}' has columns {reader.fieldnames}; it needs case_id and class_name")
        classes: dict[str, str] = {}
        for row in reader:
            case_id, class_name = row["case_id"], row["class_name"]
            if not class_name:
                raise DatasetError(f"case '{case_id}' has no class in '{path}'; fill it in")
            if classes.setdefault(case_id, class_name) != class_name:
                raise DatasetError(f"case '{case_id}' is both '{classes[case_id]}' and '{class_name}' in '{path}'")
    return classes


def write_case_labels(path: Path, classes: Mapping[str, str]) -> None:
    """Writes a table `case_id,class_name`."""
    rows = "".join(f"{case_id},{class_name}\n" for case_id, class_name in sorted(classes.items()))
    write_text(path, "case_id,class_name\n" + rows)


def read_training_pair(case: TrainingCase, label_values: Sequence[int]) -> tuple[Volume, Volume]:
    """Reads a case's CT and label map and brings both to LPS.

    Raises:
        CaseError: a file cannot be used, the grids differ, or the label map holds a value that has no name.
    """
    image, label = read_ct(case.image), read(case.label)
    if not image.geometry.allclose(label.geometry):
        raise GeometryError(
            f"case '{case.case_id}': CT {image.geometry.shape} at {image.geometry.spacing} mm and label map"
            f" {label.geometry.shape} at {label.geometry.spacing} mm lie on different grids; resample the label map"
        )
    rounded = np.rint(label.array)
    if np.abs(label.array - rounded).max() > LABEL_FRACTION_TOLERANCE:
        raise LabelError(f"case '{case.case_id}': the label map holds fractions; resample it with nearest neighbour")
    stray = sorted(set(np.unique(rounded).astype(int).tolist()) - set(label_values))
    if stray:
        raise LabelError(f"case '{case.case_id}': label values {stray} have no name; correct the label map")
    return to_lps(image)[0], to_lps(label.with_array(rounded.astype(np.uint8)))[0]


def prepare_cases(
    cases: Sequence[TrainingCase],
    prepare: Callable[[TrainingCase], None],
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Runs `prepare` on every case, over processes where `workers` exceeds 1 (it must then be picklable).

    Raises:
        CaseError: the first fault found; it names the case.
    """
    done = 0
    if workers <= 1:
        for case in cases:
            prepare(case)
            done += 1
            if progress:
                progress(done, len(cases))
        return
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(prepare, case) for case in cases]
        try:
            for future in as_completed(futures):
                future.result()
                done += 1
                if progress:
                    progress(done, len(cases))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write_splits(workspace: Workspace, classes: Mapping[str, str], folds: int) -> None:
    """Writes nnU-Net's `splits_final.json`: `folds` folds, stratified by class, the same for the same cases.

    Raises:
        DatasetError: a class has fewer cases than there are folds.
    """
    counts = Counter(classes.values())
    small = {name: count for name, count in counts.items() if count < folds}
    if small or folds < 2:
        raise DatasetError(f"{folds} folds cannot be made of classes with {dict(counts)} cases; ask for fewer")
    fold_of: dict[str, int] = {}
    generator = np.random.default_rng(0)
    for name in sorted(counts):
        members = sorted(case_id for case_id, class_name in classes.items() if class_name == name)
        for position, index in enumerate(generator.permutation(len(members))):
            fold_of[members[index]] = position % folds
    splits = [
        {
            "train": sorted(case_id for case_id, f in fold_of.items() if f != fold),
            "val": sorted(case_id for case_id, f in fold_of.items() if f == fold),
        }
        for fold in range(folds)
    ]
    write_json(workspace.preprocessed / "splits_final.json", splits)
