"""The pipeline from Python: a CT in, typed values and images on its grid out; the same from any number of threads."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline
from ctcore.errors import CaseError, ImageDimensionError, IntensityError, RequestError
from ctcore.geometry import Box
from ctcore.inference.backends.choose import Execution
from ctcore.phantom.cohort import write_cohort
from pipeline import LoadedBundle, load_bundle, run_case
from pipeline.bundle import Bundle
from pipeline.records import CaseRecord
from pipeline.stages import Stages
from tests.pipeline.conftest import LESION, LESION_PROBABILITY, PANCREAS, ct_array

sitk: Any = importlib.import_module("SimpleITK")  # it has no types


@pytest.fixture
def loaded(bundle: Bundle, stages: Stages, execution: Execution) -> LoadedBundle:
    return LoadedBundle(bundle, stages, execution)


@pytest.mark.parametrize("orientation", ["LPS", "PIR"])
@pytest.mark.parametrize("given", ["path", "str", "image"])
def test_maps_lie_on_the_grid_that_was_given(
    tmp_path: Path, make_ct: Callable[..., Path], loaded: LoadedBundle, orientation: str, given: str
) -> None:
    path = make_ct(tmp_path / "ill_0000.mha", orientation=orientation)
    image = sitk.ReadImage(str(path))
    output = run_case({"path": path, "str": str(path), "image": image}[given], loaded)

    array = sitk.GetArrayFromImage(image)
    for made in (output.detection_map, output.segmentation):
        assert made is not None
        for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(made, get)() == getattr(image, get)()
    found = sitk.GetArrayFromImage(output.detection_map)
    np.testing.assert_array_equal(found, np.where(array == 200, np.float32(LESION_PROBABILITY), 0))
    labels = sitk.GetArrayFromImage(output.segmentation)
    np.testing.assert_array_equal(labels, np.select([array == 200, array == 100], [LESION, PANCREAS], 0))

    assert output.case_id == ("image" if given == "image" else "ill")
    assert output.score == pytest.approx(0.5 * 0.9 + 0.5 * LESION_PROBABILITY)
    assert (output.label, output.detection_max) == ("PDAC", LESION_PROBABILITY)
    assert output.probabilities == pytest.approx({"non-PDAC": 0.1, "PDAC": 0.9})
    assert output.segmentation_labels == {"background": 0, "lesion": LESION, "pancreas": PANCREAS}
    (candidate,) = output.candidates
    lesion = np.argwhere(array == 200)
    assert candidate.box == Box(tuple(lesion.min(axis=0).tolist()), tuple((lesion.max(axis=0) + 1).tolist()))
    assert (candidate.voxels, candidate.confidence, candidate.class_name) == (48, LESION_PROBABILITY, None)
    centre = image.TransformContinuousIndexToPhysicalPoint(lesion.mean(axis=0)[::-1].tolist())
    np.testing.assert_allclose(candidate.centroid_lps_mm, centre, atol=1e-3)
    bright = np.argwhere(array >= 100)
    assert output.roi == Box(tuple((bright.min(axis=0) - 1).tolist()), tuple((bright.max(axis=0) + 2).tolist()))
    assert set(output.seconds) == {"read", "locate", "predict", "detect", "measure"}
    assert CaseRecord.model_validate_json(output.record.model_dump_json()) == output.record
    assert output.record.score == output.score


def test_nothing_is_written_and_the_image_stays(
    tmp_path: Path, make_ct: Callable[..., Path], loaded: LoadedBundle
) -> None:
    path = make_ct(tmp_path / "ill.nii.gz")
    image = sitk.ReadImage(str(path))
    run_case(image, loaded, case_id="another")
    assert run_case(image, loaded, case_id="another").case_id == "another"
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), ct_array())
    assert [file.name for file in tmp_path.glob("*.*")] == ["ill.nii.gz"]


def test_segmentations_are_made_where_asked_for(
    tmp_path: Path, make_ct: Callable[..., Path], bundle: Bundle, stages: Stages, execution: Execution
) -> None:
    output = run_case(make_ct(tmp_path / "ill.nii.gz"), LoadedBundle(bundle, stages, execution, segmentations=False))
    assert output.segmentation is None
    assert output.segmentation_labels == {}


def test_what_is_no_ct_is_refused(tmp_path: Path, make_ct: Callable[..., Path], loaded: LoadedBundle) -> None:
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        make_ct(tmp_path / "two" / f"{name}.nii.gz")
    broken = np.full((4, 4, 4), np.nan, np.float32)
    bad: list[tuple[Any, type[Exception], str]] = [
        (tmp_path / "missing.nii.gz", RequestError, "does not exist"),
        (tmp_path / "two", RequestError, r"holds 2 CTs \(a.nii.gz, b.nii.gz"),
        (ct_array(), TypeError, "not a ndarray; an array has no geometry"),
        (sitk.GetImageFromArray(broken), IntensityError, "'image' holds 64 NaN"),
        (sitk.Image(4, 4, 4, sitk.sitkInt16), IntensityError, "the single value 0"),
        (sitk.Image(4, 4, sitk.sitkInt16), ImageDimensionError, "2 dimensions"),
        (sitk.Image([4, 4, 4], sitk.sitkVectorInt16, 3), ImageDimensionError, "3 values a voxel"),
    ]
    for ct, kind, message in bad:
        with pytest.raises(kind, match=message):
            run_case(ct, loaded)
    (tmp_path / "half.nii.gz").write_bytes(make_ct(tmp_path / "ill.nii.gz").read_bytes()[:300])
    with pytest.raises(CaseError, match=r"half\.nii\.gz"):
        run_case(tmp_path / "half.nii.gz", loaded)


def test_a_bundle_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is not a folder"):
        load_bundle(tmp_path / "missing")
    with pytest.raises(RequestError, match="unknown device 'gpu'"):
        load_bundle(device="gpu")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two phantom CTs that end with the pancreatic region."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_cohort(folder, 2, 5, around_mm=0)
    return sorted((folder / "imagesTr").glob("*.nii.gz"))


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_threads_get_the_answers_of_one(phantoms: list[Path], backend: str) -> None:
    """Four threads, each case read and computed by whoever is free: every bit as one after the other."""
    cases: list[Any] = [*phantoms, *(sitk.ReadImage(str(path)) for path in phantoms)]
    loaded = load_bundle(device="cpu", backend=backend)

    def answer(ct: Any) -> tuple[float, dict[str, float], bytes, bytes]:
        output = run_case(ct, loaded)
        maps = [sitk.GetArrayFromImage(image).tobytes() for image in (output.detection_map, output.segmentation)]
        return output.score, output.probabilities, maps[0], maps[1]

    alone = [answer(ct) for ct in phantoms]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(answer, cases))
    assert together == alone * 2
    assert alone[0] != alone[1]


def test_importing_is_light_and_says_what_there_is() -> None:
    code = "import sys, pipeline; print(*dir(pipeline)); print(*sorted({n.split('.')[0] for n in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, modules = (line.split() for line in done.stdout.splitlines())
    assert {"load_bundle", "run_case", "LoadedBundle", "CaseOutput", "LesionCandidate"} <= set(names)
    assert {"numpy", "torch", "SimpleITK", "pydantic", "scipy"}.isdisjoint(modules)
    with pytest.raises(AttributeError, match="'nothing'"):
        pipeline.nothing  # noqa: B018
