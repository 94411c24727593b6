"""A dataset in nnU-Net's layout in which every case has a label map: the drawn ones, and pseudo-labels beside them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ctcore.datasets.description import Dataset, Layout
from ctcore.datasets.label_names import LESION, values_of
from ctcore.datasets.layouts import read_dataset
from ctcore.detection.candidates import CandidateSettings
from ctcore.detection.measures import Candidate
from ctcore.durable import write_text
from ctcore.errors import BundleError, CaseError, DatasetError, RequestError, describe_validation, first_line
from ctcore.files import read, write
from ctcore.json_files import read_json, write_json
from ctcore.nnunet.preparation.dataset import TrainingCase, link
from ctcore.nnunet.preparation.folds import check_folds, given_folds, make_folds
from ctcore.nnunet.workspace import FILE_ENDING
from stage2_multitask.predictor import MultiTaskPredictor
from stage2_multitask.pseudo_labels import Drawing, draw, lesion_value, new_values
from stage2_multitask.reported_lesions import ReportedCase, reported_cases

BUNDLE_FILE = "bundle.json"
STAGE_FOLDER = "stage2"
"""What makes a folder a bundle, and where in it this stage lies."""


@dataclass
class PseudoLabels:
    """What became of a dataset.

    Attributes:
        manual: ids of the cases whose label maps were kept.
        pseudo: ids of those that were drawn.
        left_out: why the others could not be used, by case id.
    """

    manual: list[str] = field(default_factory=list)
    pseudo: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def write_pseudo_labels(
    model: Path,
    source: Path,
    output: Path,
    *,
    layout: Layout = Layout.NNUNET,
    splits: Path | None = None,
    folds: int = 5,
    roi_crops: bool = False,
    settings: CandidateSettings | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> PseudoLabels:
    """Writes a dataset whose weak cases have label maps with as many lesions as their reports count.

    Images and drawn label maps are linked. The tables and `splits_final.json` come last: without them the folder is no
    dataset with classes. A case that cannot be drawn is left out whole.

    Args:
        model: an exported stage-2 folder, or a bundle.
        source: a dataset with classes.
        output: an empty or new folder.
        layout: how the dataset is laid out.
        splits: folds to keep; else those that come with it, else new ones.
        folds: folds to make where none are given.
        roi_crops: whether images without a pancreas drawn are ROI crops.
        settings: how candidates are cut out; the bundle's, or the defaults, if not given.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: called with cases done and in all.

    Raises:
        RequestError: the output holds something, the model cannot be used, or the dataset cannot be read.
        DatasetError: its labels do not fit the model's, or its folds cannot be made.
    """
    from ctcore.inference.backends.choose import resolve

    if output.is_dir() and any(output.iterdir()):
        raise RequestError(f"'{output}' is not empty; give another --output")
    dataset = read_dataset(source, layout, splits)
    if not dataset.has_classes:
        raise DatasetError(f"'{source / dataset.class_origin}' is missing, which gives the classes; add it")
    network = MultiTaskPredictor(stage_folder(model), resolve(device))
    drawing = Drawing(
        network,
        settings or bundle_candidates(model) or CandidateSettings(),
        _margin(network.model.recipe, model),
        dict(dataset.labels),
        roi_crops,
    )
    found = PseudoLabels()
    cases: list[ReportedCase] = []
    for case, reported in reported_cases(dataset):
        if isinstance(reported, str):
            found.left_out[case.case_id] = reported
        else:
            cases.append(reported)
    _check(dataset, cases, drawing, folds)
    candidates: dict[str, tuple[Candidate, ...]] = {}
    for done, reported in enumerate(cases, start=1):
        case_id = reported.case.case_id
        try:
            drawn = draw(reported, drawing) if reported.weak else None
            if drawn is not None:
                write(drawn.label, output / "labelsTr" / f"{case_id}{FILE_ENDING}")
                candidates[case_id] = drawn.candidates
            elif reported.case.label is not None:
                _bring(reported.case.label, output / "labelsTr" / f"{case_id}{FILE_ENDING}")
            _bring(reported.case.image, output / "imagesTr" / f"{case_id}_0000{FILE_ENDING}")
            (found.pseudo if reported.weak else found.manual).append(case_id)
        except CaseError as error:
            (output / "labelsTr" / f"{case_id}{FILE_ENDING}").unlink(missing_ok=True)
            candidates.pop(case_id, None)
            found.left_out[case_id] = first_line(error)
        if progress:
            progress(done, len(cases))
    kept = [reported for reported in cases if reported.case.case_id not in found.left_out]
    _write_tables(output, dataset, kept, candidates, folds)
    return found


def stage_folder(model: Path) -> Path:
    """Returns a bundle's folder of this stage, or the folder itself."""
    return model / STAGE_FOLDER if (model / BUNDLE_FILE).is_file() else model


