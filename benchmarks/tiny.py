"""Patients of a few thousand voxels, recipes of a few hundred weights, and a bundle of such networks, untrained.

What the networks say means nothing; the way that a case takes through the pipeline is the real one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ctcore.datasets.case_labels import write_case_labels
from ctcore.durable import write_text
from ctcore.files import write
from ctcore.volume import Geometry, Volume
from pipeline.bundle import Bundle
from pipeline.create_bundle import create_bundle

SHAPE = (24, 32, 32)
CLASSES = ("non-PDAC", "PDAC")

RECIPE = """\
name = "tiny"
description = "Of no use but to try things out"
spacing_mm = [4.0, 4.0, 4.0]
patch_size = [16, 16, 16]
batch_size = 2
features = [4, 8, 8]
epochs = 3
iterations_per_epoch = 2
validation_iterations = 1
optimizer = "adamw"
augmentation = "light"
ema_decay = 0.9
margin_mm = [8.0, 8.0, 8.0]
"""

STAGE1 = RECIPE + "bridge_mm = 8.0\nminimum_ml = 0.5\n"

STAGE2 = (
    RECIPE
    + """
[balance]
classification = 0.5

[class_loss]
weights = [1.0, 3.0]

[head]
width = 4
pooling = "average-max"

[phases]
segmentation = 0.5
head = 0.0
"""
)

LESION, VEINS, PANCREAS, DUCT = 1, 2, 4, 5
"""Values of PANORAMA's labels."""


def make_patient(seed: int, *, lesion: bool) -> tuple[Volume, Volume]:
    """Returns a CT and its label map in PANORAMA's values, 4 mm: a box of fat with boxes of pancreas, duct and vein."""
    generator = np.random.default_rng(seed)
    shift = seed % 6
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[8:16, 10 + shift : 20 + shift, 8:24] = PANCREAS
    label[11:13, 14 + shift : 16 + shift, 8:24] = DUCT
    if lesion:
        label[9:14, 11 + shift : 16 + shift, 10:15] = LESION
    label[2:5, 10:13, 10:13] = VEINS
    hounsfield = np.full(SHAPE, -1000.0)
    hounsfield[1:-1, 3:-3, 3:-3] = -80.0
    hounsfield[np.isin(label, (LESION, PANCREAS, DUCT))] = 100.0
    hounsfield += generator.normal(0, 5, SHAPE)
    geometry = Geometry(SHAPE, (4.0, 4.0, 4.0), (-60.0, 20.0, 5.0))
    return Volume(np.rint(hounsfield).astype(np.int16), geometry), Volume(label, geometry)


def write_patients(folder: Path, patients: int) -> None:
    """Writes a dataset in nnU-Net's layout; every other patient has a lesion."""
    classes = {f"patient_{number:03d}": CLASSES[number % 2] for number in range(patients)}
    for number, case_id in enumerate(classes):
        image, label = make_patient(number, lesion=bool(number % 2))
        write(image, folder / "imagesTr" / f"{case_id}_0000.nii.gz")
        write(label, folder / "labelsTr" / f"{case_id}.nii.gz")
    write_case_labels(folder / "case_labels.csv", classes)


def write_recipes(folder: Path) -> tuple[Path, Path]:
    """Writes the recipes of both stages, and returns their files."""
    files = folder / "tiny-stage1.toml", folder / "tiny-stage2.toml"
    for file, text in zip(files, (STAGE1, STAGE2), strict=True):
        write_text(file, text)
    return files


def write_bundle(folder: Path) -> Bundle:
    """Makes a bundle of both recipes' networks, one fold each, with random weights of a fixed seed.

    Args:
        folder: holds recipes, stage folders and the bundle afterwards.
    """
    import torch

    from ctcore.nnunet.exported import Normalization, save_model, unique_state
    from ctcore.nnunet.networks import build_unet
    from ctcore.nnunet.planning.plan import architecture_of
    from stage1_localizer.dataset import LABELS
    from stage1_localizer.model import LocalizerModel
    from stage1_localizer.recipe import load as load_stage1
    from stage2_multitask.model import MultiTaskModel
    from stage2_multitask.network import exported_network
    from stage2_multitask.recipe import load as load_stage2

    files = write_recipes(folder)
    low, high = load_stage1(str(files[0])), load_stage2(str(files[1]))
    common: dict[str, Any] = {
        "spacing_mm": low.spacing_mm,
        "patch_size": low.patch_size,
        "normalization": Normalization(lower=-100, upper=200, mean=50, std=25),
        "folds": ("0",),
        "mirror_axes": (0, 1, 2),
        "trained_on": "nothing",
        "recipe": {},
    }
    torch.manual_seed(0)
    localizer = LocalizerModel(
        architecture=architecture_of(low),
        labels=LABELS,
        margin_mm=low.margin_mm,
        bridge_mm=low.bridge_mm,
        minimum_ml=low.minimum_ml,
        **common,
    )
    network = build_unet(localizer.architecture, 1, localizer.output_channels)
    save_model(folder / "stage1", localizer, {"0": unique_state(network)})
    multitask = MultiTaskModel(
        architecture=architecture_of(high),
        labels=high.labels,
        lesion_label=high.lesion_label,
        class_names=high.class_names,
        head=high.head,
        aggregation=high.aggregation,
        **common,
    )
    save_model(folder / "stage2", multitask, {"0": unique_state(exported_network(multitask))})
    return create_bundle(
        folder / "stage1",
        folder / "stage2",
        folder / "bundle",
        name="tiny",
        description="Untrained networks of a few hundred weights, to try things out.",
        demo=True,
    )
