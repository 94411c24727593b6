"""Runs of DICOM folders: which cases, under which names, kept and failed; the commands."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from ctcore.cts import DicomCase, find_cts, read_case
from ctcore.errors import CaseError, MemoryLimitError, RequestError
from ctcore.files import read, read_ct, write
from ctcore.geometry import to_lps
from ctcore.inference.backends.choose import Execution
from ctcore.json_files import read_json
from ctcore.volume import Geometry, Volume
from pipeline import memory
from pipeline.bundle import Bundle
from pipeline.case import process_case
from pipeline.cli import app
from pipeline.clock import Clock
from pipeline.memory import check_ct
from pipeline.outputs import OutputFolder
from pipeline.records import RunOptions
from pipeline.run import RunSummary, run_cohort
from pipeline.stages import Stages
from tests.ctcore.dicom.series_on_disk import write_series
from tests.pipeline.conftest import ct_array

Runner = Callable[..., RunSummary]
REAL_CT = Path(__file__).parents[2].parent / "shared" / "data" / "real_ct" / "abdomen_0000.nii.gz"


def ct(lesion: bool = True) -> Volume:
    return Volume(ct_array(lesion), Geometry((12, 20, 24), (0.7, 0.9, 2.5), (-31.25, 17.0, -250.5)))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def run(output: Path, bundle: Bundle, execution: Execution, stages: Stages) -> Runner:
    """Returns a function that runs a folder; keywords are options."""

    def runner(source: Path, **settings: Any) -> RunSummary:
        options = RunOptions(report=False, **settings)
        return run_cohort(source, OutputFolder(output), bundle, execution, options, load=lambda: stages)

    return runner


def test_a_folder_of_many_studies(tmp_path: Path, run: Runner, output: Path) -> None:
    source = tmp_path / "in"
    write_series(source / "jane" / "ct", ct(), patient="Jane", study="1")
    write_series(source / "rick" / "ct", ct(lesion=False), patient="Rick", study="2")
    write_series(source / "gaps", ct(), patient="Gaps", study="3", leave_out=(5,))

    def is_mr(dataset: Dataset, index: int) -> None:
        dataset.Modality, dataset.SOPClassUID = "MR", "1.2.840.10008.5.1.4.1.1.4"

    write_series(source / "mr", ct(), patient="Jane", study="1", series="mr", change=is_mr)
    write(ct(), source / "file_0000.nii.gz")
    (source / "broken").write_bytes(bytes(128) + b"DICM")
    summary = run(source)
    by_image = {record.image: record for record in summary.records}
    assert len(by_image) == 4
    assert "file_0000.nii.gz" in by_image
    assert [record.status for record in summary.records].count("done") == 3
    (failed,) = summary.failed
    assert str(failed.error).startswith("1 of 12 slices are missing")
    scores = sorted(record.score for record in summary.records if record.score is not None)
    assert scores == pytest.approx([0.1, 0.825, 0.825])
    table = read_json(output / "run.json")
    assert [(row["verdict"], row["modality"], row["case_id"] is None) for row in table["dicom"]] == [
        *[(row["verdict"], "CT", False) for row in table["dicom"][:3]],
        ("refused", "MR", True),
    ]
    assert sorted(row["verdict"] for row in table["dicom"]) == ["chosen", "chosen", "faulty", "refused"]
    assert len(table["dicom_unreadable"]) == 1
    assert table["dicom_unreadable"][0].startswith("broken: ")


def test_nothing_in_the_output_names_the_patient(tmp_path: Path, run: Runner, output: Path) -> None:
    write_series(tmp_path / "in" / "Mustermann", ct(), patient="Mustermann^Max", study="1")
    write_series(tmp_path / "in" / "Gap", ct(), patient="Mustermann^Max", study="2", leave_out=(3,))
    run(tmp_path / "in", segmentations=False)
    for path in output.rglob("*"):
        assert "Mustermann" not in path.name
        if path.suffix in {".json", ".csv"}:
            assert "Mustermann" not in path.read_text()


def test_the_map_lies_on_the_series_grid(tmp_path: Path, run: Runner, output: Path) -> None:
    write_series(tmp_path / "in", ct())
    (record,) = run(tmp_path / "in").records
    detection = read(output / "detection_maps" / f"{record.case_id}.nii.gz")
    assert detection.geometry.allclose(ct().geometry, 1e-6)
    np.testing.assert_array_equal(detection.array > 0, ct().array == 200)


def test_finished_series_are_kept_until_a_slice_changes(tmp_path: Path, run: Runner) -> None:
    paths = write_series(tmp_path / "in", ct())
    (first,) = run(tmp_path / "in").records
    assert run(tmp_path / "in").reused == {first.case_id}
    paths[3].write_bytes(paths[3].read_bytes() + b"\0\0")
    assert run(tmp_path / "in").reused == frozenset()


def test_an_archive_gives_the_same_as_its_folder(tmp_path: Path, run: Runner) -> None:
    paths = write_series(tmp_path / "in", ct())
    (tmp_path / "zips").mkdir()
    with zipfile.ZipFile(tmp_path / "zips" / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, f"study/{path.name}")
    (one,) = run(tmp_path / "in").records
    (other,) = run(tmp_path / "zips", overwrite=True).records
    (third,) = run(tmp_path / "zips" / "study.zip", overwrite=True).records
    for record in (other, third):
        assert (record.case_id, record.score, record.candidates) == (one.case_id, one.score, one.candidates)


def test_case_ids_of_a_tag(tmp_path: Path, run: Runner, output: Path) -> None:
    write_series(tmp_path / "in", ct())
    (record,) = run(tmp_path / "in", case_id_tag="AccessionNumber").records
    assert record.case_id == "A1"
    assert (output / "detection_maps" / "A1.nii.gz").is_file()


def test_a_name_that_two_cts_have(tmp_path: Path) -> None:
    write_series(tmp_path / "in", ct())
    write(ct(), tmp_path / "in" / "A1.nii.gz")
    (clash,) = find_cts(tmp_path / "in", "AccessionNumber").cases
    with pytest.raises(
        CaseError, match=r"'A1\.nii\.gz' and 'DICOM series \w+' are case 'A1'; rename or remove all but"
    ):
        read_case(clash)
    assert len(find_cts(tmp_path / "in").cases) == 2


@pytest.mark.parametrize("empty", ["nothing", "mr", "broken", "bomb"])
def test_a_folder_without_a_ct(tmp_path: Path, empty: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    reason = "holds no image; expected DICOM series or files ending in"
    if empty == "mr":
        write_series(source, ct(), change=lambda dataset, index: setattr(dataset, "Modality", "MR"))
        reason = r"holds 1 DICOM series, none of them a CT to compute \(modality MR, not CT\)"
    if empty == "broken":
        (source / "a").write_bytes(bytes(128) + b"DICM")
        reason = "holds no readable CT: 'a' ends within its DICOM header"
    if empty == "bomb":
        with zipfile.ZipFile(source / "../bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("zeros", bytes(300 << 20))
        (source / "../bomb.zip").rename(source / "bomb.zip")
        reason = "decompressed: more than any study"
    with pytest.raises(RequestError, match=reason):
        find_cts(source)


def test_memory_is_asked_of_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "in", ct())
    (case,) = find_cts(tmp_path / "in").cases
    monkeypatch.setattr(memory, "resident", lambda: 0)
    needed = (memory.CT_COPIES * memory.DICOM_BYTES + memory.MASK_BYTES) * 12 * 20 * 24
    check_ct(case, needed)
    with pytest.raises(MemoryLimitError, match=r"'DICOM series \w+' of 24 x 20 x 12 voxels"):
        check_ct(case, needed - 1)


# --- DICOM out


def test_dicom_output_of_a_run(tmp_path: Path, run: Runner, output: Path) -> None:
    pytest.importorskip("highdicom", reason="highdicom, of the extra 'dicom', is not installed")
    write_series(tmp_path / "in", ct())
    write(ct(), tmp_path / "in" / "file.nii.gz")
    records = {record.case_id: record for record in run(tmp_path / "in", dicom_output=True).records}
    series = next(name for name in records if name != "file")
    files = [f"dicom/{series}/{name}" for name in ("lesions.dcm", "segmentation.dcm", "report.dcm")]
    assert list(records[series].dicom) == files
    assert all((output / name).is_file() for name in files)
    assert (records["file"].dicom, records["file"].flags) == ((), ("no_dicom_source",))
    assert len(run(tmp_path / "in", dicom_output=True).reused) == 2
    (output / files[0]).unlink()  # what a record speaks of has to be there
    assert run(tmp_path / "in", dicom_output=True).reused == {"file"}
    run(tmp_path / "in")  # without: what lies there is not of this run
    assert not any((output / name).exists() for name in files)


def test_headers_that_break_the_rules_cost_the_dicom_output_alone(tmp_path: Path, run: Runner, output: Path) -> None:
    pytest.importorskip("highdicom", reason="highdicom, of the extra 'dicom', is not installed")
    write_series(tmp_path / "in", ct(), change=lambda dataset, index: delattr(dataset, "FrameOfReferenceUID"))
    (record,) = run(tmp_path / "in", dicom_output=True).records
    assert (record.status, record.flags, record.dicom) == ("done", ("no_dicom_output",), ())
    assert not list((output / "dicom").rglob("*.dcm")) if (output / "dicom").exists() else True


def test_dicom_output_needs_dicom_and_highdicom(
    tmp_path: Path, run: Runner, cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("highdicom", reason="highdicom, of the extra 'dicom', is not installed")
    with pytest.raises(RequestError, match="holds none; leave --dicom-output out"):
        run(cohort, dicom_output=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RequestError, match="needs highdicom; install it with"):
        run(cohort, dicom_output=True)


# --- commands


def test_listing_series(tmp_path: Path) -> None:
    write_series(tmp_path / "a", ct(), patient="Jane")
    write_series(tmp_path / "b", ct(), patient="Rick", change=lambda dataset, index: setattr(dataset, "Modality", "MR"))
    shown = CliRunner().invoke(app, ["dicom", "list", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    one, other = shown.stdout.splitlines()
    assert re.fullmatch(
        r"chosen   ct-\w{12}  study \w{6}, series 1 'portal venous', CT 12 x 20 x 24: axial CT, original, most slices",
        one,
    )
    assert other.endswith("series 1 'portal venous', MR 12 x 20 x 24: modality MR, not CT")
    found = json.loads(CliRunner().invoke(app, ["dicom", "list", "--json", str(tmp_path)]).stdout)
    assert [row["verdict"] for row in found["dicom"]] == ["chosen", "refused"]
    assert "Jane" not in json.dumps(found)
    refused = CliRunner().invoke(app, ["dicom", "list", str(tmp_path / "b")])
    assert refused.exit_code == 2
    assert refused.stderr == f"error: '{tmp_path / 'b'}' holds no CT series to compute\n"


def test_the_commands_options_reach_the_run(tmp_path: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.stages.load_stages", lambda *args, **settings: stages)
    write_series(tmp_path / "in", ct())
    words = ["run", "--input", tmp_path / "in", "--output", tmp_path / "out", "--no-report", "--device", "cpu"]
    result = CliRunner().invoke(app, [str(word) for word in (*words, "--case-id-tag", "AccessionNumber")])
    assert result.exit_code == 0, result.output
    assert "chosen   A1 " in result.stdout
    assert (tmp_path / "out" / "cases" / "A1.json").is_file()
    assert read_json(tmp_path / "out" / "run.json")["options"]["case_id_tag"] == "AccessionNumber"
    wrong = CliRunner().invoke(app, [str(word) for word in (*words, "--case-id-tag", "Nonsense")])
    assert wrong.exit_code == 2
    assert "'Nonsense' is no DICOM tag" in wrong.stderr


# --- a real CT


@pytest.mark.skipif(not REAL_CT.is_file(), reason="../shared/data, which holds a real CT, is not here")
def test_a_series_and_its_conversion_give_the_same_map(tmp_path: Path, demo: tuple[Bundle, Stages]) -> None:
    """The series is made of a real CT, and converted to NIfTI by ITK, which is independent of our reader."""
    write_series(tmp_path / "series", to_lps(read_ct(REAL_CT))[0], intercept=-2048)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "series")))
    sitk.WriteImage(reader.Execute(), str(tmp_path / "converted.nii.gz"))
    (series,) = find_cts(tmp_path / "series").cases
    assert isinstance(series, DicomCase)
    results = [
        process_case(v, demo[1], demo[0], Clock()) for v in (read_case(series), read_ct(tmp_path / "converted.nii.gz"))
    ]
    maps = [result.detection_inset().whole() for result in results]
    assert results[0].box == results[1].box
    assert np.abs(maps[0].array - maps[1].array).max() <= 1e-6
    assert maps[0].array.max() > 0.1  # otherwise there would be nothing to compare
    assert results[0].classes == pytest.approx(results[1].classes, abs=1e-6)
    assert results[0].fused.score == pytest.approx(results[1].fused.score, abs=1e-6)
    assert maps[0].geometry.allclose(maps[1].geometry, 1e-5)
    labels = [result.segmentation_inset() for result in results]
    assert labels[0] is not None
    assert labels[1] is not None
    assert (labels[0].array != labels[1].array).sum() == 0
