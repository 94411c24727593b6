import numpy as np
import pytest
import SimpleITK as sitk

from benchmarks.reference_flow import near_gland, pancreas_box
from ctcore.errors import RequestError
from ctcore.geometry import Box


def test_the_box_is_the_mask_s_voxel_centres_and_the_margins() -> None:
    image = sitk.Image([100, 100, 50], sitk.sitkInt16)
    image.SetSpacing((4.0, 4.0, 4.0))
    mask = np.zeros((25, 50, 50), np.uint8)
    mask[10:13, 20:23, 30:33] = 1
    low = sitk.GetImageFromArray(mask)
    low.SetSpacing((8.0, 8.0, 8.0))
    # Centres at voxels 20 to 24, 40 to 44, 60 to 64; margins of 15, 50, 100 mm are 3, 12, 25 voxels.
    assert pancreas_box(image, low) == Box((17, 28, 35), (27, 56, 89))


def test_an_empty_mask_is_refused() -> None:
    image = sitk.Image([10, 10, 10], sitk.sitkInt16)
    with pytest.raises(RequestError, match="lies outside the CT"):
        pancreas_box(image, sitk.Image([5, 5, 5], sitk.sitkUInt8))


def test_a_lesion_counts_within_two_voxels_of_the_gland() -> None:
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[4, 4, 4] = 4
    labels[0, 0, 0] = 2  # a vein is no gland
    found = near_gland(np.ones((9, 9, 9), np.float32), labels)
    expected = np.zeros((9, 9, 9), np.float32)
    expected[2:7, 2:7, 2:7] = 1
    np.testing.assert_array_equal(found, expected)
