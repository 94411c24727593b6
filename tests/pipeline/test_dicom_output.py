"""SEG and SR: what they hold is the result, they refer to the series, and two validators pass them."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr import codedict

from ctcore.cts import DicomCase, find_cts, read_case
from ctcore.volume import Geometry, Volume
from pipeline.bundle import Bundle
from pipeline.case import CaseResult, process_case
from pipeline.clock import Clock
from pipeline.measurements_record import DuctRecord
from pipeline.stages import Stages
from tests.ctcore.dicom.series_on_disk import Change, uid, write_series
from tests.pipeline.conftest import LESION, PANCREAS, ct_array
from tests.pipeline.test_measurements_record import some

hd = pytest.importorskip("highdicom", reason="highdicom, of the extra 'dicom', is not installed")

C, S = math.cos(0.15), math.sin(0.15)
DIRECTIONS = {
    "axial": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "oblique": (1, 0, 0, 0, C, -S, 0, S, C),
    "feet first": (-1, 0, 0, 0, 1, 0, 0, 0, -1),
}


@dataclass(frozen=True)
class Made:
    """A case in DICOM."""

    case: DicomCase
    ct: Volume
    result: CaseResult
    files: dict[str, Path]


@pytest.fixture
def make(tmp_path: Path, make_bundle: Callable[..., Bundle], stages: Stages) -> Callable[..., Made]:
    """Returns a function that computes a DICOM series and writes the result as DICOM."""

    def made(
        *,
        change: Change | None = None,
        direction: str = "axial",
        demo: bool = False,
        lesion: bool = True,
        segmentations: bool = True,
        **changes: Any,
    ) -> Made:
        from pipeline.dicom_output.write import write_dicom

        geometry = Geometry((12, 20, 24), (0.7, 0.9, 2.5), (-31.25, 17.0, -250.5), DIRECTIONS[direction])
        write_series(tmp_path / "in", Volume(ct_array(lesion), geometry), change=change)
        (case,) = find_cts(tmp_path / "in").cases
        assert isinstance(case, DicomCase)
        bundle, ct = make_bundle(demo=demo), read_case(case)
        result = process_case(ct, stages, bundle, Clock(), segmentations=segmentations)
        written = write_dicom(case.series, replace(result, **changes), bundle, tmp_path / "out")
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in written)
        return Made(case, ct, result, {path.name: path for path in written})

    return made


def segments_of(path: Path, made: Made) -> dict[str, Any]:
    """Returns each segment's mask on the grid of the CT, by label."""
    seg = hd.seg.segread(path)
    instances = [header.instance for header in made.case.series.slices]
    masks = seg.get_pixels_by_source_instance(instances, combine_segments=False, assert_missing_frames_are_empty=True)
    return {seg.get_segment_description(n).segment_label: masks[..., n - 1] for n in range(1, masks.shape[-1] + 1)}


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_segments_hold_the_result_voxel_by_voxel(make: Callable[..., Made], direction: str) -> None:
    made = make(direction=direction)
    lesions = segments_of(made.files["lesions.dcm"], made)
    assert list(lesions) == ["Lesion candidate 1"]
    detection = made.result.detection_inset().whole().array
    np.testing.assert_array_equal(lesions["Lesion candidate 1"] > 0, detection > 0)
    np.testing.assert_array_equal(lesions["Lesion candidate 1"] > 0, made.ct.array == 200)
    labels = made.result.segmentation_inset()
    assert labels is not None
    found = segments_of(made.files["segmentation.dcm"], made)
    assert set(found) == {"lesion", "pancreas"}
    for name, value in {"lesion": LESION, "pancreas": PANCREAS}.items():
        np.testing.assert_array_equal(found[name] > 0, labels.whole().array == value)


def test_they_are_of_the_series_and_its_frame_of_reference(make: Callable[..., Made]) -> None:
    made = make()
    instances = {header.instance for header in made.case.series.slices}
    lesions = hd.seg.segread(made.files["lesions.dcm"])
    for name, path in made.files.items():
        dataset = hd.sr.srread(path) if name == "report.dcm" else hd.seg.segread(path)
        assert dataset.StudyInstanceUID == uid("Doe^Jane", "study")
        assert (dataset.PatientID, str(dataset.PatientName)) == ("DoeJane", "Doe^Jane")
        assert dataset.SeriesInstanceUID != uid("Doe^Jane", "study", "series")
        if name == "report.dcm":
            (study,) = dataset.CurrentRequestedProcedureEvidenceSequence
            items = [item for series in study.ReferencedSeriesSequence for item in series.ReferencedSOPSequence]
            assert {item.ReferencedSOPInstanceUID for item in items} == {*instances, lesions.SOPInstanceUID}
        else:
            assert dataset.FrameOfReferenceUID == uid("Doe^Jane", "study", "frame")
            items = dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
            assert {item.ReferencedSOPInstanceUID for item in items} <= instances


def test_the_report_holds_the_score_and_the_measurements(make: Callable[..., Made]) -> None:
    made = make()
    content = hd.sr.srread(made.files["report.dcm"]).content
    (patient,) = (g for g in content.get_image_measurement_groups() if g.tracking_identifier == "patient")
    values = {m.name.meaning: m.value for m in patient.get_measurements()}
    assert values["Lesion score, 0 to 1"] == pytest.approx(made.result.fused.score)
    assert values["Probability of class PDAC"] == pytest.approx(0.9)
    assert values["Highest confidence of a lesion candidate, 0 to 1"] == 0.75
    (lesion,) = content.get_volumetric_roi_measurement_groups()
    measured = {m.name.meaning: (m.value, m.unit.value) for m in lesion.get_measurements()}
    (candidate,) = made.result.candidates
    assert measured == {
        "Volume": (pytest.approx(3 * 4 * 4 * 0.7 * 0.9 * 2.5 / 1000), "ml"),
        "Long Axis": (pytest.approx(candidate["diameter_mm"]), "mm"),
        "Attenuation Coefficient": (pytest.approx(200), "[hnsf'U]"),
        "Confidence of the lesion candidate, 0 to 1": (0.75, "1"),
        "Shortest distance to the pancreas": (0.0, "mm"),
    }
    seg = hd.seg.segread(made.files["lesions.dcm"])
    referenced = lesion.referenced_segment
    assert referenced.referenced_sop_instance_uid == seg.SOPInstanceUID
    assert list(referenced.referenced_segment_numbers) == [1]
    assert lesion.tracking_uid == seg.get_segment_description(1).tracking_uid


