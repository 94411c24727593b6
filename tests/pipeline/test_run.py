"""A cohort: complete outputs, kept cases, bad cases among good ones, interruptions."""

from __future__ import annotations

import csv
import gzip
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from ctcore.errors import BundleError, RequestError
from ctcore.files import read, read_ct
from ctcore.inference.backends.choose import Execution
from ctcore.volume import Volume
from pipeline.bundle import Bundle
from pipeline.case import CaseResult
from pipeline.observer import SilentObserver
from pipeline.outputs import OutputFolder
from pipeline.records import RunOptions
from pipeline.run import RunSummary, run_cohort
from pipeline.stages import Stages
from tests.pipeline.conftest import FakeLocalizer, FakePrediction, FakePredictor, OneFold

Runner = Callable[..., RunSummary]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Where the runs of a test write."""
    return tmp_path / "out"


@pytest.fixture
def run(output: Path, bundle: Bundle, execution: Execution, stages: Stages) -> Runner:
    """Returns a function that runs a folder; keywords are options, a bundle, an observer or a loader."""

    def runner(input_path: Path, **settings: Any) -> RunSummary:
        options = RunOptions(**{k: v for k, v in settings.items() if k in RunOptions.model_fields})
        return run_cohort(
            input_path,
            OutputFolder(output, options.format),
            settings.get("bundle", bundle),
            execution,
            options,
            load=settings.get("load", lambda: stages),
            observer=settings.get("observer"),
        )

    return runner


def files_below(folder: Path) -> set[str]:
    """Returns every file, relative to the folder."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def must_not_load() -> Stages:
    """A loader for runs that need no model."""
    raise AssertionError("models were loaded although every case is finished")


def test_everything_is_left_behind(run: Runner, cohort: Path, output: Path) -> None:
    summary = run(cohort)
    assert files_below(output) == {
        "run.json",
        "results.csv",
        "measurements.csv",
        *(f"cases/{c}.json" for c in ("ill", "well")),
        *(f"{folder}/{c}.nii.gz" for folder in ("detection_maps", "segmentations") for c in ("ill", "well")),
        *(f"segmentations/{name}" for name in ("itk-snap-labels.txt", "slicer-colors.ctbl")),
        "report/index.html",
        *(f"report/cases/{c}.{suffix}" for c in ("ill", "well") for suffix in ("html", "png")),
    }
    assert summary.complete
    assert not summary.failed

    case = json.loads((output / "cases" / "ill.json").read_text())
    assert case["schema_version"] == 1
    assert (case["case_id"], case["status"], case["error"]) == ("ill", "done", None)
    assert case["score"] == pytest.approx(0.825)
    assert case["classes"] == pytest.approx({"non-PDAC": 0.1, "PDAC": 0.9})
    assert case["fusion"]["rule"] == "mean"
    assert case["roi"] == {"start": [2, 4, 3], "stop": [10, 13, 18], "source": "localizer"}
    assert set(case["seconds"]) == {"read", "locate", "predict", "detect", "measure", "write", "report"}
    assert case["notice"] is None
    assert case["flags"] == []

    (lesion,) = case["measurements"]["lesions"]
    assert lesion["volume_ml"] == pytest.approx(3 * 4 * 4 * 0.7 * 0.9 * 2.5 / 1000)
    assert lesion["candidate"] == 1
    assert json.loads((output / "cases" / "well.json").read_text())["measurements"]["lesions"] == []

    run_record = json.loads((output / "run.json").read_text())
    assert run_record["complete"]
    assert {c["case_id"]: c["status"] for c in run_record["cases"]} == {"ill": "done", "well": "done"}
    assert run_record["execution"] == {"device": "cpu", "backend": "torch", "precision": "fp32", "threads": None}
    assert {"python", "torch", "nnunetv2", "openvino", "SimpleITK", "numpy"} <= set(run_record["versions"])
    assert run_record["phase_seconds"]["predict"] >= 0

    rows = list(csv.DictReader((output / "results.csv").open()))
    assert [row["case_id"] for row in rows] == ["ill", "well"]
    assert float(rows[0]["score"]) == case["score"]
    assert rows[0]["n_candidates"] == "1"
    assert rows[1]["n_candidates"] == "0"
    measured = list(csv.DictReader((output / "measurements.csv").open()))
    assert [(row["case_id"], row["n_lesions"]) for row in measured] == [("ill", "1"), ("well", "0")]
    assert float(measured[0]["main_lesion_diameter_mm"]) == lesion["diameter_mm"]