def bundle_candidates(model: Path) -> CandidateSettings | None:
    """Returns how a bundle cuts candidates out; None of a folder that is none.

    Raises:
        BundleError: its manifest holds other settings.
    """
    if not (model / BUNDLE_FILE).is_file():
        return None
    manifest = read_json(model / BUNDLE_FILE)
    try:
        return CandidateSettings.model_validate(manifest["candidates"])
    except (KeyError, TypeError) as error:
        raise BundleError(f"'{model / BUNDLE_FILE}' holds no candidate settings; create the bundle again") from error
    except ValidationError as error:
        raise BundleError(f"'{model / BUNDLE_FILE}': candidates: {describe_validation(error)}") from error


def _margin(recipe: dict[str, Any], model: Path) -> tuple[float, float, float]:
    margin = recipe.get("margin_mm")
    if not isinstance(margin, list | tuple) or len(margin) != 3:
        raise BundleError(f"'{model}' does not say with which margin it was trained (margin_mm); export it again")
    return (float(margin[0]), float(margin[1]), float(margin[2]))


def _check(dataset: Dataset, cases: Sequence[ReportedCase], drawing: Drawing, folds: int) -> None:
    """Refuses what would be refused after hours of work.

    Raises:
        DatasetError: nothing is to be drawn, labels do not fit the model's, or folds cannot be made.
    """
    weak = [case for case in cases if case.weak]
    if not weak:
        raise DatasetError(f"no case of '{dataset.folder}' lacks a label map or its lesions; there is nothing to draw")
    if not values_of(dataset.labels, {LESION}):
        raise DatasetError(f"no label of '{dataset.folder}' is a lesion: {', '.join(dataset.labels)}; name it first")
    for name in sorted({case.class_name for case in weak if case.lesions}):
        lesion_value(name, drawing)
    if drawing.roi_crops and any(case.case.label is None for case in weak):
        new_values(drawing)
    check_folds(_training_cases(dataset, cases), folds, dataset.folds)


def _training_cases(dataset: Dataset, cases: Sequence[ReportedCase]) -> list[TrainingCase]:
    return [case.to_train_on(dataset.labels, pseudo=case.weak) for case in cases]


def _bring(source: Path, target: Path) -> None:
    """Links a file where nnU-Net can read it, else stores it again."""
    if source.name.endswith(FILE_ENDING):
        link(source, target)
    else:
        write(read(source), target)


def _write_tables(
    output: Path,
    dataset: Dataset,
    cases: Sequence[ReportedCase],
    candidates: dict[str, tuple[Candidate, ...]],
    folds: int,
) -> None:
    """Writes `pseudo_labels.csv`, `dataset.json`, the splits and `case_labels.csv`."""
    rows: list[tuple[Any, ...]] = [
        ("case_id", "class_name", "lesion", "confidence", "voxels", "volume_ml", "x_mm", "y_mm", "z_mm")
    ]
    for reported in cases:
        for candidate in candidates.get(reported.case.case_id, ()):
            where = (f"{value:.3f}" for value in candidate.centroid_lps_mm)
            what = (candidate.number, repr(candidate.confidence), candidate.voxels, f"{candidate.volume_ml:.4f}")
            rows.append((reported.case.case_id, reported.class_name, *what, *where))
    write_text(output / "pseudo_labels.csv", _csv(rows))
    write_json(
        output / "dataset.json",
        {
            "channel_names": {"0": "CT"},
            "labels": dict(dataset.labels),
            "numTraining": len(cases),
            "file_ending": FILE_ENDING,
        },
    )
    training = _training_cases(dataset, cases)
    volumes = {reported.case.case_id: reported.lesion_ml for reported in cases}
    splits = given_folds(dataset.folds, training) if dataset.folds else make_folds(training, folds, volumes)
    write_json(output / "splits_final.json", splits)
    rows = [("case_id", "class_name", "patient_id", "lesion_count", "label_source")]
    rows += [
        (case.case_id, case.class_name, case.patient, reported.lesions, case.label_source)
        for case, reported in zip(training, cases, strict=True)
    ]
    write_text(output / "case_labels.csv", _csv(rows))


def _csv(rows: Sequence[tuple[Any, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
