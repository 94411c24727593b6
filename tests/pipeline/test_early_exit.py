"""Early exit: the decision of the folds that ran is the decision of all, whatever the others say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.detection.calibration import Calibration, IsotonicCurve, OperatingPoint
from ctcore.errors import RequestError
from ctcore.files import read_ct
from ctcore.inference.backends.choose import Execution
from ctcore.inference.effort import Effort
from ctcore.volume import Volume
from pipeline.bundle import Bundle
from pipeline.calibrate import calibrate_bundle
from pipeline.case import process_case
from pipeline.clock import Clock
from pipeline.early_exit import settled
from pipeline.outputs import OutputFolder
from pipeline.records import RunOptions
from pipeline.run import run_cohort
from pipeline.stages import Stages
from tests.pipeline.conftest import LESION, LESION_HU, FakeFolds, FakeLocalizer, FakePrediction, OneFold

PROBABILITY = st.floats(0, 1)


@given(st.lists(PROBABILITY, min_size=1, max_size=7), st.lists(PROBABILITY, min_size=1, max_size=3), st.data())
def test_a_settled_decision_is_that_of_all_folds(
    scores: list[float], thresholds: list[float], data: st.DataObject
) -> None:
    ran = data.draw(st.integers(1, len(scores)))
    if settled(scores[:ran], len(scores), thresholds):
        for threshold in thresholds:
            assert (np.mean(scores) >= threshold) == (np.mean(scores[:ran]) >= threshold)


@pytest.mark.parametrize(
    ("scores", "settles"),
    [
        ([0.9], False),  # 0.18 to 0.98
        ([0.9, 0.9], False),  # 0.36 to 0.96
        ([0.9, 0.9, 0.9], True),  # 0.54 and more
        ([0.1, 0.1, 0.1], True),  # at most 0.46
        ([0.2, 0.2, 0.2], False),  # at most 0.52
    ],
)
def test_bounds_by_hand(scores: list[float], settles: bool) -> None:
    assert settled(scores, 5, (0.5,)) is settles
    assert not settled(scores, 5, (0.5, 0.54, 0.46))


def test_no_bound_is_claimed_at_the_threshold_itself() -> None:
    assert not settled([1.0, 0.0], 4, (0.25,))
    assert not settled([0.0, 0.0], 4, (0.5,))


@dataclass
class Folds(OneFold):
    """Five folds, each with its own lesion probability and class probability."""

    lesion: tuple[float, ...]
    classes: tuple[float, ...]
    labels: ClassVar[dict[str, int]] = {"background": 0, "lesion": LESION, "pancreas": 4}
    lesion_label: ClassVar[int] = LESION
    effort: Effort = field(default_factory=lambda: Effort(5, False, "guided"))

    def begin(self, roi: Volume, pancreas: npt.NDArray[Any], effort: Effort, /) -> FakeFolds:
        def fold(k: int) -> Callable[[], FakePrediction]:
            bright = roi.array >= LESION_HU
            probability = np.where(bright, np.float32(self.lesion[k]), np.float32(0))
            p = self.classes[k]
            return lambda: FakePrediction(probability, bright.astype(np.uint8), {"non-PDAC": 1 - p, "PDAC": p})

        return FakeFolds([fold(k) for k in range(effort.folds)])


def calibration(*thresholds: float) -> Calibration:
    points = [
        OperatingPoint(target="sensitivity", value=(k + 1) / 10, threshold=t, sensitivity=0.9, specificity=0.5)
        for k, t in enumerate(thresholds)
    ]
    curve = IsotonicCurve(scores=(0.1, 0.9), probabilities=(0.0, 1.0))
    return Calibration(cases=4, positive=2, fitted_on="four", isotonic=curve, operating_points=tuple(points))


def test_a_case_stops_when_it_is_decided(
    tmp_path: Path, make_ct: Callable[..., Path], make_bundle: Callable[..., Bundle]
) -> None:
    ct = read_ct(make_ct(tmp_path / "case.nii.gz"))
    stages = Stages(FakeLocalizer(), Folds((0.75, 0.75, 0.5, 0.0, 0.0), (0.95, 0.85, 0.5, 0.0, 0.0)))
    made, clock = make_bundle(calibration=calibration(0.3)), Clock()
    result = process_case(ct, stages, made, clock, early_exit=True)
    fields = result.record_fields()
    assert fields["score"] == pytest.approx((0.85 + 0.8) / 2)  # after two folds of five: 0.33 and more
    assert fields["classes"] == pytest.approx({"non-PDAC": 0.1, "PDAC": 0.9})
    assert sum(fields["scores"].values()) == pytest.approx(1)
    assert fields["fusion"].terms["detection_max"] == pytest.approx(0.75)
    assert "early_exit" in fields["flags"]
    assert (fields["effort"].folds, fields["effort"].folds_at_most, fields["effort"].windows) == (2, 5, "guided")
    assert list(fields["operating_points"].values()) == [True]
    assert set(clock.seconds) == {"locate", "predict", "detect", "measure"}


def test_an_undecided_case_runs_all_folds(
    tmp_path: Path, make_ct: Callable[..., Path], make_bundle: Callable[..., Bundle]
) -> None:
    ct = read_ct(make_ct(tmp_path / "case.nii.gz"))
    stages = Stages(FakeLocalizer(), Folds((0.75, 0.75, 0.5, 0.25, 0.25), (0.95, 0.85, 0.5, 0.25, 0.25)))
    result = process_case(ct, stages, make_bundle(calibration=calibration(0.3, 0.53)), Clock(), early_exit=True)
    assert result.fused.score == pytest.approx((0.85 + 0.8 + 0.5 + 0.25 + 0.25) / 5)
    assert "early_exit" not in result.flags
    assert result.effort.folds == 5


def test_without_operating_point_nothing_starts(
    tmp_path: Path, cohort: Path, bundle: Bundle, execution: Execution, stages: Stages
) -> None:
    output = OutputFolder(tmp_path / "out")
    with pytest.raises(RequestError, match="has no operating point, which early exit decides by"):
        run_cohort(cohort, output, bundle, execution, RunOptions(early_exit=True), load=lambda: stages)


def test_early_scores_do_not_calibrate(
    tmp_path: Path, cohort: Path, make_bundle: Callable[..., Bundle], execution: Execution, stages: Stages
) -> None:
    made = make_bundle(calibration=calibration(0.5))
    run_cohort(
        cohort,
        OutputFolder(tmp_path / "out"),
        made,
        execution,
        RunOptions(early_exit=True, report=False),
        load=lambda: stages,
    )
    with pytest.raises(RequestError, match="made with --early-exit"):
        calibrate_bundle(made, tmp_path / "out", tmp_path / "labels.csv", tmp_path / "new", fitted_on="two")