@pytest.mark.parametrize("suffix", ["nii.gz", "mha"])
@pytest.mark.parametrize("orientation", ["LPS", "RAS", "LAI"])
def test_geometry_is_bit_equal(
    run: Runner, tmp_path: Path, output: Path, make_ct: Callable[..., Path], orientation: str, suffix: str
) -> None:
    ct = make_ct(tmp_path / f"case.{suffix}", orientation=orientation)
    run(ct, format=suffix, report=False)
    stored = read(ct)
    for folder in ("detection_maps", "segmentations"):
        written = output / folder / f"case.{suffix}"
        assert read(written).geometry == stored.geometry
        if suffix == "nii.gz":
            assert nifti_grid(written) == nifti_grid(ct)
    np.testing.assert_array_equal(read(output / "segmentations" / f"case.{suffix}").array == 1, stored.array == 200)


def nifti_grid(path: Path) -> tuple[bytes, ...]:
    """Returns the header bytes of sizes, voxel sizes, and quaternion and affine transforms (NIfTI-1 header layout)."""
    header = gzip.decompress(path.read_bytes())[:348]
    return header[40:56], header[76:92], header[252:328]


def test_finished_cases_are_kept(run: Runner, cohort: Path, output: Path, make_ct: Callable[..., Path]) -> None:
    run(cohort)
    before = {p: p.stat().st_mtime_ns for p in (output / "detection_maps").iterdir()}
    summary = run(cohort, load=must_not_load)
    assert summary.reused == {"ill", "well"}
    assert {p: p.stat().st_mtime_ns for p in (output / "detection_maps").iterdir()} == before
    assert [c["reused"] for c in json.loads((output / "run.json").read_text())["cases"]] == [True, True]
    assert len((output / "results.csv").read_text().splitlines()) == 3

    make_ct(cohort / "new.mha")
    assert run(cohort).reused == {"ill", "well"}


def test_overwrite_and_other_options_compute_again(
    run: Runner, cohort: Path, output: Path, stages: Stages, make_ct: Callable[..., Path]
) -> None:
    run(cohort)
    assert run(cohort, overwrite=True).reused == frozenset()
    assert run(cohort, tta=True).reused == frozenset()
    assert run(cohort, tta=True, windows="exact").reused == frozenset()
    assert run(cohort, tta=True, format="mha").reused == frozenset()
    assert not list((output / "detection_maps").glob("*.nii.gz"))
    make_ct(cohort / "ill_0000.nii.gz", lesion=False)
    assert run(cohort, tta=True, format="mha").reused == {"well"}
    assert stages.predictor.predicted == 11  # type: ignore[attr-defined]


def test_a_cohort_can_grow_in_one_output(run: Runner, cohort: Path, output: Path) -> None:
    run(cohort / "ill_0000.nii.gz")
    assert run(cohort / "well_0000.nii.gz").reused == frozenset()
    assert [row["case_id"] for row in csv.DictReader((output / "results.csv").open())] == ["ill", "well"]
    cases = json.loads((output / "run.json").read_text())["cases"]
    assert [(c["case_id"], c["reused"]) for c in cases] == [("ill", True), ("well", False)]
    run(cohort / "well_0000.nii.gz", tta=True)  # results of different options never share a table
    assert [row["case_id"] for row in csv.DictReader((output / "results.csv").open())] == ["well"]


def test_segmentations_are_left_out_where_none_are_wanted(run: Runner, cohort: Path, output: Path) -> None:
    run(cohort)
    labelled = json.loads((output / "cases" / "ill.json").read_text())
    assert run(cohort, segmentations=False).reused == frozenset()
    assert not list((output / "segmentations").iterdir())
    case = json.loads((output / "cases" / "ill.json").read_text())
    assert (case["score"], case["segmentation_labels"], case["measurements"]) == (labelled["score"], {}, None)
    assert [flag for flag in case["flags"] if "measure" in flag] == []
    assert run(cohort, segmentations=False, load=must_not_load).reused == {"ill", "well"}


def test_lost_map_is_made_again(run: Runner, cohort: Path, output: Path) -> None:
    run(cohort)
    (output / "segmentations" / "ill.nii.gz").unlink()
    assert run(cohort).reused == {"well"}
    assert (output / "segmentations" / "ill.nii.gz").is_file()


def spoil(folder: Path, good: Path) -> dict[str, str]:
    """Puts every kind of unusable file into a folder; returns a part of the reason by case id."""
    (folder / "truncated.nii.gz").write_bytes(good.read_bytes()[:-200])
    (folder / "empty.nii.gz").write_bytes(b"")
    (folder / "text.nii").write_text("not an image")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((8, 9), np.int16)), str(folder / "flat.mha"))
    stacked: Any = sitk.JoinSeries([sitk.GetImageFromArray(np.zeros((4, 5, 6), np.int16))] * 2)
    sitk.WriteImage(stacked, str(folder / "series.nii.gz"))
    values = np.arange(120, dtype=np.float32).reshape(4, 5, 6)
    values[1, 2, 3] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(values), str(folder / "nan.mha"))
    (folder / "folder.nii.gz").mkdir()
    (folder / "notes.txt").write_text("beside the images")
    (folder / "clinical-information.json").write_text("{}")
    return {
        "truncated": "'truncated.nii.gz' cannot be read",
        "empty": "'empty.nii.gz' cannot be read",
        "text": "'text.nii' cannot be read",
        "flat": "2 dimensions",
        "series": "4 dimensions",
        "nan": "1 NaN or infinite",
        "folder": "'folder.nii.gz' is a folder",
    }


