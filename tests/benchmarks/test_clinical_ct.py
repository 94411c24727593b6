import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from benchmarks.clinical_ct import (
    LESIONS,
    PANCREAS_HU,
    PANCREAS_MM,
    label_map,
    lesion_probability,
    pancreas_mask,
    scan_geometry,
    write_ct,
)
from benchmarks.panorama_networks import MARGIN_MM
from benchmarks.reference_flow import LOW_SPACING_XYZ, pancreas_box
from ctcore.files import read_ct
from ctcore.geometry import Box, Triple, crop
from ctcore.inference.windows import window_starts
from ctcore.itk import to_sitk
from ctcore.resample import resampled_geometry, shape_for_spacing
from ctcore.volume import Geometry, Volume
from pipeline.measurements import Segmented, measure
from stage1_localizer.roi import roi_box

SPACING, PATCH = (1.5, 0.747, 0.747), (48, 128, 288)
MEDIAN_ROI = (65, 232, 428)


def test_the_pancreas_is_an_ellipsoid_of_its_diameters() -> None:
    geometry = scan_geometry(120, 128)
    found = pancreas_mask(geometry).sum() * geometry.voxel_volume_ml
    assert found == pytest.approx(math.pi / 6 * math.prod(PANCREAS_MM) / 1000, rel=0.01)


def test_the_lesions_are_the_same_on_a_crop() -> None:
    geometry = scan_geometry(60, 96)
    whole = Volume(lesion_probability(geometry), geometry)
    roi = crop(whole, Box((20, 30, 25), (45, 70, 80)))
    np.testing.assert_allclose(lesion_probability(roi.geometry), roi.array, atol=1e-6)
    assert whole.array.max() == pytest.approx(max(peak for _, _, peak in LESIONS), abs=0.1)


def test_the_segmentation_has_what_is_measured_of_a_case() -> None:
    values = {"lesion": 1, "veins": 2, "arteries": 3, "pancreas": 4, "pancreatic duct": 5, "common bile duct": 6}
    geometry = scan_geometry(240, 240)
    labels = label_map(geometry, values)
    assert set(np.unique(labels)) == {0, *values.values()}
    seen = Segmented(labels, values, np.zeros(labels.shape, np.uint8), geometry)
    measured = measure(seen)
    assert measured is not None
    assert measured.duct is not None
    assert measured.duct.median_mm == pytest.approx(3.0, abs=0.7)
    (lesion,) = measured.lesions
    assert lesion.diameter_mm == pytest.approx(2 * 7 * math.sqrt(2 * math.log(0.85 / 0.5)), rel=0.15)
    assert set(np.unique(label_map(geometry, {"pancreas": 4}))) == {0, 4}


def test_the_ct_shows_the_pancreas_and_is_the_same_every_time(tmp_path: Path) -> None:
    geometry = scan_geometry(20, 48)
    for name in ("one.nii.gz", "two.nii.gz"):
        write_ct(tmp_path / name, geometry)
    one, two = (read_ct(tmp_path / name) for name in ("one.nii.gz", "two.nii.gz"))
    np.testing.assert_array_equal(one.array, two.array)
    assert one.array[pancreas_mask(geometry) > 0].mean() == pytest.approx(PANCREAS_HU, abs=5)


@pytest.mark.parametrize("slices", [100, 250, 800])
def test_both_flows_cut_out_the_median_roi_and_need_the_same_windows(slices: int) -> None:
    scan = scan_geometry(slices)
    ours_low = resampled_geometry(scan, shape_for_spacing(scan, LOW_SPACING_XYZ[::-1]))
    ours = roi_box(pancreas_mask(ours_low), scan, MARGIN_MM)
    size = [round(n * s / t) for n, s, t in zip(scan.size_xyz, scan.spacing, LOW_SPACING_XYZ, strict=True)]
    low = Geometry((size[2], size[1], size[0]), LOW_SPACING_XYZ, scan.origin)
    image = sitk.Image([*map(int, scan.size_xyz)], sitk.sitkUInt8)
    image.SetSpacing(scan.spacing)
    image.SetOrigin(scan.origin)
    reference = pancreas_box(image, to_sitk(Volume(pancreas_mask(low), low)))
    assert ours is not None
    for box in (ours, reference):
        shape = _at_network_spacing(box, scan)
        assert [len(starts) for starts in window_starts(shape, PATCH)] == [2, 3, 2]
        assert np.allclose(shape, MEDIAN_ROI, rtol=0.25)


def _at_network_spacing(box: Box, scan: Geometry) -> Triple:
    z, y, x = (round(n * s / t) for n, s, t in zip(box.shape, scan.spacing_zyx, SPACING, strict=True))
    return z, y, x
