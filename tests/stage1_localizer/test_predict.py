"""A folder of CTs: masks and ROIs come back on the grid of each file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctcore.errors import RequestError
from ctcore.files import read, write
from ctcore.geometry import Box
from ctcore.json_files import read_json
from ctcore.resample import resample_to_shape
from ctcore.volume import Geometry, Volume
from stage1_localizer.localizer import Localization
from stage1_localizer.predict import predict_folder
from tests.ctcore.dicom.series_on_disk import write_series

TO_THE_RIGHT = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


class BrightnessLocalizer:
    """Finds whatever exceeds 50 HU, at half the resolution."""

    as_stored = False

    def __init__(self, *_: Any) -> None:
        pass

    def locate(self, ct: Volume) -> Localization:
        z, y, x = ct.geometry.shape
        mask = resample_to_shape(ct.with_array((ct.array > 50).astype(np.uint8)), (z // 2, y // 2, x // 2), "nearest")
        box = Box.of_mask(ct.array > 50)
        assert box is not None
        return Localization(mask, box, "localizer", ("field_of_view_truncated",), 1.23456)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stage1_localizer.predict.Localizer", BrightnessLocalizer)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    array = np.full((8, 10, 12), -1000, dtype=np.int16)
    array[2:4, 4:8, 0:4] = 100
    geometry = Geometry(array.shape, (1.0, 1.0, 1.0), (5.0, 6.0, 7.0), TO_THE_RIGHT)
    write(Volume(array, geometry), tmp_path / "cts" / "good_0000.nii.gz")
    (tmp_path / "cts" / "bad.nii.gz").write_bytes(b"not an image")
    return tmp_path / "cts"


def test_results_lie_on_the_files_grid(folder: Path, tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    output = tmp_path / "out"
    failed = predict_folder(tmp_path, folder, output, device="cpu", progress=lambda *report: reports.append(report))
    assert list(failed) == ["bad"]
    assert "bad.nii.gz" in failed["bad"]
    assert reports == [(1, 2), (2, 2)]
    stored, mask = read(folder / "good_0000.nii.gz"), read(output / "good.nii.gz")
    assert mask.geometry.allclose(stored.geometry)
    assert mask.array.dtype == np.uint8
    np.testing.assert_array_equal(mask.array, stored.array > 50)
    assert read_json(output / "rois.json") == {
        "good": {
            "start": [2, 4, 0],
            "stop": [4, 8, 4],
            "source": "localizer",
            "flags": ["field_of_view_truncated"],
            "pancreas_ml": 1.235,
        }
    }
    assert sorted(path.name for path in output.iterdir()) == ["good.nii.gz", "rois.json"]


def test_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="does not exist"):
        predict_folder(tmp_path, tmp_path / "gone", tmp_path / "out", device="cpu")


def test_a_dicom_series(tmp_path: Path) -> None:
    array = np.full((12, 10, 12), -1000, dtype=np.int16)
    array[2:4, 4:8, 0:4] = 100
    write_series(tmp_path / "in" / "study", Volume(array, Geometry(array.shape, (1.0, 1.0, 1.0))))
    assert predict_folder(tmp_path, tmp_path / "in", tmp_path / "out") == {}
    (case_id,) = read_json(tmp_path / "out" / "rois.json")
    np.testing.assert_array_equal(read(tmp_path / "out" / f"{case_id}.nii.gz").array, array > 50)
