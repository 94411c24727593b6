"""What an exported localizer holds, and writing it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ctcore.nnunet.exported import CheckpointChoice, ExportedModel, Normalization, SpacingMm, save_model
from ctcore.nnunet.training.trained import trained_state
from ctcore.nnunet.workspace import Workspace
from stage1_localizer.dataset import LABELS
from stage1_localizer.margins import FoundMargins, Millimetres
from stage1_localizer.recipe import LocalizerRecipe

Length = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]
RoiRule = Literal["field-of-view", "voxel-centres"]


class LocalizerModel(ExportedModel):
    """`model.json` of a stage-1 folder.

    Attributes:
        pancreas_label: name of the label that makes the ROI.
        bspline_mm: spacing (z, y, x) in mm to which ITK's cubic B-splines bring the CT before anything else, as in the
            PANORAMA baseline; None: not.
        roi_rule: how the mask's box becomes one of the CT: `field-of-view`, whole voxels of the mask, margins rounded
            up; `voxel-centres`, the CT's voxels at the centres of the mask's, margins rounded down, as in the baseline.
        margin_mm: margin (z, y, x) in mm around the pancreas mask that makes the ROI.
        margins_found: how that margin was found; None where the recipe gives it.
        bridge_mm: components no farther apart than this are one cluster.
        minimum_ml: smallest cluster that is taken for a pancreas.
    """

    stage: Literal["stage1"] = "stage1"
    pancreas_label: str = "pancreas"
    bspline_mm: tuple[SpacingMm, SpacingMm, SpacingMm] | None = None
    roi_rule: RoiRule = "field-of-view"
    margin_mm: tuple[Length, Length, Length]
    margins_found: FoundMargins | None = None
    bridge_mm: Length
    minimum_ml: Length


def write_model(
    workspace: Workspace,
    recipe: LocalizerRecipe,
    folders: Mapping[str, Path],
    output: Path,
    *,
    trained_on: str,
    margin_mm: Millimetres,
    found: FoundMargins | None = None,
    checkpoint: CheckpointChoice = "last",
) -> LocalizerModel:
    """Writes trained folds as a stage folder, with the sizes as planned.

    Args:
        workspace: where they were trained.
        recipe: the recipe as trained.
        folders: the folds' folders.
        output: the stage folder to write.
        trained_on: the training data in words.
        margin_mm: margin (z, y, x) in mm of the ROI.
        found: how that margin was found.
        checkpoint: which weights.

    Raises:
        DatasetError: a fold has no such weights.
    """
    plans, configuration = workspace.plans(), workspace.configuration()
    model = LocalizerModel(
        architecture=configuration["architecture"],
        spacing_mm=recipe.spacing_mm,
        patch_size=configuration["patch_size"],
        normalization=Normalization.from_plans(plans),
        labels=LABELS,
        folds=tuple(folders),
        mirror_axes=recipe.mirror_axes,
        trained_on=trained_on,
        checkpoint=checkpoint,
        recipe=recipe.model_dump(mode="json"),
        margin_mm=margin_mm,
        margins_found=found,
        bridge_mm=recipe.bridge_mm,
        minimum_ml=recipe.minimum_ml,
    )
    save_model(output, model, {fold: trained_state(folder, checkpoint) for fold, folder in folders.items()})
    return model