def test_the_report_holds_what_was_measured_on_the_segmentation(make: Callable[..., Made]) -> None:
    duct = DuctRecord(largest_mm=5.5, median_mm=4.0, length_mm=90.0, dilated_mm=60.0)
    made = make(measurements=some(duct=duct))
    content = hd.sr.srread(made.files["report.dcm"]).content
    told = {
        group.tracking_identifier: (
            [site.value.meaning for site in group.finding_sites],
            [
                (m.name, m.value, m.unit.value, None if m.derivation is None else m.derivation.meaning)
                for m in group.get_measurements()
            ],
        )
        for group in content.get_image_measurement_groups()
        if group.tracking_identifier.startswith("segmentation: ")
    }
    diameter, volume, long_axis = (getattr(codedict.codes.SCT, name) for name in ("Diameter", "Volume", "LongAxis"))
    assert told == {
        "segmentation: pancreas": (["Pancreas"], [(volume, 80.25, "ml", None)]),
        "segmentation: pancreatic duct": (
            ["Pancreatic duct"],
            [(diameter, 5.5, "mm", "Maximum"), (diameter, 4.0, "mm", "Median")],
        ),
        "segmentation: common bile duct": (
            ["Common bile duct"],
            [(diameter, 9.0, "mm", "Maximum"), (diameter, 7.0, "mm", "Median")],
        ),
        "segmentation: lesion 1": (["Pancreas"], [(volume, 4.5, "ml", None), (long_axis, 21.5, "mm", None)]),
    }


@pytest.mark.parametrize("name", ["DIAMETER", "LONG_AXIS", "VOLUME", "MAXIMUM", "MEDIAN"])
def test_codes_are_the_standards(name: str) -> None:
    from pipeline.dicom_output import codes

    keyword = "".join(part.title() for part in name.split("_"))
    assert getattr(codes, name) == getattr(codedict.codes.SCT, keyword)


def test_without_segmentation_the_report_holds_no_measurements_of_it(make: Callable[..., Made]) -> None:
    made = make(segmentations=False)
    groups = hd.sr.srread(made.files["report.dcm"]).content.get_image_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["patient"]


def texts(path: Path) -> str:
    return str(hd.sr.srread(path) if path.name == "report.dcm" else hd.seg.segread(path))


@pytest.mark.parametrize("demo", [True, False])
def test_a_demonstration_says_so_everywhere(make: Callable[..., Made], demo: bool) -> None:
    made = make(demo=demo)
    for path in made.files.values():
        assert ("DEMO MODEL, NOT FOR CLINICAL USE" in texts(path)) is demo
    assert ("Demonstration model, synthetic training data, not clinical use" in texts(made.files["report.dcm"])) is demo


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ({"lesion": False}, {"segmentation.dcm", "report.dcm"}),
        ({"segmentations": False}, {"lesions.dcm", "report.dcm"}),
        ({"lesion": False, "segmentations": False}, {"report.dcm"}),
    ],
)
def test_what_has_no_voxels_has_no_segmentation(make: Callable[..., Made], settings: Any, files: set[str]) -> None:
    made = make(**settings)
    assert set(made.files) == files
    groups = hd.sr.srread(made.files["report.dcm"]).content.get_volumetric_roi_measurement_groups()
    assert len(groups) == ("lesions.dcm" in files)


def umlauts(dataset: Dataset, index: int) -> None:
    """A source in Latin-1."""
    dataset.SpecificCharacterSet, dataset.PatientName = "ISO_IR 100", "Müller^Jörg"


def test_names_keep_their_letters(make: Callable[..., Made]) -> None:
    labels = {"background": 0, "Läsion": LESION, "a\\b": PANCREAS}
    made = make(change=umlauts, segmentation_labels=labels)
    for path in made.files.values():
        dataset = hd.sr.srread(path) if path.name == "report.dcm" else hd.seg.segread(path)
        assert str(dataset.PatientName) == "Müller^Jörg"
    assert set(segments_of(made.files["segmentation.dcm"], made)) == {"Läsion", "a/b"}


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy, of Debian's dicom3tools, is not installed")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"demo": True, "direction": "oblique"},
        {"lesion": False},
        {"change": umlauts},
        {"measurements": some()},
        {"flags": ("pancreas_not_found", "roi_fallback", "demo_model")},
        {"segmentation_labels": {"background": 0, "cystic lesion": LESION, "left kidney and all around it": PANCREAS}},
    ],
    ids=["plain", "demo", "well", "umlauts", "measured", "flags", "labels"],
)
def test_a_second_validator_passes_them(make: Callable[..., Made], settings: dict[str, Any]) -> None:
    for path in make(**settings).files.values():
        checked = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        said = (checked.stdout + checked.stderr).splitlines()
        assert said[0] in {"Segmentation", "ComprehensiveSR"}
        unknown = "Warning - Unrecognized defined term <99CTLP>"  # our own coding scheme, as PS3.16 8.2 provides for
        assert [line for line in said[1:] if not line.startswith(unknown)] == []
