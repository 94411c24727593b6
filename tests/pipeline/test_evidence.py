"""The evidence in a run: where it lies, its files, what it needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from ctcore.durable import PARTIAL_PREFIX
from ctcore.errors import RequestError
from ctcore.files import read, read_ct
from ctcore.inference.backends.choose import Execution
from ctcore.itk import from_sitk
from ctcore.volume import Geometry
from pipeline.api import LoadedBundle, run_case
from pipeline.bundle import Bundle
from pipeline.case import process_case
from pipeline.clock import Clock
from pipeline.evidence import Places, explained_class, weigh
from pipeline.merge import merge
from pipeline.outputs import OutputFolder
from pipeline.records import CaseRecord, RunOptions
from pipeline.run import RunSummary, run_cohort
from pipeline.shards import Shard
from pipeline.stages import Stages
from tests.pipeline.conftest import FakeFolds, FakeLocalizer, FakePredictor

GEOMETRY = Geometry((1, 2, 4), (10.0, 10.0, 10.0), (5.0, 0.0, 0.0))
"""Voxels of 1 ml."""


def places(candidate: list[int], pancreas: list[int]) -> Places:
    """A candidate and a pancreas, each by the indices of its voxels."""
    labels, mask = np.zeros(8, np.int32), np.zeros(8, bool)
    labels[candidate], mask[pancreas] = 1, True
    labels[7] = 2  # a less confident candidate
    return Places(labels.reshape(1, 2, 4), mask.reshape(1, 2, 4), GEOMETRY)


def test_shares_by_hand() -> None:
    density = np.array([4, 0, -3, 1, 1, 0, -1, 2], np.float32).reshape(1, 2, 4)
    evidence = weigh(density, "PDAC", places([0, 1], [1, 2, 3]))
    np.testing.assert_array_equal(evidence.map.ravel(), [1, 0, 0, 0.25, 0.25, 0, 0, 0.5])
    record = evidence.record
    assert (record.class_name, record.supporting, record.opposing, record.scale) == ("PDAC", 8, 4, 4)
    assert (record.candidate_share, record.pancreas_share, record.elsewhere_share) == (0.5, 0.125, 0.375)
    assert (record.candidate_volume_share, record.pancreas_volume_share) == (0.25, 0.25)
    assert record.peak_lps_mm == (5.0, 0.0, 0.0)
    assert weigh(density[:, ::-1, ::-1], "PDAC", places([], [])).record.peak_lps_mm == (35.0, 10.0, 0.0)


def test_nothing_speaks_for_it() -> None:
    evidence = weigh(np.full((1, 2, 4), -0.5, np.float32), "PDAC", places([0], [1]))
    assert not evidence.map.any()
    record = evidence.record
    assert (record.supporting, record.opposing, record.scale, record.peak_lps_mm) == (0, 4, 0, None)
    assert (record.candidate_share, record.pancreas_share, record.elsewhere_share) == (None, None, None)


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValidationError):
        weigh(np.full((1, 2, 4), np.nan, np.float32), "PDAC", places([0], [1]))


def test_the_most_probable_lesion_is_explained() -> None:
    assert explained_class({"normal": 0.9, "PDAC": 0.04, "cyst": 0.06}, ("PDAC", "cyst")) == "cyst"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Where the runs of a test write."""
    return tmp_path / "out"


Run = Callable[..., RunSummary]


@pytest.fixture
def run(output: Path, cohort: Path, bundle: Bundle, execution: Execution, stages: Stages) -> Run:
    """Returns a function that runs the cohort; keywords are options, a folder, a bundle or a shard."""

    def runner(**settings: Any) -> RunSummary:
        options = RunOptions(**{k: v for k, v in settings.items() if k in RunOptions.model_fields})
        folder = OutputFolder(settings.get("folder", output), options.format)
        chosen, shard = settings.get("bundle", bundle), settings.get("shard")
        return run_cohort(cohort, folder, chosen, execution, options, load=lambda: stages, shard=shard)

    return runner


@pytest.mark.parametrize("orientation", ["LPS", "PIR"])
@pytest.mark.parametrize("stored", [False, True])
def test_the_map_lies_on_the_cts_grid(
    tmp_path: Path, make_ct: Callable[..., Path], make_bundle: Callable[..., Bundle], orientation: str, stored: bool
) -> None:
    ct = read_ct(make_ct(tmp_path / "case.nii.gz", orientation=orientation))
    bundle = make_bundle(orientation="as-stored" if stored else "LPS")
    clock = Clock()
    result = process_case(ct, Stages(FakeLocalizer(), FakePredictor()), bundle, clock, evidence=True)
    inset = result.evidence_inset()
    assert inset is not None
    whole = inset.whole()
    assert whole.geometry == ct.geometry
    assert whole.array.dtype == np.float32
    np.testing.assert_array_equal(whole.array, np.where(ct.array == 200, np.float32(1), 0))
    record = result.record_fields()["evidence"]
    assert (record.candidate_share, record.scale) == (1.0, 0.5)
    z, y, x = np.rint(ct.geometry.physical_to_index(record.peak_lps_mm)).astype(int)
    assert ct.array[z, y, x] == 200
    assert list(clock.seconds) == ["locate", "predict", "detect", "measure", "explain"]


