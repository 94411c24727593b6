"""Nothing that a header says of a patient reaches an output or the log; names from outside are shown, never run."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import SimpleITK as sitk
from pydicom.dataset import Dataset

from ctcore.files import write
from ctcore.inference.backends.choose import Execution
from ctcore.volume import Geometry, Volume
from pipeline.bundle import Bundle
from pipeline.log import log_to
from pipeline.outputs import OutputFolder
from pipeline.records import RunOptions
from pipeline.run import run_cohort
from pipeline.stages import Stages
from tests.ctcore.dicom.series_on_disk import write_series
from tests.pipeline.conftest import ct_array

CANARY = b"Mustermann"
DATE = b"19441213"


def ct() -> Volume:
    return Volume(ct_array(), Geometry((12, 20, 24), (0.7, 0.9, 2.5), (-31.25, 17.0, -250.5)))


def told(dataset: Dataset, _: int) -> None:
    """Fills every text of a header that could name a patient, a person or a place."""
    name, date = CANARY.decode(), DATE.decode()
    dataset.PatientName = dataset.PatientID = dataset.OtherPatientNames = name
    dataset.PatientBirthDate = dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = date
    dataset.SeriesDescription = dataset.StudyDescription = dataset.PatientComments = dataset.ImageComments = name
    dataset.AccessionNumber = dataset.StudyID = dataset.InstitutionName = dataset.StationName = name
    dataset.ReferringPhysicianName = dataset.OperatorsName = dataset.PatientAddress = name
    block = dataset.private_block(0x0029, name, create=True)
    block.add_new(0x01, "LO", name)


def nifti(path: Path) -> None:
    """Every text field of a NIfTI-1 header: data_type, db_name, descrip, aux_file, intent_name."""
    write(ct(), path)
    data = bytearray(path.read_bytes())
    for at, size in ((4, 10), (14, 18), (148, 80), (228, 24), (328, 16)):
        data[at : at + size] = CANARY[:size].ljust(size, b"\0")
    path.write_bytes(data)


def with_notes(path: Path) -> None:
    image = sitk.GetImageFromArray(ct().array)
    image.SetMetaData("0010|0010", CANARY.decode())
    image.SetMetaData("Comment", CANARY.decode())
    sitk.WriteImage(image, str(path))


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of all files, decompressed, and the pieces of PNG files."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        yield path.as_posix(), data
        if data[:2] == b"\x1f\x8b":
            yield path.as_posix(), gzip.decompress(data)
        if data[:4] == b"\x89PNG":
            at = 8
            while at < len(data):
                (length,) = struct.unpack_from(">I", data, at)
                kind, piece = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
                assert kind not in (b"eXIf", b"tIME"), path
                yield path.as_posix(), zlib.decompress(piece.split(b"\0", 2)[2][1:]) if kind == b"zTXt" else piece
                at += 12 + length


def test_headers_reach_no_output(tmp_path: Path, bundle: Bundle, execution: Execution, stages: Stages) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    write_series(source / "Mustermann" / "1", ct(), change=told)
    write_series(source / "Mustermann" / "2", ct(), change=told, study="2", leave_out=(3,))
    broken = write_series(source / "3", ct(), change=told, study="3")
    for path in broken:
        path.write_bytes(path.read_bytes()[:-50])
    nifti(source / "a.nii")
    with_notes(source / "b.mha")
    with_notes(source / "c.nrrd")
    (source / "d.mha").write_bytes(b"ObjectType = Image\nComment = Mustermann\nNDims = 1000\n")
    folder = OutputFolder(output)
    with log_to(folder.log_path):
        summary = run_cohort(source, folder, bundle, execution, RunOptions(), load=lambda: stages)
    assert {record.status for record in summary.records} == {"done", "failed"}
    assert {"a", "b", "c"} <= {record.case_id for record in summary.records if record.status == "done"}
    found = [(name, word) for name, data in contents(output) for word in (CANARY, DATE) if word in data]
    assert found == []
    assert not [path for path in output.rglob("*") if "Mustermann" in path.name]


def test_names_are_shown_and_never_run(tmp_path: Path, bundle: Bundle, execution: Execution, stages: Stages) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    names = ["<script>alert(1)</script>".replace("/", "\u2215"), "[red]x[/blue]".replace("/", "\u2215"), "=cmd()",
             "-rf", "a\n2026-01-01 ERROR forged", "x" * 240, "%2e%2e"]  # fmt: skip
    source.mkdir()
    for name in names:
        write(ct(), source / f"{name}.mha")
    folder = OutputFolder(output)
    with log_to(folder.log_path):
        summary = run_cohort(source, folder, bundle, execution, RunOptions(), load=lambda: stages)
    assert [r.case_id for r in summary.records if r.status != "done"] == ["a%0A2026-01-01 ERROR forged"]
    assert len(summary.records) == len(names)
    page = (output / "report" / "index.html").read_text()
    assert page.count("<script") == 1  # its own, known by its hash
    assert "&lt;script&gt;alert(1)" in page
    for row in (output / "results.csv").read_text().splitlines():
        assert row[0] not in "=+-@\t"
    assert not any(line.startswith("2026-01-01 ERROR forged") for line in folder.log_path.read_text().splitlines())
    for path in output.rglob("*"):
        assert path.resolve().is_relative_to(output.resolve())


def test_rich_is_not_asked_to_read_names() -> None:
    from io import StringIO

    from rich.console import Console

    from pipeline.console import print_summary
    from pipeline.records import CaseRecord
    from pipeline.run import RunSummary

    out = Console(file=StringIO(), width=200)
    records = (
        CaseRecord(case_id="[/red]", image="[link=http://a]b", status="failed", error="[/]", flags=("[blink]",)),
    )
    print_summary(out, RunSummary(records, frozenset(), True))
    assert "[/red]" in out.file.getvalue()  # type: ignore[attr-defined]
