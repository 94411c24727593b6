"""The table of efforts: measured by running them, kept in a new bundle, used by a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.errors import DatasetError
from ctcore.files import read_ct, write
from ctcore.inference.backends.choose import Execution
from ctcore.inference.effort import Effort
from ctcore.volume import Volume
from pipeline.bundle import Bundle, load_bundle
from pipeline.create_bundle import remade
from pipeline.measure_efforts import efforts_below, measure_efforts
from pipeline.stages import Stages
from tests.pipeline.conftest import LESION, LESION_HU, FakeFolds, FakeLocalizer, FakePrediction, OneFold


@dataclass
class Tired(OneFold):
    """Three folds: all of them together see the lesion, fewer see what is no lesion as well, one sees nothing."""

    labels: ClassVar[dict[str, int]] = {"background": 0, "lesion": LESION, "pancreas": 4}
    lesion_label: ClassVar[int] = LESION
    effort: Effort = field(default_factory=lambda: Effort(3, False, "exact"))
    seen: list[Effort] = field(default_factory=list)

    def begin(self, roi: Volume, pancreas: npt.NDArray[Any], effort: Effort, /) -> FakeFolds:
        self.seen.append(effort)
        lesion = roi.array >= LESION_HU
        other = pancreas.astype(bool) & ~lesion & (np.arange(lesion.shape[2]) > 10)
        probability = np.where(lesion, np.float32(0.6), np.float32(0)) * (effort.folds > 1)
        if effort.folds == 2:
            probability = np.where(other, np.float32(0.9), probability)
        p = 0.5 if effort.folds == 1 else 0.9 if lesion.any() else 0.1

        def fold() -> FakePrediction:
            return FakePrediction(
                probability.astype(np.float32), lesion.astype(np.uint8), {"non-PDAC": 1 - p, "PDAC": p}
            )

        return FakeFolds([fold for _ in range(effort.folds)])


def tired() -> Stages:
    return Stages(FakeLocalizer(), Tired())


@pytest.fixture
def validation(tmp_path: Path, cohort: Path) -> tuple[Path, Path, Path]:
    """CTs, their table of classes and their label maps."""
    labels = tmp_path / "labels"
    labels.mkdir()
    for case in ("ill", "well"):
        ct = read_ct(cohort / f"{case}_0000.nii.gz")
        write(ct.with_array((ct.array >= LESION_HU).astype(np.uint8)), labels / f"{case}.nii.gz")
    table = tmp_path / "case_labels.csv"
    table.write_text("case_id,class_name\nill,PDAC\nwell,non-PDAC\n")
    return cohort, table, labels


def test_the_efforts_that_are_measured() -> None:
    full = Effort(5, True, "exact")
    efforts = efforts_below(full)
    assert efforts[0] == full
    assert len(set(efforts)) == len(efforts) == 12
    assert {effort.folds for effort in efforts} == {1, 3, 5}
    assert efforts_below(Effort(1, False, "exact")) == [Effort(1, False, "exact"), Effort(1, False, "guided")]


def test_losses_are_against_the_full_effort(
    tmp_path: Path, bundle: Bundle, execution: Execution, validation: tuple[Path, Path, Path]
) -> None:
    predictor = Tired()
    progress: list[tuple[int, int]] = []
    made = measure_efforts(
        bundle,
        *validation,
        tmp_path / "new",
        execution,
        measured_on="two",
        load=lambda: Stages(FakeLocalizer(), predictor),
        progress=lambda done, total: progress.append((done, total)),
    )
    table = {(row.folds, row.windows): row for row in made.manifest.efforts}
    assert len(table) == 6
    assert len(predictor.seen) == 12
    full = table[3, "exact"]
    assert (full.auroc_loss, full.ap_loss, full.relative_cost) == (0, 0, 1)
    assert table[2, "exact"].auroc_loss == 0
    assert table[2, "exact"].ap_loss > 0.3
    assert table[1, "guided"].auroc_loss == pytest.approx(0.5)
    assert table[1, "guided"].ap_loss == pytest.approx(1.0)
    assert full.measured_on == "two"
    assert progress == [(k, 6) for k in range(6)]
    assert load_bundle(tmp_path / "new").manifest.efforts == made.manifest.efforts
    assert made.manifest.model_copy(update={"efforts": (), "files": {}}) == bundle.manifest.model_copy(
        update={"files": {}}
    )
    assert "| 1 | no | guided |" in (made.folder / "MODEL_CARD.md").read_text()
    assert not list(tmp_path.glob(".efforts-*"))
    again = remade(made, tmp_path / "again", overwrite=False)
    assert again.manifest.efforts == made.manifest.efforts


def test_a_case_that_fails_gives_no_table(
    tmp_path: Path, bundle: Bundle, execution: Execution, validation: tuple[Path, Path, Path]
) -> None:
    (validation[0] / "bad_0000.nii.gz").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"case 'bad' of .* failed .*; leave it out"):
        measure_efforts(bundle, *validation, tmp_path / "new", execution, measured_on="two", load=tired)
    assert not (tmp_path / "new").exists()


def test_cases_of_one_kind_give_no_table(
    tmp_path: Path, bundle: Bundle, execution: Execution, validation: tuple[Path, Path, Path]
) -> None:
    (validation[0] / "well_0000.nii.gz").unlink()
    (validation[2] / "well.nii.gz").unlink()
    validation[1].write_text("case_id,class_name\nill,PDAC\n")
    with pytest.raises(DatasetError, match="needs cases with a lesion and without"):
        measure_efforts(bundle, *validation, tmp_path / "new", execution, measured_on="one", load=tired)
