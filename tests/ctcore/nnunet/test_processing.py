"""nnU-Net's processing, beside nnU-Net's own preprocessor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from ctcore.geometry import Box
from ctcore.nnunet.exported import Normalization
from ctcore.nnunet.folders.plan import Plan
from ctcore.nnunet.processing import NnunetProcessing, ProcessedImage, process
from tests.nnunet_folder import STAGE2_LABELS, crafted_ct, dataset_of, plans_of, quiet

SPACING = (2.5, 0.9, 0.8)
DATASET = dataset_of(STAGE2_LABELS)


TORCH = {"is_seg": False, "force_separate_z": None, "memefficient_seg_resampling": False}


def with_torch(plans: dict[str, Any]) -> dict[str, Any]:
    """Plans of nnU-Net's planner that resamples with torch."""
    configuration = plans["configurations"]["3d_fullres"]
    for what in ("data", "probabilities"):
        configuration |= {f"resampling_fn_{what}": "resample_torch_fornnunet", f"resampling_fn_{what}_kwargs": TORCH}
    return plans


def processed(plans: dict[str, Any], ct: Any) -> ProcessedImage:
    plan = Plan(plans, DATASET, next(iter(plans["configurations"])), "here")
    return process(ct, SPACING, plan.processing, plan.normalization.apply, plan.spacing_mm)


@pytest.mark.parametrize("transpose", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("spacing", [(3.0, 1.5, 1.5), (8.0, 1.5, 1.5)], ids=["together", "slices apart"])
@pytest.mark.parametrize("torch", [False, True], ids=["skimage", "torch"])
def test_the_image_is_nnunets(
    transpose: tuple[int, int, int], spacing: tuple[float, float, float], torch: bool
) -> None:
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = plans_of(transpose=transpose, spacing=spacing)
    plans = with_torch(plans) if torch else plans
    ct = crafted_ct()
    ct[:, :4], ct[-2:] = 0, 0  # what is exactly 0 is cropped
    ours = processed(plans, ct)
    with quiet():
        manager = PlansManager(plans)
        theirs, _, properties = DefaultPreprocessor(verbose=False).run_case_npy(
            ct[None], None, {"spacing": list(SPACING)}, manager, manager.get_configuration("3d_fullres"), DATASET
        )
    np.testing.assert_array_equal(ours.image, theirs)
    assert [list(bounds) for bounds in zip(ours.inside.start, ours.inside.stop, strict=True)] == properties[
        "bbox_used_for_cropping"
    ]


def test_the_way_back_of_axes() -> None:
    how = Plan(plans_of(transpose=(1, 2, 0)), DATASET, "3d_fullres", "here").processing
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    there = array.transpose(0, *(axis + 1 for axis in how.transpose))
    assert there.shape == (2, 4, 5, 3)
    np.testing.assert_array_equal(how.backward(there), array)
    assert how.forward((1, 2, 3)) == (2, 3, 1)


def test_what_no_window_covers_is_background() -> None:
    found = processed(plans_of(), crafted_ct())
    depth, height, width = found.shape
    box = Box((0, 0, 0), (depth, height, width // 2))
    logits = np.zeros((2, *box.shape), np.float32)
    logits[1] = 3
    on_image = found.logits_on_image(logits, box)
    share = 1 / (1 + np.exp(np.clip(on_image[0] - on_image[1], -80, 80)))
    assert on_image.shape == (2, 14, 40, 44)
    assert (share[..., :18] > 0.9).all()
    assert (share[..., 26:] < 1e-30).all()


def test_a_mask_on_the_networks_grid() -> None:
    ct = crafted_ct()
    ct[:, :10] = 0
    found = processed(plans_of(transpose=(1, 2, 0)), ct)
    mask = np.zeros(ct.shape, np.uint8)
    mask[:, 10:25, :22] = 1
    low = found.mask_of(mask)
    assert low.shape == found.shape
    y, x, _ = low.shape  # its axes are y, x, z
    assert low[: y // 2 - 1, : x // 2 - 1].all()
    assert not low[y // 2 + 1 :].any()
    assert not low[:, x // 2 + 1 :].any()


def test_slices_that_keep_their_spacing() -> None:
    how = Plan(plans_of(spacing=(1.5, 1.5), patch=(16, 16)), DATASET, "2d", "here").processing
    assert how.network_grid((14, 40, 44), SPACING, (3.0, 1.5, 1.5)) == ((14, 24, 23), (2.5, 1.5, 1.5))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"transpose": (0, 1, 1)}, r"transpose \(0, 1, 1\)"),
        ({"logits": {"function": "resample_data_or_seg_to_shape", "arguments": {"order": 3}}}, "order 3; 0 and 1"),
        ({"image": {"function": "os.system", "arguments": {}}}, "resample_data_or_seg_to_shape"),
    ],
)
def test_what_cannot_be_run(changes: dict[str, Any], told: str) -> None:
    linear = {"function": "resample_data_or_seg_to_shape", "arguments": {"order": 1}}
    with pytest.raises(ValidationError, match=told):
        NnunetProcessing.model_validate({"image": linear, "logits": linear} | changes)


def test_an_image_of_nothing_is_kept_whole() -> None:
    how = Plan(plans_of(), DATASET, "3d_fullres", "here").processing
    normalize = Normalization(lower=-1, upper=1, mean=0, std=1).apply
    found = process(np.zeros((6, 8, 8), np.int16), (3.0, 1.5, 1.5), how, normalize, (3.0, 1.5, 1.5))
    assert found.shape == (6, 8, 8)
