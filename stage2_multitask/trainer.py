"""Training the multi-task network in three phases, and exporting it for inference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from ctcore.datasets.case_labels import read_case_labels
from ctcore.errors import LabelError
from ctcore.json_files import read_json
from ctcore.nnunet.exported import CheckpointChoice, Normalization, save_model
from ctcore.nnunet.training.as_trained import trained_recipe
from ctcore.nnunet.training.fold import TrainingOptions, train_fold
from ctcore.nnunet.training.fold_files import TRAINING_NAME
from ctcore.nnunet.training.trained import trained_state
from stage2_multitask.class_frequencies import class_priors
from stage2_multitask.dataset import workspace_at
from stage2_multitask.model import MultiTaskModel
from stage2_multitask.recipe import MultiTaskRecipe


def train(root: Path, recipe: MultiTaskRecipe, fold: str, **options: Unpack[TrainingOptions]) -> Path:
    """Trains one fold of the multi-task network; returns its folder.

    Raises:
        DatasetError: nothing was planned, or the fold is not in the split.
        LabelError: a case of the workspace has no class, or one that the recipe does not know; the case is named.
        RecipeError: the head does not fit the plan.
    """
    from stage2_multitask.multitask_trainer import MultiTaskTrainer

    workspace = workspace_at(root)
    workspace.plans()  # without a plan there is no table of classes to complain about
    classes = class_indices(read_case_labels(workspace.case_labels_file), recipe.class_names)

    def make_trainer(**arguments: Any) -> MultiTaskTrainer:
        trainer = MultiTaskTrainer(**arguments)
        trainer.case_classes = classes
        return trainer

    return train_fold(workspace, recipe, fold, make_trainer, **options)


def class_indices(case_labels: dict[str, str], class_names: tuple[str, ...]) -> dict[str, int]:
    """Returns every case's class as an index of the logits.

    Raises:
        LabelError: a case has a class that is not in `class_names`.
    """
    for case_id, name in case_labels.items():
        if name not in class_names:
            raise LabelError(f"case '{case_id}' has class '{name}'; this recipe knows {', '.join(class_names)}")
    return {case_id: class_names.index(name) for case_id, name in case_labels.items()}


def export(
    root: Path,
    recipe: MultiTaskRecipe,
    output: Path,
    *,
    trained_on: str,
    changes: Sequence[str] = (),
    checkpoint: CheckpointChoice = "last",
) -> MultiTaskModel:
    """Writes the trained folds as a stage folder, with the recipe as trained and the sizes as planned.

    Args:
        root: the workspace.
        recipe: its name says which folds; its values count for the changed fields alone.
        output: the stage folder to write.
        trained_on: the training data in words; shown wherever results are.
        changes: fields given on the command line, as `FIELD=VALUE`.
        checkpoint: whether to export the last weights or those of the best smoothed pseudo-Dice.

    Raises:
        DatasetError: no fold of the recipe is trained, or one has no such weights.
        RecipeError: the folds were trained with different values, the workspace was planned again with others since, or
            a field is changed that training used.
    """
    workspace = workspace_at(root)
    plans, configuration = workspace.plans(), workspace.configuration()
    folders, recipe = trained_recipe(workspace, recipe, changes)
    model = MultiTaskModel(
        architecture=configuration["architecture"],
        spacing_mm=recipe.spacing_mm,
        patch_size=configuration["patch_size"],
        normalization=Normalization.from_plans(plans),
        labels=recipe.labels,
        folds=tuple(folders),
        mirror_axes=recipe.mirror_axes,
        trained_on=trained_on,
        checkpoint=checkpoint,
        recipe=recipe.model_dump(mode="json"),
        lesion_label=recipe.lesion_label,
        lesion_labels=recipe.lesion_labels,
        class_names=recipe.class_names,
        head=recipe.head,
        aggregation=recipe.aggregation,
        class_priors=priors_of(recipe, folders),
        post_hoc_adjustment=recipe.post_hoc_adjustment,
    )
    save_model(output, model, {fold: trained_state(folder, checkpoint) for fold, folder in folders.items()})
    return model


def priors_of(recipe: MultiTaskRecipe, folders: Mapping[str, Path]) -> tuple[float, ...] | None:
    """Returns the share of each class among the training cases of all folds; None where nothing uses it.

    Args:
        recipe: the recipe as trained.
        folders: the folds' folders.
    """
    if not recipe.class_loss.logit_adjustment and not recipe.post_hoc_adjustment:
        return None
    counts: Counter[str] = Counter()
    for folder in folders.values():
        counts.update(read_json(folder / TRAINING_NAME)["class_counts"])
    return class_priors({name: counts[name] for name in recipe.class_names})
