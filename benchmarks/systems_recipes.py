"""What the systems study sets in recipes: one grid, width and budget for all, and a task's classes and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Task = Literal["pdac", "subtypes"]
TASKS: tuple[Task, ...] = ("pdac", "subtypes")

SLICES = "slice-ensemble"
RESIDUAL = ("masked-gem", "slice-ensemble", "dual-decoder")
PYRAMIDS = ("panorama-fpn", "flagship")
THREE_LABELS = ("masked-gem", "slice-ensemble", "gap", "dual-decoder")
"""Systems that segment pancreas and lesion; the others all labels of PANORAMA."""
OWN_LABELS = 'lesion_labels={subtype0="solid lesion",subtype1="cystic lesion",subtype2="hyper-attenuating lesion"}'
"""Each subtype is a label, so that every voxel of a lesion teaches its class: from the bottleneck alone heads do not
learn it in the time that there is. Of published variants it is not."""
LESIONS = '"solid lesion"=1,"cystic lesion"=2,"hyper-attenuating lesion"=3'
THREE_KINDS = f"labels={{background=0,{LESIONS},pancreas=4}}"
ALL_KINDS = f'labels={{background=0,{LESIONS},veins=4,arteries=5,pancreas=6,"pancreatic duct"=7,"common bile duct"=8}}'

CLASSES = {"pdac": '["non-PDAC","PDAC"]', "subtypes": '["subtype0","subtype1","subtype2"]'}

GRID = ("spacing_mm=[3,3,3]", "stem_stride=2", "margin_mm=[12,12,12]", "margin_jitter_mm=8")
"""What all systems are brought to; ROIs of training and test err as the localizer's do. The networks see 3 mm and
compute at 6 mm: seeing as finely without a stem would cost eight times as many voxels in every layer."""
LEVELS = "features=[16,32,64]"
VOLUME, SLICE = "[48,48,64]", "[1,48,64]"
"""Nineteen of twenty ROIs fit into the volume: a patch shows the whole gland."""
VOLUMES, SLICES_AT_ONCE = 2, 48
"""Batches, of as many voxels."""
BLOCKS = "blocks_per_level=[1,2,2]"
"""Of residual encoders: two convolutions each."""
PYRAMID = ("head.width=16", "head.smoothing=coarse")
"""The last three levels are all three here: more channels, or a convolution of the finest, would be half of a step."""
FOLD = "0"


@dataclass(frozen=True)
class Job:
    """A training and an evaluation of it.

    Attributes:
        task: what is told apart.
        system: name of a recipe, perhaps with `@` and a variant.
        run: name of the training.
        changes: fields of the recipe to set beside the study's.
        crops: name of crops of its own, where one of the changes is a matter of preparing (labels).
        plan: name of a plan of its own, where one of the changes is a matter of planning (a patch's size).
        folds: what is trained; several are evaluated as an ensemble.
        exported: fields that only the export sets.
        scoring: options of `stage2-multitask evaluate` after the study's.
        candidates: candidate settings other than the study's.
        evaluated_as: name of the evaluation, and of the model where the export sets fields or there are several folds;
            the run's if not given.
    """

    task: Task
    system: str
    run: str
    changes: Sequence[str] = ()
    exported: Sequence[str] = ()
    scoring: Sequence[str] = ()
    candidates: tuple[tuple[str, float], ...] = ()
    crops: str = ""
    plan: str = ""
    folds: Sequence[str] = (FOLD,)
    evaluated_as: str = ""

    @property
    def label(self) -> str:
        """Name of the evaluation."""
        return self.evaluated_as or self.run


def has_kinds(job: Job) -> bool:
    """Tells whether a system segments each subtype by itself."""
    return job.task == "subtypes" and "@" not in job.system


def changes_of(job: Job, epochs: int, steps: int) -> list[str]:
    """Returns what is set in a system's recipe: the study's sizes, budget and classes, then the job's own."""
    recipe = job.system.partition("@")[0]
    slices = recipe == SLICES
    changed = [
        *GRID,
        "planner=recipe",
        f"encoder={'resenc' if recipe in RESIDUAL else 'plain'}",
        LEVELS,
        f"patch_size={SLICE if slices else VOLUME}",
        f"batch_size={SLICES_AT_ONCE if slices else VOLUMES}",
        f"epochs={epochs}",
        f"iterations_per_epoch={steps}",
        "validation_iterations=10",
        "augmentation=light",
        "early_stopping_share=none",
        f"class_names={CLASSES[job.task]}",
    ]
    if recipe in RESIDUAL:
        changed.append(BLOCKS)
    if recipe in PYRAMIDS:
        changed += PYRAMID
    if recipe == "panorama-fpn" and job.task == "subtypes":
        changed += ["class_loss.weights=equal", "post_hoc_adjustment=1"]
    if has_kinds(job):
        changed += [OWN_LABELS, THREE_KINDS if recipe in THREE_LABELS else ALL_KINDS]
    return [*changed, *job.changes]
