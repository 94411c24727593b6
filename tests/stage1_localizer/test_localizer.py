"""The localizer with networks whose answer is known: everything, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ctcore.errors import BundleError, RequestError
from ctcore.geometry import Box
from ctcore.inference.backends.choose import Execution
from ctcore.nnunet.exported import weights_file
from ctcore.volume import Geometry, Volume
from stage1_localizer.localizer import Localizer
from stage1_localizer.roi import fallback_box, scale_box
from tests.stage1_localizer.threshold_localizer import ThresholdLocalizer

MakeModel = Callable[..., Path]


@pytest.fixture
def ct() -> Volume:
    """A block of tissue in air, 2 mm voxels: the localizer's 4 mm grid has (16, 16, 20) voxels."""
    array = np.full((32, 32, 40), -1000, dtype=np.int16)
    array[:, 6:28, 8:34] = 40
    return Volume(array, Geometry(array.shape, (2.0, 2.0, 2.0), (-10.0, 3.0, 7.0)))


def test_pancreas_everywhere(constant_model: MakeModel, execution: Execution, ct: Volume) -> None:
    found = Localizer(constant_model(True), execution).locate(ct)
    assert found.source == "localizer"
    assert found.flags == ("field_of_view_truncated",)
    assert found.box == Box.whole(ct.geometry.shape)
    assert found.pancreas.geometry.shape == (16, 16, 20)
    assert found.pancreas.array.dtype == np.uint8
    assert found.pancreas.array.all()
    assert found.pancreas_ml == pytest.approx(16 * 16 * 20 * 0.064)


def test_pancreas_nowhere(constant_model: MakeModel, execution: Execution, ct: Volume) -> None:
    found = Localizer(constant_model(False), execution).locate(ct)
    assert found.source == "fallback"
    assert found.flags == ("pancreas_not_found", "roi_fallback")
    assert not found.pancreas.array.any()
    assert found.pancreas_ml == 0
    body = Box((0, 6, 8), (32, 28, 34))
    assert found.box == found.box.clip(ct.geometry.shape)
    assert all(b <= f for b, f in zip(body.start, found.box.start, strict=True))
    assert all(f <= b for f, b in zip(found.box.stop, body.stop, strict=True))
    low = np.full((16, 16, 20), -1000)
    low[:, 3:14, 4:17] = 40
    assert found.box == scale_box(fallback_box(low), (16, 16, 20), (32, 32, 40))


def test_nothing_is_found_even_where_no_minimum_is_asked(
    constant_model: MakeModel, execution: Execution, ct: Volume
) -> None:
    assert Localizer(constant_model(False, minimum_ml=0.0), execution).locate(ct).source == "fallback"


def test_a_cluster_below_the_minimum_is_no_pancreas(
    constant_model: MakeModel, execution: Execution, ct: Volume
) -> None:
    volume_ml = 16 * 16 * 20 * 0.064
    below = Localizer(constant_model(True, minimum_ml=volume_ml * 1.01), execution).locate(ct)
    assert below.flags == ("pancreas_not_found", "roi_fallback")
    assert not below.pancreas.array.any()
    above = Localizer(constant_model(True, minimum_ml=volume_ml * 0.99), execution).locate(ct)
    assert above.source == "localizer"


def test_folds_and_mirroring(constant_model: MakeModel, execution: Execution, ct: Volume) -> None:
    folder = constant_model(True, folds=("0", "1"))
    whole = Box.whole(ct.geometry.shape)
    assert Localizer(folder, execution, tta=True).locate(ct).box == whole
    assert Localizer(folder, execution, folds=[1]).locate(ct).box == whole
    with pytest.raises(RequestError, match="fold 2 is not in this model"):
        Localizer(folder, execution, folds=[2])


@pytest.mark.parametrize(("logits", "found"), [((1.0, 0.0), True), ((3.0, 0.0), False)])
def test_logits_of_folds_are_averaged(
    constant_model: MakeModel, execution: Execution, ct: Volume, logits: tuple[float, float], found: bool
) -> None:
    """Fold 0 answers (0, 2), so that the mean with (1, 0) is for the pancreas and that with (3, 0) against it."""
    folder = constant_model(True, folds=("0", "1"))
    path = weights_file(folder, "1")
    state = load_file(path)
    biases = [name for name in state if name.startswith("decoder.seg_layers") and name.endswith("bias")]
    save_file(state | {name: torch.tensor(logits, dtype=torch.float16) for name in biases}, path)
    assert Localizer(folder, execution, folds=[0]).segment(ct).array.all()
    assert not Localizer(folder, execution, folds=[1]).segment(ct).array.any()
    for folds in (None, [0, 1], [1, 0]):
        assert Localizer(folder, execution, folds=folds).segment(ct).array.all() == found


def test_a_damaged_folder(constant_model: MakeModel, execution: Execution, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no exported model"):
        Localizer(tmp_path / "gone", execution)
    folder = constant_model(True)
    (folder / "fold_0.safetensors").write_bytes(b"PK\x03\x04")
    with pytest.raises(BundleError, match="cannot be read"):
        Localizer(folder, execution)


def test_a_scan_smaller_than_a_window(constant_model: MakeModel, execution: Execution) -> None:
    ct = Volume(np.zeros((1, 3, 40), np.float32), Geometry((1, 3, 40), (2.0, 2.0, 5.0)))
    assert Localizer(constant_model(True), execution).locate(ct).box == Box.whole((1, 3, 40))
    assert Localizer(constant_model(False), execution).locate(ct).source == "fallback"


def cut_patient(where: tuple[slice, slice, slice]) -> Volume:
    array = np.full((24, 32, 40), -80, dtype=np.int16)
    array[where] = 120
    return Volume(array, Geometry(array.shape, (2.0, 2.0, 4.0)))


@pytest.mark.parametrize(
    ("where", "box"),
    [
        ((slice(0, 4), slice(10, 20), slice(12, 28)), Box((0, 6, 8), (6, 24, 32))),
        ((slice(20, 24), slice(10, 20), slice(12, 28)), Box((18, 6, 8), (24, 24, 32))),
        ((slice(8, 12), slice(0, 8), slice(12, 28)), Box((6, 0, 8), (14, 12, 32))),
        ((slice(8, 12), slice(24, 32), slice(12, 28)), Box((6, 20, 8), (14, 32, 32))),
        ((slice(8, 12), slice(10, 20), slice(0, 8)), Box((6, 6, 0), (14, 24, 12))),
        ((slice(8, 12), slice(10, 20), slice(32, 40)), Box((6, 6, 28), (14, 24, 40))),
    ],
)
def test_a_pancreas_that_the_field_of_view_cuts(where: tuple[slice, slice, slice], box: Box) -> None:
    """4 mm voxels at the low resolution; margins of 8 mm are 2 slices, or 4 rows or columns."""
    found = ThresholdLocalizer(spacing_mm=(4.0, 4.0, 4.0), margin_mm=(8.0, 8.0, 8.0)).locate(cut_patient(where))
    assert found.flags == ("field_of_view_truncated",)
    assert found.source == "localizer"
    assert found.box == box


def test_a_whole_pancreas_is_not_flagged() -> None:
    where = (slice(8, 12), slice(10, 20), slice(12, 28))
    assert ThresholdLocalizer().locate(cut_patient(where)).flags == ()
