"""Which series are cases: rules on headers, and the grid that slices make."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from ctcore.dicom import suitability
from ctcore.dicom.choose import DicomSeries, judge
from ctcore.dicom.names import case_ids, safe_name
from ctcore.dicom.scan import scan
from ctcore.dicom.stack import stacks_of
from ctcore.volume import Geometry, Volume
from tests.ctcore.dicom.series_on_disk import Change, write_series


def judged(folder: Path, tag: int | None = None) -> list[DicomSeries]:
    return judge(stacks_of(scan(folder, tag).headers))


def verdict(folder: Path) -> tuple[str, str]:
    (one,) = judged(folder)
    return one.verdict, one.reason


def set_to(**values: Any) -> Change:
    def change(dataset: Dataset, index: int) -> None:
        for name, value in values.items():
            setattr(dataset, name, value)

    return change


def with_slices(ct: Volume, slices: int, spacing: float = 2.5) -> Volume:
    """A CT of another number of slices."""
    array = np.resize(ct.array, (slices, *ct.array.shape[1:]))
    return Volume(array, Geometry(array.shape, (0.7, 0.9, spacing), ct.geometry.origin))


def test_a_sound_series(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path, ct)
    (one,) = judged(tmp_path)
    assert (one.verdict, one.reason, one.fault) == ("chosen", "axial CT, original, most slices", None)
    assert one.geometry is not None
    assert one.geometry.allclose(ct.geometry, 1e-9)
    assert [h.position[2] for h in one.slices if h.position] == [-250.5 + 2.5 * i for i in range(12)]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, "modality MR, not CT"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}, "secondary capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.1"}, "enhanced (multi-frame) CT; export it as single slices"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.128"}, "no CT images (SOP class 1.2.840.10008.5.1.4.1.1.128)"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer (scout)"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "colour image (RGB)"),
        ({"BitsStored": 8, "HighBit": 7}, "8 bits a voxel: a capture, not Hounsfield units"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "coronal, not axial"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "sagittal, not axial"),
    ],
)
def test_what_is_no_case(tmp_path: Path, ct: Volume, values: dict[str, Any], reason: str) -> None:
    write_series(tmp_path, ct, change=set_to(**values))
    assert verdict(tmp_path) == ("refused", reason)


def test_too_few_slices(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path, with_slices(ct, 9))
    assert verdict(tmp_path) == ("refused", "9 slices, fewer than 10")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"RescaleIntercept": None}, "lacks RescaleSlope or RescaleIntercept"),
        ({"RescaleSlope": 0}, "rescale slope 0.0"),
        ({"RescaleType": "US"}, "holds 'US' values"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "stored as MONOCHROME1"),
        ({"NumberOfFrames": 2}, "holds 2 frames"),
        ({"Rows": 5000}, "slices of 5000 x 10 voxels"),
        ({"ImageOrientationPatient": None}, "does not say how it is oriented"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.5, 0.8, 0]}, "no pair of unit vectors"),
        ({"PixelSpacing": None}, "does not say how large its voxels are"),
        ({"ImagePositionPatient": None}, "does not say where it lies"),
        ({"ImagePositionPatient": [0, 0, 0]}, "lie at one place"),
        ({"PixelSpacing": [-1, 1]}, "is not three positive numbers"),
    ],
)
def test_a_ct_with_a_fault_is_a_failed_case(tmp_path: Path, ct: Volume, values: dict[str, Any], reason: str) -> None:
    write_series(tmp_path, ct, change=set_to(**values))
    (one,) = judged(tmp_path)
    assert one.verdict == "faulty"
    assert reason in one.reason
    assert "\n" not in one.reason
    assert str(one.fault) == one.reason


def test_more_voxels_than_can_be_read(tmp_path: Path, ct: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suitability, "MAX_VOXELS", 900)
    write_series(tmp_path, ct)
    assert verdict(tmp_path) == ("faulty", "960 voxels, 900 can be read; split the series")


def test_missing_slices_are_counted(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path, with_slices(ct, 20), leave_out=(4, 9, 10))
    found = verdict(tmp_path)
    assert found[0] == "faulty"
    assert found[1].startswith("3 of 20 slices are missing, the first between 'IM0013' and 'IM0012', 5.00 mm apart")


def test_slices_at_uneven_distances(tmp_path: Path, ct: Volume) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.ImagePositionPatient = [0, 0, index * 2.5 + (0.8 if index == 5 else 0)]

    write_series(tmp_path, ct, change=change)
    found = verdict(tmp_path)
    assert found == ("faulty", "slices are 1.700 to 3.300 mm apart; give a series of one slice distance")


def test_rounded_places_are_even(tmp_path: Path, ct: Volume) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.ImagePositionPatient = [0, 0, round(index * 0.625, 1)]

    write_series(tmp_path, ct, change=change)
    (one,) = judged(tmp_path)
    assert one.verdict == "faulty"  # 0.6, 0.7: 8 % off
    write_series(tmp_path, ct, change=lambda d, i: set_to(ImagePositionPatient=[0, 0, round(i * 0.625, 2)])(d, i))
    (one,) = judged(tmp_path)
    assert one.verdict == "chosen"
    assert one.geometry is not None
    assert one.geometry.spacing[2] == pytest.approx(0.625, abs=1e-3)


def test_a_tilted_gantry_is_refused_with_its_angle(tmp_path: Path, ct: Volume) -> None:
    angle = math.radians(12)

    def change(dataset: Dataset, index: int) -> None:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, round(math.cos(angle), 6), round(math.sin(angle), 6)]
        dataset.ImagePositionPatient = [0, 0, 2.5 * index]  # the table moves along the body, the slices lean
        dataset.GantryDetectorTilt = 12

    write_series(tmp_path, ct, change=change)
    found = verdict(tmp_path)
    assert found[0] == "faulty"
    assert "tilted by 12.0 degrees (the header says 12)" in found[1]


def test_a_slice_beside_the_others(tmp_path: Path, ct: Volume) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.ImagePositionPatient = [3.0 if index == 5 else 0.0, 0, 2.5 * index]

    write_series(tmp_path, ct, change=change)
    assert verdict(tmp_path)[1].startswith("'IM0006' lies 3.0 mm beside the line")


def test_an_oblique_series_keeps_its_direction(tmp_path: Path, ct: Volume) -> None:
    c, s = math.cos(0.2), math.sin(0.2)
    oblique = Geometry(ct.geometry.shape, ct.geometry.spacing, (1.0, 2.0, 3.0), (1, 0, 0, 0, c, -s, 0, s, c))
    write_series(tmp_path, Volume(ct.array, oblique))
    (one,) = judged(tmp_path)
    assert one.geometry is not None
    assert one.geometry.allclose(oblique, 1e-6)


# --- one of each study


def test_the_series_of_most_slices_is_chosen(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path / "thick", ct, series="thick", number=2)
    write_series(tmp_path / "thin", with_slices(ct, 24, 1.25), series="thin", number=3)
    write_series(tmp_path / "again", with_slices(ct, 24, 1.25), series="again", number=4)
    write_series(tmp_path / "mpr", with_slices(ct, 40), series="mpr", change=set_to(ImageType=["DERIVED", "PRIMARY"]))
    write_series(tmp_path / "scout", ct, series="scout", change=set_to(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    found = {one.first.number: (one.verdict, one.reason) for one in judged(tmp_path) if one.first.number != 1}
    assert found == {
        2: ("refused", "12 slices; another series of the study has 24"),
        3: ("chosen", "axial CT, original, most slices"),
        4: ("refused", "as many slices as another series of the study, which is thinner or comes first"),
    }
    others = {one.reason for one in judged(tmp_path) if one.first.number == 1}
    assert others == {"derived; the study has an original series", "localizer (scout)"}


def test_a_derived_series_is_better_than_none(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path, ct, change=set_to(ImageType=["DERIVED", "SECONDARY"]))
    assert verdict(tmp_path) == ("chosen", "axial CT, derived, no original one, most slices")


def test_a_sound_series_is_chosen_before_a_larger_one_with_a_fault(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path / "a", with_slices(ct, 24), series="a", leave_out=(5,))
    write_series(tmp_path / "b", ct, series="b")
    assert sorted((one.verdict, len(one.slices)) for one in judged(tmp_path)) == [("chosen", 12), ("refused", 23)]


def test_two_patients_are_two_cases(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path, ct, patient="Doe^Jane", name="a{}")
    write_series(tmp_path, ct, patient="Roe^Rick", name="b{}")
    found = judged(tmp_path)
    assert [one.verdict for one in found] == ["chosen", "chosen"]
    assert [len({header.patient for header in one.slices}) for one in found] == [1, 1]


def test_two_patients_under_the_same_uids_are_not_mixed(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path, ct, change=set_to(PatientID="1"), name="a{}")
    write_series(tmp_path, ct, change=set_to(PatientID="2"), name="b{}")
    found = judged(tmp_path)
    assert [one.verdict for one in found] == ["chosen", "chosen"]
    assert len(set(case_ids(found))) == 2


def test_series_without_a_study_are_not_taken_for_one(tmp_path: Path, ct: Volume) -> None:
    for name in ("a", "b"):
        write_series(tmp_path / name, ct, series=name, change=set_to(StudyInstanceUID="", PatientID=""))
    found = judged(tmp_path)
    assert [one.verdict for one in found] == ["chosen", "chosen"]
    assert len(set(case_ids(found))) == 2


def test_a_scout_inside_a_series_is_set_apart(tmp_path: Path, ct: Volume) -> None:
    def change(dataset: Dataset, index: int) -> None:
        if index == 0:
            dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]

    write_series(tmp_path, with_slices(ct, 13), change=change)
    found = [(one.verdict, len(one.slices), one.part, one.parts) for one in judged(tmp_path)]
    assert found == [("chosen", 12, 1, 2), ("refused", 1, 2, 2)]


def test_copies_of_slices_are_left_out(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path / "a", ct)
    write_series(tmp_path / "b", ct)
    assert verdict(tmp_path) == ("chosen", "axial CT, original, most slices; 12 copies of slices left out")


def test_phases_of_one_series_are_set_apart(tmp_path: Path, ct: Volume) -> None:
    for phase, slices in ((1, 12), (2, 14)):
        change = set_to(AcquisitionNumber=phase)

        def renamed(dataset: Dataset, index: int, change: Change = change, phase: int = phase) -> None:
            change(dataset, index)
            dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID[:50]}.{phase}.{index}"

        write_series(tmp_path / str(phase), with_slices(ct, slices), change=renamed)
    found = [(one.verdict, len(one.slices), one.first.acquisition[0]) for one in judged(tmp_path)]
    assert found == [("chosen", 14, "2"), ("refused", 12, "1")]


def test_a_repeated_place_of_a_series_numbered_by_slice_is_a_fault(tmp_path: Path, ct: Volume) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.AcquisitionNumber = index
        if index == 5:
            dataset.ImagePositionPatient = [-31.25, 17.0, -250.5 + 2.5 * 4]

    write_series(tmp_path, ct, change=change)
    found = verdict(tmp_path)
    assert found[0] == "faulty"
    assert "lie at one place" in found[1]


# --- names


def test_case_ids_do_not_identify(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path, ct)
    (name,) = case_ids(judged(tmp_path))
    assert name == case_ids(judged(tmp_path))[0]
    assert name.startswith("ct-")
    assert len(name) == 15
    header = judged(tmp_path)[0].first
    assert not any(part and part in name for part in (header.patient, header.study, header.series))


def test_case_ids_of_a_tag(tmp_path: Path, ct: Volume) -> None:
    write_series(tmp_path / "a", ct, patient="../../Müller^Jo", study="1")
    write_series(tmp_path / "b", ct, patient="Same", study="1")
    write_series(tmp_path / "c", ct, patient="sAME", study="2")
    found = judged(tmp_path, 0x00100020)
    names = case_ids(found)
    assert names[0] == "M_llerJo"
    assert [name.split("-")[0] for name in names[1:]] == ["Same", "sAME"]
    assert [name.split("-")[1] for name in names[1:]] == [one.digest for one in found[1:]]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A1", "A1"),
        ("../../etc/passwd", "etc_passwd"),
        ("a b\\c\0d", "a_b_c_d"),
        ("...", ""),
        ("x" * 200, "x" * 64),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        (" -rf ", "rf"),
    ],
)
def test_names_are_safe(text: str, name: str) -> None:
    assert safe_name(text) == name