def test_bad_cases_fail_and_good_ones_go_on(run: Runner, cohort: Path, output: Path) -> None:
    expected = spoil(cohort, cohort / "ill_0000.nii.gz")
    summary = run(cohort)
    assert {record.case_id for record in summary.failed} == set(expected)
    for case_id, part in expected.items():
        case = json.loads((output / "cases" / f"{case_id}.json").read_text())
        assert case["status"] == "failed"
        assert part in case["error"]
        assert "\n" not in case["error"]
        assert case["score"] is None
    done = {row["case_id"] for row in csv.DictReader((output / "results.csv").open()) if row["status"] == "done"}
    assert done == {"ill", "well"}
    assert {p.name for p in (output / "detection_maps").iterdir()} == {"ill.nii.gz", "well.nii.gz"}
    assert "4 dimensions" in (output / "report" / "index.html").read_text()


def test_unexpected_exception_is_that_case_alone(
    run: Runner, cohort: Path, output: Path, stages: Stages, caplog: pytest.LogCaptureFixture
) -> None:
    run(cohort)
    stages.predictor.failure = ZeroDivisionError("by zero\nand more")  # type: ignore[attr-defined]
    summary = run(cohort, overwrite=True)
    assert [record.error for record in summary.failed] == ["ZeroDivisionError: by zero"] * 2
    assert "case 'ill' failed" in caplog.text
    assert not list((output / "detection_maps").iterdir())  # no map of an earlier run beside a failed status


