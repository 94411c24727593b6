"""Measuring multi-task networks: trained folds on the cases that they did not train on, or an exported model."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctcore.errors import CaseError, DatasetError, LabelError, RequestError, first_line
from ctcore.evaluation.worst import Worst
from ctcore.labels import lesion_classes_of
from ctcore.nnunet.exported import CheckpointChoice, load_model
from ctcore.nnunet.preparation.dataset import TrainingCase, read_training_pair
from ctcore.nnunet.preparation.sources import are_phantoms, sources_of
from ctcore.nnunet.training.validation import folds_to_measure
from stage2_multitask.dataset import workspace_at
from stage2_multitask.labelled import validation_crops
from stage2_multitask.measure import CaseTruth, MeasuredCase, Scoring, measure_prediction
from stage2_multitask.model import MultiTaskModel
from stage2_multitask.recipe import MultiTaskRecipe

if TYPE_CHECKING:
    from stage2_multitask.figure import CaseView
    from stage2_multitask.predictor import MultiTaskPredictor

ENSEMBLE, SINGLE = "ensemble", "single fold"
WORST_SHOWN = 6
PHANTOM_NOTICE = "measured on synthetic CTs (phantoms); the figures say nothing about patients"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured.

    Attributes:
        cases: of all folds, each on its own validation cases; or of the model, all folds averaged.
        by_fold: the cases of each single fold; empty where there is only one.
        failed: the reasons of the cases that could not be used, by case id.
        worst: pictures of the cases that are most wrong, worst first.
        scoring: candidates, fusion and hits; with the lesion classes that were taken.
        model: what was evaluated, and what it was trained on.
        notices: what a reader must know of model and data.
    """

    cases: tuple[MeasuredCase, ...]
    by_fold: Mapping[str, tuple[MeasuredCase, ...]]
    failed: Mapping[str, str]
    worst: tuple[CaseView, ...]
    scoring: Scoring
    model: Mapping[str, Any]
    notices: tuple[str, ...]


class Collector:
    """Predicts and measures crops one at a time; keeps their figures and the pictures of the worst.

    Args:
        scoring: candidates, fusion and hits.
        shown: number of pictures to keep.

    Attributes:
        cases: all cases that could be measured.
        failed: the reasons of the others, by case id.
        worst: the pictures kept.
    """

    def __init__(self, scoring: Scoring, shown: int = 0) -> None:
        self.scoring = scoring
        self.cases: list[MeasuredCase] = []
        self.failed: dict[str, str] = {}
        self.worst: Worst[CaseView] = Worst(shown)

    def add(self, predictor: MultiTaskPredictor, case: TrainingCase, fold: str) -> None:
        """Predicts and measures a crop; one that cannot be used is named in `failed`."""
        model = predictor.model
        try:
            if case.class_name is None:
                raise LabelError(f"case '{case.case_id}' has no class; add its row to 'case_labels.csv'")
            pair = read_training_pair(case, model.label_targets(case.class_name))
            begin = time.perf_counter()
            prediction = predictor.predict(pair.image)
            truth = CaseTruth(case.case_id, case.class_name, pair.label.array, pair.image.geometry, case.patient)
            measured, detection = measure_prediction(
                prediction, truth, model.labels, model.lesions, self.scoring, fold=fold
            )
            measured = replace(measured, seconds=time.perf_counter() - begin)
        except (CaseError, DatasetError) as error:
            self.failed[case.case_id] = first_line(error)
            return
        self.cases.append(measured)

        def view() -> CaseView:
            from stage2_multitask.figure import view_of

            lesion = [model.labels[name] for name in model.lesions]
            return view_of(
                measured,
                pair.image.array,
                np.isin(pair.label.array, lesion),
                np.isin(prediction.segmentation, lesion),
                detection,
                pair.image.geometry.spacing_zyx,
            )

        self.worst.add(measured.badness, measured.case_id, view)


