"""What a lesion looks like beside its gland, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.true_masks import features_of
from ctcore.files import write
from ctcore.nnunet.preparation.dataset import TrainingCase
from ctcore.volume import Geometry, Volume


def case_of(folder: Path, hounsfield: np.ndarray, label: np.ndarray) -> TrainingCase:
    geometry = Geometry(label.shape, (4.0, 4.0, 4.0))
    write(Volume(hounsfield.astype(np.int16), geometry), folder / "image.nii.gz")
    write(Volume(label.astype(np.uint8), geometry), folder / "label.nii.gz")
    return TrainingCase("a", folder / "image.nii.gz", folder / "label.nii.gz", "subtype0")


@pytest.mark.parametrize("subtype", [1, 2, 3])
def test_hounsfield_units_are_those_above_the_gland(tmp_path: Path, subtype: int) -> None:
    label = np.zeros((5, 5, 6))
    label[:, :, 0] = 4
    label[1:4, 1:4, 2:5] = subtype
    hounsfield = np.select([label == 4, label == subtype], [100, 70], -80)
    hounsfield[2, 2, 3] = 43
    row = features_of(case_of(tmp_path, hounsfield, label))
    assert row is not None
    assert row[:7] == pytest.approx([-57, -30, -30, -30, -30, -30, -30])
    assert row[7] == pytest.approx(-31)
    assert row[9] == row[15] == row[16] == -57  # one voxel lies deeper than the border
    assert row[17] == 0
    assert row[18:] == pytest.approx([np.log(27), 100])


def test_a_crop_without_a_lesion(tmp_path: Path) -> None:
    assert features_of(case_of(tmp_path, np.zeros((2, 3, 4)), np.full((2, 3, 4), 4))) is None