def test_case_that_cannot_be_written(run: Runner, cohort: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = OutputFolder.write_maps

    def full_disk(self: OutputFolder, case_id: str, result: Any) -> None:
        original(self, case_id, result)
        if case_id == "ill":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(OutputFolder, "write_maps", full_disk)
    summary = run(cohort)
    assert [(r.case_id, r.error) for r in summary.failed] == [("ill", "OSError: [Errno 28] No space left on device")]
    assert files_below(output / "detection_maps") == {"well.nii.gz"}


def test_a_picture_that_cannot_be_drawn_is_flagged(
    run: Runner, cohort: Path, output: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(result: Any, path: Path) -> None:
        raise ValueError("no such colour")

    monkeypatch.setattr("pipeline.report.figure.draw_case", broken)
    summary = run(cohort, report=True)
    assert [record.status for record in summary.records] == ["done", "done"]
    assert all("no_picture" in record.flags for record in summary.records)
    assert "case 'ill' has no picture in the report" in caplog.text
    assert "no_picture" in (output / "results.csv").read_text()


def test_a_case_that_cannot_be_measured_is_flagged(
    run: Runner, cohort: Path, output: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise MemoryError("too many ways")

    monkeypatch.setattr("pipeline.measurements.measure_region", broken)
    summary = run(cohort)
    assert [(record.status, record.measurements) for record in summary.records] == [("done", None)] * 2
    assert all("no_measurements" in record.flags for record in summary.records)
    assert "case 'ill' could not be measured" in caplog.text
    assert "too many ways" in caplog.text
    assert "could not be measured" in (output / "report" / "index.html").read_text()
    assert [row["n_lesions"] for row in csv.DictReader((output / "measurements.csv").open())] == ["", ""]


def test_no_table_of_measurements_outlives_a_case_that_changes(
    run: Runner, cohort: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(cohort)
    assert (output / "measurements.csv").is_file()
    gone: list[bool] = []
    original = OutputFolder.clear_case

    def clear_case(self: OutputFolder, case_id: str) -> None:
        gone.append(not (output / "measurements.csv").exists())
        original(self, case_id)

    monkeypatch.setattr(OutputFolder, "clear_case", clear_case)
    run(cohort, overwrite=True)
    assert gone == [True, True]
    assert (output / "measurements.csv").is_file()


class Interrupting(SilentObserver):
    """Presses Ctrl-C when a case enters a phase."""

    def __init__(self, case_id: str, phase: str) -> None:
        self._at = (case_id, phase)

    def phase(self, case_id: str, phase: str) -> None:
        """Interrupts."""
        if (case_id, phase) == self._at:
            raise KeyboardInterrupt


def test_interruption_leaves_whole_files_and_can_be_resumed(run: Runner, cohort: Path, output: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(cohort, observer=Interrupting("well", "predict"))
    assert {p for p in files_below(output) if "well" in p or "partial" in p} == set()
    assert json.loads((output / "run.json").read_text())["complete"] is False
    assert len((output / "results.csv").read_text().splitlines()) == 2
    summary = run(cohort)
    assert summary.complete
    assert summary.reused == {"ill"}


def test_models_are_loaded_once(run: Runner, cohort: Path, stages: Stages) -> None:
    loads: list[int] = []

    def load() -> Stages:
        loads.append(1)
        return stages

    run(cohort, load=load)
    assert loads == [1]


def test_next_ct_is_read_while_one_is_computed(
    run: Runner, cohort: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading_well, original = threading.Event(), read_ct

    def watched(path: Path) -> Any:
        if path.name.startswith("well"):
            reading_well.set()
        return original(path)

    class Waiting(OneFold):
        labels, lesion_label = stages.predictor.labels, stages.predictor.lesion_label

        def predict(self, roi: Any, /) -> Any:
            assert reading_well.wait(timeout=10), "the next CT is not read before this one is done"
            return stages.predictor.predict(roi)  # type: ignore[attr-defined]

    monkeypatch.setattr("ctcore.cts.read_ct", watched)
    assert not run(cohort, load=lambda: Stages(stages.localizer, Waiting())).failed


def test_failing_loader_ends_the_run_and_keeps_earlier_tables(run: Runner, cohort: Path, output: Path) -> None:
    run(cohort)
    before = (output / "results.csv").read_text()

    def broken() -> Stages:
        raise BundleError("'fold_0.safetensors' does not fit its model")

    with pytest.raises(BundleError):
        run(cohort, overwrite=True, load=broken)
    assert (output / "results.csv").read_text() == before


def test_demo_model_is_named_everywhere(
    run: Runner, cohort: Path, output: Path, make_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    (tmp_path / "exported").rename(tmp_path / "exported-before")
    (tmp_path / "bundle").rename(tmp_path / "bundle-before")
    (cohort / "broken.nii").write_text("")
    run(cohort, bundle=make_bundle(demo=True))
    assert "not for clinical use" in json.loads((output / "run.json").read_text())["notice"]
    for case_id in ("ill", "well", "broken"):
        case = json.loads((output / "cases" / f"{case_id}.json").read_text())
        assert "demo_model" in case["flags"]
        assert "not for clinical use" in case["notice"]
    assert all("demo_model" in row["flags"] for row in csv.DictReader((output / "results.csv").open()))
    assert "not for clinical use" in (output / "report" / "index.html").read_text()


def test_input_that_is_the_output_is_refused(run: Runner, cohort: Path, output: Path) -> None:
    run(cohort)
    with pytest.raises(RequestError, match="would write its maps"):
        run(output / "detection_maps")
    assert len(list((output / "detection_maps").iterdir())) == 2


def test_input_without_images(run: Runner, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="does not exist"):
        run(tmp_path / "nowhere")
    (tmp_path / "none").mkdir()
    with pytest.raises(RequestError, match="holds no image"):
        run(tmp_path / "none")


class WaitingPredictor(FakePredictor):
    """Goes on only when the next case has been read and the last one is being written."""

    def __init__(self, events: dict[str, threading.Event]) -> None:
        super().__init__()
        self._events = events

    def predict(self, roi: Volume, /) -> FakePrediction:
        number = self.predicted
        self._events[f"computing {number}"].set()
        if number < 2:
            assert self._events[f"read {number + 1}"].wait(60), "the next case is not read meanwhile"
        if number > 0:
            assert self._events[f"writing {number - 1}"].wait(60), "the last case is not written meanwhile"
        return super().predict(roi)


def test_reading_and_writing_overlap_with_compute(
    run: Runner, tmp_path: Path, make_ct: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every phase waits for what must happen at the same time: in any other order the run fails."""
    for number in range(3):
        make_ct(tmp_path / "cts" / f"{number}.nii.gz")
    events = {f"{what} {number}": threading.Event() for what in ("read", "computing", "writing") for number in range(3)}
    original = OutputFolder.write_maps

    def tell_reading(path: Path) -> Volume:
        events[f"read {path.name[0]}"].set()
        return read_ct(path)

    def wait_in_writing(self: OutputFolder, case_id: str, result: CaseResult) -> None:
        events[f"writing {case_id}"].set()
        if case_id < "2":
            assert events[f"computing {int(case_id) + 1}"].wait(60), "the next case is not computed meanwhile"
        original(self, case_id, result)

    monkeypatch.setattr("ctcore.cts.read_ct", tell_reading)
    monkeypatch.setattr(OutputFolder, "write_maps", wait_in_writing)
    stages = Stages(FakeLocalizer(), WaitingPredictor(events))
    summary = run(tmp_path / "cts", load=lambda: stages, report=False)
    assert [record.error for record in summary.records] == [None] * 3
