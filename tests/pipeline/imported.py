"""Tiny trained nnU-Net folders, imported, and CTs for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ctcore.files import write
from ctcore.volume import Geometry, Volume
from pipeline.bundle import Bundle
from pipeline.import_nnunet import NnunetFolder, import_nnunet
from tests.nnunet_folder import STAGE1_LABELS, STAGE2_LABELS, crafted_ct, dataset_of, plans_of, write_folder

SPACING_ZYX = (2.5, 0.9, 0.8)


def write_folders(
    folder: Path, plans: dict[str, Any] | None = None, dataset: dict[str, Any] | None = None, **stage2: Any
) -> tuple[Path, Path]:
    """Writes both stages' trained folders: the second of the plans, dataset and other arguments given."""
    low = plans_of(spacing=(9.0, 4.5, 4.5), old=True)
    stage1 = write_folder(folder / "nnunet1", low, dataset_of(STAGE1_LABELS), stage2.get("folds", ("0",)), seed=8)
    return stage1, write_folder(folder / "nnunet2", plans or plans_of(), dataset or dataset_of(STAGE2_LABELS), **stage2)


def imported(folder: Path, *args: Any, preset: Any = "none", **stage2: Any) -> tuple[Bundle, tuple[Path, Path]]:
    """Writes both stages' folders and imports them; arguments as for `write_folders`."""
    folders = write_folders(folder, *args, **stage2)
    bundle = import_nnunet(NnunetFolder(folders[0]), NnunetFolder(folders[1]), folder / "bundle", preset=preset)
    return bundle, folders


def ct_volume(seed: int = 0) -> Volume:
    """A CT in LPS order."""
    array = crafted_ct(seed=seed)
    return Volume(array, Geometry(array.shape, SPACING_ZYX[::-1], (-17.0, 4.5, -120.0)))


def write_cts(folder: Path, cases: int) -> Path:
    """Writes CTs `case0`, `case1`, ..."""
    for seed in range(cases):
        write(ct_volume(seed), folder / f"case{seed}_0000.nii.gz")
    return folder


def differ(one: Any, other: Any) -> float:
    """The largest difference of two arrays."""
    return float(np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64)).max())