def evaluate_model(
    folder: Path,
    cases: Sequence[TrainingCase],
    scoring: Scoring,
    *,
    device: str = "auto",
    tta: bool = False,
    shown: int = WORST_SHOWN,
    progress: Progress | None = None,
) -> Evaluation:
    """Measures an exported network on labelled crops: all its folds averaged, then each by itself.

    Args:
        folder: an exported stage-2 folder.
        cases: the crops.
        scoring: candidates, fusion and hits.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        tta: whether to average over mirrored images.
        shown: number of pictures to keep.
        progress: called with predictions done and in all.

    Raises:
        RequestError: the model, the device or the lesion classes cannot be used.
    """
    from ctcore.inference.backends.choose import resolve
    from stage2_multitask.predictor import MultiTaskPredictor

    execution = resolve(device)
    model = load_model(folder, MultiTaskModel)
    scoring = _settled(scoring, model)
    several = len(model.folds) > 1
    members = {ENSEMBLE if several else model.folds[0]: model.folds}
    if several:
        members |= {fold: (fold,) for fold in model.folds}
    collectors: dict[str, Collector] = {}
    total, done = len(members) * len(cases), 0
    for name, folds in members.items():
        collector = collectors[name] = Collector(scoring, 0 if collectors else shown)
        predictor = MultiTaskPredictor(folder, execution, folds=folds, tta=tta)
        for case in cases:
            collector.add(predictor, case, name)
            done += 1
            if progress:
                progress(done, total)
    first, *singles = collectors.values()
    failed = {case_id: reason for single in singles for case_id, reason in single.failed.items()} | first.failed
    return Evaluation(
        cases=tuple(first.cases),
        by_fold={name: tuple(c.cases) for name, c in collectors.items() if several and name != ENSEMBLE},
        failed=failed,
        worst=first.worst.items,
        scoring=scoring,
        model={"kind": ENSEMBLE if several else SINGLE, "folder": str(folder), **_stated(model), "tta": tta},
        notices=_notices(model.trained_on, cases),
    )


def cross_validate(
    root: Path,
    recipe: MultiTaskRecipe,
    scoring: Scoring,
    *,
    changes: Sequence[str] = (),
    folds: Sequence[str] = (),
    checkpoint: CheckpointChoice = "last",
    device: str = "auto",
    tta: bool = False,
    shown: int = WORST_SHOWN,
    progress: Progress | None = None,
) -> Evaluation:
    """Measures trained folds, each on the crops that it did not train on.

    Args:
        root: the workspace.
        recipe: its name says which folds; its values count for the changed fields alone.
        scoring: candidates, fusion and hits.
        changes: fields given on the command line, as `FIELD=VALUE`.
        folds: folds to evaluate; all that are trained (but `all`) if not given.
        checkpoint: which weights.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        tta: whether to average over mirrored images.
        shown: number of pictures to keep.
        progress: called with crops done and in all.

    Raises:
        RequestError: a fold is not trained or has no validation cases, the recipe contradicts what was trained, or the
            device or the lesion classes cannot be used.
    """
    from ctcore.inference.backends.choose import resolve
    from stage2_multitask.predictor import MultiTaskPredictor
    from stage2_multitask.trainer import export

    execution = resolve(device)
    workspace = workspace_at(root)
    trained_on = sources_of(workspace)
    with tempfile.TemporaryDirectory() as name:  # each fold runs as it would once exported
        folder = Path(name)
        model = export(root, recipe, folder, trained_on=trained_on, changes=changes, checkpoint=checkpoint)
        scoring = _settled(scoring, model)
        chosen = folds_to_measure(model.folds, folds)
        cases = {fold: validation_crops(workspace, fold) for fold in chosen}
        total, done = sum(map(len, cases.values())), 0
        collector = Collector(scoring, shown)
        for fold in chosen:
            predictor = MultiTaskPredictor(folder, execution, folds=(fold,), tta=tta)
            for case in cases[fold]:
                collector.add(predictor, case, fold)
                done += 1
                if progress:
                    progress(done, total)
    by_fold = {fold: tuple(case for case in collector.cases if case.fold == fold) for fold in chosen}
    stated = _stated(model) | {"folds": chosen}
    return Evaluation(
        cases=tuple(collector.cases),
        by_fold=by_fold if len(chosen) > 1 else {},
        failed=collector.failed,
        worst=collector.worst.items,
        scoring=scoring,
        model={"kind": "cross-validation", "workspace": str(root), **stated, "tta": tta},
        notices=_notices(trained_on, [case for of_fold in cases.values() for case in of_fold]),
    )


def _settled(scoring: Scoring, model: MultiTaskModel) -> Scoring:
    """Returns the scoring with the lesion classes of a model spelt out.

    Raises:
        RequestError: the model has no classes.
    """
    if model.head is None:
        raise RequestError(
            "the model has no classification head, whose classes are measured here; measure its bundle with"
            " 'pipeline run' and 'pipeline evaluate'"
        )
    asked = scoring.lesion_classes or tuple(model.lesion_labels)
    return replace(scoring, lesion_classes=lesion_classes_of(model.class_names, asked))


def _stated(model: MultiTaskModel) -> dict[str, Any]:
    return {
        "recipe": model.recipe.get("name"),
        "folds": list(model.folds),
        "checkpoint": model.checkpoint,
        "trained_on": model.trained_on,
        "class_names": list(model.class_names),
    }


def _notices(trained_on: str, cases: Sequence[TrainingCase]) -> tuple[str, ...]:
    return (f"trained on: {trained_on}", *((PHANTOM_NOTICE,) if are_phantoms(cases) else ()))
