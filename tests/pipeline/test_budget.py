"""Budgets: the most accurate effort that fits, said aloud where it is less than was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.errors import MemoryLimitError, RequestError
from ctcore.inference.backends.choose import Execution
from ctcore.inference.effort import SLAB_VOXELS, Effort
from ctcore.volume import Geometry
from pipeline import budget
from pipeline.budget import Budget, Choice
from pipeline.bundle import Bundle
from pipeline.efforts import MeasuredEffort, within
from pipeline.memory import GIB, peak, resident
from pipeline.outputs import OutputFolder
from pipeline.records import RunOptions
from pipeline.run import check_options, run_cohort
from pipeline.stages import Stages
from tests.pipeline.conftest import FakeLocalizer, FakePredictor

GEOMETRY = Geometry((10, 20, 20), (1.0, 1.0, 1.0))
PANCREAS = np.ones((10, 20, 20), np.uint8)


@dataclass
class Costly(FakePredictor):
    """Ten windows of the exact grid or two guided ones, mirrored along one axis; a second each; memory as told."""

    effort: Effort = field(default_factory=lambda: Effort(5, True, "exact"))
    bytes_of: Callable[[Effort], int] = lambda effort: 0

    def calls(self, geometry: Geometry, pancreas: npt.NDArray[Any], effort: Effort, /) -> int:
        windows = 2 if effort.windows == "guided" and pancreas.any() else 10
        return effort.folds * (2 if effort.tta else 1) * windows

    def memory(self, geometry: Geometry, pancreas: npt.NDArray[Any], effort: Effort, apart: bool, /) -> int:
        return self.bytes_of(effort) * (2 if apart else 1)

    def warm_up(self) -> float:
        return 1.0


def row(folds: int, tta: bool, windows: Any, loss: float) -> MeasuredEffort:
    return MeasuredEffort(
        folds=folds,
        tta=tta,
        windows=windows,
        relative_cost=0.5,
        seconds_per_case=1.0,
        auroc_loss=loss,
        ap_loss=loss,
        measured_on="ten",
    )


TABLE = (
    row(1, False, "guided", 0.03),
    row(5, False, "guided", 0.01),
    row(5, True, "exact", 0.0),
    row(3, True, "guided", 0.02),
)


def chosen(seconds: float | None, predictor: Costly | None = None, spent: float = 0.0) -> Choice:
    predictor = predictor or Costly()
    limit = Budget(seconds, None, TABLE, apart=False)
    limit.prepare(predictor)
    return limit(predictor, GEOMETRY, PANCREAS, spent)


@pytest.mark.parametrize(
    ("seconds", "folds", "flags"),
    [
        (None, 5, ()),
        (118, 5, ()),  # 100 calls of 1 s, 1.15 times, and 2 s
        (116, 5, ("effort_limited",)),  # without mirrors, guided: 10 calls
        (13.5, 5, ("effort_limited",)),
        (13.4, 1, ("effort_limited",)),  # three folds with mirrors are 12 calls: more than five without
        (4.3, 1, ("effort_limited",)),
        (4.2, 1, ("effort_limited", "over_time")),
    ],
)
def test_the_most_accurate_that_fits(seconds: float | None, folds: int, flags: tuple[str, ...]) -> None:
    choice = chosen(seconds)
    assert choice.effort.folds == folds
    assert choice.flags == flags
    assert choice.measured is not None
    assert choice.measured.folds == folds


def test_what_is_spent_counts() -> None:
    assert chosen(118).flags == ()
    assert chosen(118, spent=2.0).flags == ("effort_limited",)


def test_nothing_beyond_the_options_is_chosen() -> None:
    choice = chosen(1e9, Costly(effort=Effort(3, False, "guided")))
    assert (choice.effort, choice.flags, choice.measured) == (Effort(3, False, "guided"), (), None)
    assert chosen(5, Costly(effort=Effort(3, False, "guided"))).effort == Effort(1, False, "guided")
    assert not within(Effort(1, True, "guided"), Effort(5, False, "exact"))
    assert not within(Effort(1, False, "exact"), Effort(5, True, "guided"))


def test_times_are_learned() -> None:
    predictor, limit = Costly(), Budget(118, None, TABLE, apart=False)
    limit.prepare(predictor)
    limit.learn(
        100, {"read": 9.0, "locate": 9.0, "predict": 90.0, "detect": 2.0, "measure": 0.5, "write": 0.5, "report": 0.1}
    )
    assert limit(predictor, GEOMETRY, PANCREAS, 0.0).flags == ("effort_limited",)  # the rest takes 3.1 s
    for _ in range(budget.REMEMBERED_CASES):
        limit.learn(100, {"predict": 90.0, "detect": 0.5})
    assert limit(predictor, GEOMETRY, PANCREAS, 0.0).flags == ()
    limit.learn(100, {"predict": 200.0})
    assert limit(predictor, GEOMETRY, PANCREAS, 0.0).flags == ("effort_limited",)


def test_time_needs_a_table(bundle: Bundle) -> None:
    with pytest.raises(RequestError, match="measure it with 'pipeline bundle measure-efforts'"):
        check_options(RunOptions(max_seconds=10.0), bundle)


def ram_budget(extra: int, apart: bool = False) -> Budget:
    limit = resident() + budget.RESERVE_BYTES + (peak() - resident()) + extra
    made = Budget(None, limit, (), apart=apart)
    made.prepare(Costly())
    return made


def test_memory_takes_thinner_slabs_then_guided_windows() -> None:
    room = GIB
    for needs, windows, slabs in (
        (lambda e: room // 2, "exact", 1),
        (lambda e: room // 2 + 2400 * e.slab_voxels, "exact", 4),
        (lambda e: (3 if e.windows == "exact" else 1) * room // 2, "guided", 1),
    ):
        predictor = Costly(bytes_of=needs)
        choice = ram_budget(room)(predictor, GEOMETRY, PANCREAS, 0.0)
        assert choice.effort == Effort(5, True, windows, SLAB_VOXELS // slabs)  # type: ignore[arg-type]
        assert choice.flags == (("effort_limited",) if windows == "guided" else ())


def test_a_case_that_does_not_fit_is_refused() -> None:
    with pytest.raises(MemoryLimitError, match=r"an ROI of \(10, 20, 20\) voxels needs .* GiB, --max-ram allows"):
        ram_budget(GIB)(Costly(bytes_of=lambda e: 2 * GIB), GEOMETRY, PANCREAS, 0.0)
    with pytest.raises(MemoryLimitError):  # each fold apart: twice as much
        ram_budget(GIB, apart=True)(Costly(bytes_of=lambda e: 3 * GIB // 4), GEOMETRY, PANCREAS, 0.0)


def test_what_measuring_takes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("resident", "peak"):
        monkeypatch.setattr(budget, name, lambda: 1000)
    voxels, fine = 100 * 200 * 200, Geometry((100, 200, 200), (0.75, 0.75, 1.5))
    needs = budget.RESERVE_BYTES + 1000 + voxels * (budget.AFTER_BYTES + 24) + voxels // 4 * 100
    for limit, fits in ((needs, True), (needs - 1, False)):
        made = Budget(None, limit, (), apart=False)
        made.prepare(Costly())
        if fits:
            assert made(Costly(), fine, PANCREAS, 0.0).effort == Effort(5, True, "exact")
        else:
            with pytest.raises(MemoryLimitError):
                made(Costly(), fine, PANCREAS, 0.0)


def test_networks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(RequestError, match=r"the networks alone need .* --max-ram allows 0\.00 GiB"):
        Budget(None, 1000, (), apart=False).prepare(Costly())


def test_a_run_within_its_budget(
    tmp_path: Path, cohort: Path, make_bundle: Callable[..., Bundle], execution: Execution
) -> None:
    stages = Stages(FakeLocalizer(), Costly())
    options = RunOptions(max_seconds=5.0, max_ram=peak() + GIB, report=False)
    made = make_bundle(efforts=TABLE)
    summary = run_cohort(cohort, OutputFolder(tmp_path / "out"), made, execution, options, load=lambda: stages)
    for record in summary.records:
        assert record.status == "done"
        assert "effort_limited" in record.flags
        assert record.effort is not None
        assert record.effort.model_dump() == {
            "folds": 1,
            "folds_at_most": 5,
            "tta": False,
            "windows": "guided",
            "calls": 2,
            "auroc_loss": 0.03,
            "ap_loss": 0.03,
            "measured_on": "ten",
        }


def test_a_ct_too_large_is_refused_before_it_is_read(
    tmp_path: Path, cohort: Path, bundle: Bundle, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = Stages(FakeLocalizer(), Costly())
    monkeypatch.setattr("pipeline.memory.MASK_BYTES", GIB)
    monkeypatch.setattr("ctcore.cts.read_ct", None)
    options = RunOptions(max_ram=peak() + GIB, report=False)
    summary = run_cohort(cohort, OutputFolder(tmp_path / "out"), bundle, execution, options, load=lambda: stages)
    assert all("'ill_0000.nii.gz' of 24 x 20 x 12 voxels may need" in str(r.error) for r in summary.records[:1])
    assert len(summary.failed) == 2