def test_files_of_a_run(run: Run, output: Path) -> None:
    run(evidence=True)
    maps = {path.name for path in (output / "evidence").iterdir()}
    assert maps == {"ill.nii.gz", "well.nii.gz"}
    assert read(output / "evidence" / "ill.nii.gz").array.max() == 1
    assert not read(output / "evidence" / "well.nii.gz").array.any()
    assert {path.name for path in (output / "report" / "evidence").iterdir()} == {"ill.png", "well.png"}
    record = json.loads((output / "cases" / "ill.json").read_text())
    assert record["evidence"]["class_name"] == "PDAC"
    assert record["made_with"]["evidence"] is True
    assert record["seconds"]["explain"] >= 0
    assert json.loads((output / "run.json").read_text())["options"]["evidence"] is True


def test_finished_cases_are_kept_with_their_evidence_alone(run: Run, output: Path) -> None:
    run(report=False)
    assert run(evidence=True).reused == frozenset()  # what was made without it is made again
    assert run(evidence=True).reused == {"ill", "well"}
    (output / "evidence" / "ill.nii.gz").unlink()
    assert run(evidence=True, report=False).reused == {"well"}
    run(evidence=True, report=False, format="mha")
    assert {path.name for path in (output / "evidence").iterdir()} == {"ill.mha", "well.mha"}
    run(report=False)
    assert list((output / "evidence").iterdir()) == []
    assert list((output / "report" / "evidence").iterdir()) == []


def test_what_a_killed_writer_left_is_removed(run: Run, output: Path) -> None:
    run(evidence=True, report=False)
    (output / "report" / "evidence").mkdir(parents=True)
    halves = [output / folder / f"{PARTIAL_PREFIX}ill" for folder in ("evidence", "report/evidence")]
    for half in halves:
        half.write_bytes(b"half")
    OutputFolder(output).remove_partials()
    assert not any(half.exists() for half in halves)


def test_evidence_that_fails_costs_the_evidence(
    run: Run, output: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> Any:
        raise MemoryError("too many gradients")

    monkeypatch.setattr(FakeFolds, "evidence", broken)
    summary = run(evidence=True)
    assert [(record.status, record.evidence) for record in summary.records] == [("done", None)] * 2
    assert all("no_evidence" in record.flags for record in summary.records)
    assert "case 'ill' could not be explained" in caplog.text
    assert not (output / "evidence").exists()
    assert "The evidence could not be computed." in (output / "report" / "cases" / "ill.html").read_text()
    assert run(evidence=True).reused == {"ill", "well"}


@pytest.mark.parametrize("limit", [{"max_ram": 1 << 40}, {"max_seconds": 9.0}])
def test_limits_do_not_count_it(run: Run, limit: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=r"--evidence takes time and memory that --max-(ram|seconds) does not count"):
        run(evidence=True, **limit)


def test_without_a_classifier_there_is_none(run: Run, bundle: Bundle) -> None:
    headless = replace(bundle, manifest=bundle.manifest.model_copy(update={"classifier": False}))
    with pytest.raises(RequestError, match="has no classifier, whose evidence --evidence maps; leave --evidence out"):
        run(evidence=True, bundle=headless)


def test_shards_take_it_along(run: Run, tmp_path: Path) -> None:
    parts = [tmp_path / "1", tmp_path / "2"]
    for number, folder in enumerate(parts, start=1):
        run(evidence=True, folder=folder, shard=Shard(number, 2))
    merge(parts, tmp_path / "both")
    assert {path.name for path in (tmp_path / "both" / "evidence").iterdir()} == {"ill.nii.gz", "well.nii.gz"}
    assert {path.name for path in (tmp_path / "both" / "report" / "evidence").iterdir()} == {"ill.png", "well.png"}


def test_folds_are_kept_where_there_are_several(tmp_path: Path, make_ct: Callable[..., Path], bundle: Bundle) -> None:
    two = ({"non-PDAC": 0.4, "PDAC": 0.6}, {"non-PDAC": 0.2, "PDAC": 0.8})

    class Several(FakePredictor):
        def predict(self, roi: Any, /) -> Any:
            return replace(super().predict(roi), fold_probabilities=self.folds)

        folds: tuple[dict[str, float], ...] = two

    ct, predictor = read_ct(make_ct(tmp_path / "case.nii.gz")), Several()
    assert process_case(ct, Stages(FakeLocalizer(), predictor), bundle, Clock()).record_fields()["fold_classes"] == two
    predictor.folds = two[:1]
    fields = process_case(ct, Stages(FakeLocalizer(), predictor), bundle, Clock()).record_fields()
    assert fields["fold_classes"] == ()


def test_a_record_of_an_earlier_version_is_read() -> None:
    record = CaseRecord.model_validate({"case_id": "a", "image": "a.nii.gz", "status": "done"})
    assert (record.evidence, record.fold_classes) == (None, ())


def test_from_python(tmp_path: Path, make_ct: Callable[..., Path], bundle: Bundle, execution: Execution) -> None:
    path, stages = make_ct(tmp_path / "case.nii.gz"), Stages(FakeLocalizer(), FakePredictor())
    output = run_case(path, LoadedBundle(bundle, stages, execution, evidence=True))
    assert output.evidence is not None
    np.testing.assert_array_equal(from_sitk(output.evidence).array == 1, read_ct(path).array == 200)
    assert run_case(path, LoadedBundle(bundle, stages, execution)).evidence is None
