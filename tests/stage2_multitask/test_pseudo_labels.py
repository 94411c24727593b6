"""One case's label map: as many lesions as the report counts, painted over the anatomy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ctcore.datasets.description import Dataset, DatasetCase, Layout
from ctcore.detection.candidates import CandidateSettings
from ctcore.errors import DatasetError, LabelError
from ctcore.volume import Geometry
from stage2_multitask.prediction import MultiTaskPrediction
from stage2_multitask.pseudo_labels import Drawing, draw, lesion_value, new_values
from stage2_multitask.reported_lesions import ReportedCase, lesions_reported, reported_cases
from tests.stage2_multitask.weak_patients import (
    GEOMETRY,
    LABELS,
    PANCREAS,
    RAS,
    ROI,
    SURE,
    UNSURE,
    ThresholdNetwork,
    label_array,
    write_case,
)

EXPECTED = {"PDAC": True, "non-PDAC": False}


def drawing(**changes: object) -> Drawing:
    made = Drawing(ThresholdNetwork(), CandidateSettings(), (8.0, 8.0, 8.0), LABELS)
    return replace(made, **changes)  # type: ignore[arg-type]


def reported(
    folder: Path, lesions: int, *, labelled: bool = True, geometry: Geometry = GEOMETRY, class_name: str = "PDAC"
) -> ReportedCase:
    """A case with a gland drawn and no lesion, or without a label map."""
    write_case(folder, "a", label_array() if labelled else None, geometry)
    label = folder / "labelsTr" / "a.nii.gz" if labelled else None
    case = DatasetCase("a", folder / "imagesTr" / "a_0000.nii.gz", label, class_name, "a")
    return ReportedCase(case, class_name, lesions, 0.0, weak=True)


@pytest.mark.parametrize("geometry", [GEOMETRY, RAS], ids=["LPS", "RAS"])
@pytest.mark.parametrize("mode", ["dynamic-v2", "dynamic-fast"])
def test_as_many_lesions_as_reported(tmp_path: Path, geometry: Geometry, mode: str) -> None:
    settings = CandidateSettings.model_validate({"mode": mode})
    for lesions, places in ((1, [SURE]), (2, [SURE, UNSURE])):
        made = draw(reported(tmp_path / str(lesions), lesions, geometry=geometry), drawing(settings=settings))
        expected = label_array()
        for place in places:
            expected[place] = 1
        np.testing.assert_array_equal(made.label.array, expected)
        assert made.label.geometry.allclose(geometry)
        assert [candidate.confidence for candidate in made.candidates] == [0.875, 0.5][:lesions]
        assert made.candidates[0].voxels == 27
        # The sure spot spans z 9-11, y 11-13, x 10-12: its centre is voxel (10, 12, 11).
        centre = geometry.index_to_physical((10, 12, 11))
        np.testing.assert_allclose(made.candidates[0].centroid_lps_mm, centre, atol=1e-3)


def test_the_network_sees_the_pancreas_and_its_margin(tmp_path: Path) -> None:
    network = ThresholdNetwork()
    draw(reported(tmp_path, 1), drawing(network=network))
    (seen,) = network.seen
    assert seen.shape == tuple(part.stop - part.start for part in ROI)
    np.testing.assert_allclose(seen.origin, GEOMETRY.index_to_physical((6, 8, 6)))


def test_fewer_candidates_than_reported(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="2 of 3 lesions found"):
        draw(reported(tmp_path, 3), drawing())
    with pytest.raises(LabelError, match="1 of 2 lesions found"):
        draw(reported(tmp_path, 2), drawing(settings=CandidateSettings(min_confidence=0.75)))


def test_an_image_without_label_map(tmp_path: Path) -> None:
    case = reported(tmp_path, 1, labelled=False)
    with pytest.raises(LabelError, match=r"it has no label map, .* or give crops with --roi-crops"):
        draw(case, drawing())
    made = draw(case, drawing(roi_crops=True))
    expected = np.zeros(label_array().shape, np.uint8)
    expected[PANCREAS] = 4  # the unsure spot becomes what is nearest
    expected[20:23, 26:29, 26:29] = 1  # on the whole image the far spot is the surest
    np.testing.assert_array_equal(made.label.array, expected)
    healthy = draw(reported(tmp_path, 0, labelled=False, class_name="non-PDAC"), drawing(roi_crops=True))
    assert healthy.candidates == ()
    np.testing.assert_array_equal(healthy.label.array == 1, False)


def test_the_networks_labels_are_taken_by_name(tmp_path: Path) -> None:
    labels = {"background": 0, "Pancreas": 7, "tumor": 3}
    made = draw(reported(tmp_path, 1, labelled=False), drawing(roi_crops=True, labels=labels))
    assert np.unique(made.label.array).tolist() == [0, 3, 7]
    network = ThresholdNetwork()
    network.labels = LABELS | {"veins": 2}
    with pytest.raises(DatasetError, match="the model segments veins, which the dataset does not name"):
        new_values(drawing(network=network))


def test_a_label_map_without_pancreas(tmp_path: Path) -> None:
    case = reported(tmp_path, 1)
    write_case(tmp_path, "a", np.zeros(label_array().shape, np.uint8))
    with pytest.raises(LabelError, match="its label map holds no pancreas"):
        draw(case, drawing())


def test_a_lesion_is_painted_as_its_classes() -> None:
    labels = {"background": 0, "pancreas": 1, "lesion subtype0": 2, "lesion subtype1": 3}
    network = ThresholdNetwork()
    several = drawing(network=network, labels=labels)
    with pytest.raises(DatasetError, match="no label of the dataset is the lesion of class 'subtype1'"):
        lesion_value("subtype1", several)
    network.labels, network.lesion_labels = labels, {"subtype0": 2, "subtype1": 3}
    assert (lesion_value("subtype0", several), lesion_value("subtype1", several)) == (2, 3)
    assert lesion_value("anything", drawing()) == 1


def case_of(class_name: str | None, lesions: int | None, label: Path | None = None) -> DatasetCase:
    return DatasetCase("a", Path("a"), label, class_name, "a", lesion_count=lesions)


@pytest.mark.parametrize(
    ("class_name", "given", "expected"),
    [("PDAC", None, 1), ("PDAC", 4, 4), ("non-PDAC", None, 0), ("non-PDAC", 0, 0), ("benign", 2, 2), ("benign", 0, 0)],
)
def test_lesions_reported(class_name: str, given: int | None, expected: int) -> None:
    assert lesions_reported(case_of(class_name, given), EXPECTED) == expected


@pytest.mark.parametrize(
    ("class_name", "given", "message"),
    [
        ("PDAC", 0, "class 'PDAC', but a lesion_count of 0"),
        ("non-PDAC", 1, "class 'non-PDAC', but a lesion_count of 1"),
        ("benign", None, "class 'benign' does not say whether there are lesions"),
    ],
)
def test_reports_that_say_nothing_or_the_contrary(class_name: str, given: int | None, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        lesions_reported(case_of(class_name, given), EXPECTED)


def test_which_cases_are_weak(tmp_path: Path) -> None:
    for case_id, lesion in (("drawn", True), ("not", False)):
        write_case(tmp_path, case_id, label_array(lesion=lesion))
    maps = {name: tmp_path / "labelsTr" / f"{name}.nii.gz" for name in ("drawn", "not")}
    cases = {
        "drawn": case_of("PDAC", None, maps["drawn"]),
        "not drawn": case_of("PDAC", None, maps["not"]),
        "healthy": case_of("non-PDAC", None, maps["not"]),
        "bare": case_of("PDAC", None),
        "bare and healthy": case_of("non-PDAC", None),
    }
    dataset = Dataset(
        Layout.NNUNET,
        tmp_path,
        (*(replace(case, case_id=name) for name, case in cases.items()), case_of(None, None)),
        labels=LABELS,
    )
    found = {case.case_id: report for case, report in reported_cases(dataset)}
    weak = {name: report.weak for name, report in found.items() if isinstance(report, ReportedCase)}
    assert weak == {"drawn": False, "not drawn": True, "healthy": False, "bare": True, "bare and healthy": True}
    assert found["a"] == "it has no class in 'case_labels.csv'; add its row"
    drawn = found["drawn"]
    assert isinstance(drawn, ReportedCase)
    assert drawn.lesion_ml == pytest.approx(27 * 0.064)


def test_of_several_lesion_labels_the_sum_is_searched(tmp_path: Path) -> None:
    labels = {"background": 0, "pancreas": 4, "lesion subtype0": 1, "lesion subtype1": 2}

    class Subtypes(ThresholdNetwork):
        lesion_labels = {"subtype0": 1, "subtype1": 2}  # noqa: RUF012

        def predict(self, roi: object, /) -> MultiTaskPrediction:
            return super().predict(roi)  # type: ignore[arg-type]

    network = Subtypes()
    network.labels = labels
    made = draw(reported(tmp_path, 1, class_name="subtype1"), drawing(network=network, labels=labels))
    assert (made.label.array[SURE] == 2).all()
    assert np.count_nonzero(made.label.array == 2) == 27
