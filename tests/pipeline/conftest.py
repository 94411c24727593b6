"""Two stages without networks, small CTs whose answer is known, and a bundle without weights."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.files import write
from ctcore.geometry import Box
from ctcore.inference.backends.choose import Execution, resolve
from ctcore.inference.effort import Effort
from ctcore.volume import Geometry, Volume
from pipeline.bundle import DEMO_BUNDLE, Bundle, load_bundle
from pipeline.create_bundle import create_bundle
from pipeline.stages import Stages, load_stages

PANCREAS_HU, LESION_HU = 100, 200
PANCREAS, LESION = 4, 1
LESION_PROBABILITY = 0.75


@dataclass(frozen=True)
class FakeLocation:
    """Where the fake localizer found the pancreas."""

    box: Box
    source: str
    flags: tuple[str, ...]
    pancreas: Volume
    pancreas_ml: float


class FakeLocalizer:
    """Finds whatever is as bright as the pancreas of `make_ct`."""

    def __init__(self) -> None:
        self.seen: list[Geometry] = []

    def locate(self, ct: Volume, /) -> FakeLocation:
        """Returns the bright voxels' box and one voxel around it."""
        self.seen.append(ct.geometry)
        mask = ct.array >= PANCREAS_HU
        box = Box.of_mask(mask)
        pancreas = ct.with_array(mask.astype(np.uint8))
        if box is None:
            flags = ("pancreas_not_found", "roi_fallback")
            return FakeLocation(Box.whole(ct.geometry.shape), "fallback", flags, pancreas, 0.0)
        volume_ml = float(mask.sum()) * ct.geometry.voxel_volume_ml
        return FakeLocation(box.expand((1, 1, 1)).clip(ct.geometry.shape), "localizer", (), pancreas, volume_ml)


@dataclass(frozen=True, eq=False)
class FakePrediction:
    """What the fake predictor says."""

    lesion_probability: npt.NDArray[np.float32]
    segmentation: npt.NDArray[np.uint8]
    class_probabilities: dict[str, float]
    class_lesion_probabilities: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    fold_probabilities: tuple[dict[str, float], ...] = ()
    features: npt.NDArray[np.float32] | None = None


class OneFold:
    """A predictor of one fold, which says what `predict` of its subclass does."""

    effort = Effort(1, False, "exact")

    def predict(self, roi: Volume, /) -> FakePrediction:
        raise NotImplementedError

    def calls(self, geometry: Geometry, pancreas: npt.NDArray[Any], effort: Effort, /) -> int:
        return 1

    def memory(self, geometry: Geometry, pancreas: npt.NDArray[Any], effort: Effort, apart: bool, /) -> int:
        return 0

    def warm_up(self) -> float:
        return 0.0

    def begin(self, roi: Volume, pancreas: npt.NDArray[Any], effort: Effort, /) -> FakeFolds:
        return FakeFolds([lambda: self.predict(roi)])


class FakeFolds:
    """Folds that have yet to speak; the last of them speaks for all."""

    def __init__(self, folds: list[Callable[[], FakePrediction]]) -> None:
        self._left = folds
        self._last: FakePrediction | None = None

    @property
    def folds_left(self) -> int:
        return len(self._left)

    def add(self) -> None:
        self.add_apart()

    def add_apart(self) -> FakePrediction:
        self._last = self._left.pop(0)()
        return self._last

    def finish(self) -> FakePrediction:
        assert self._last is not None
        return self._last

    def evidence(self, name: str, probabilities: Mapping[str, float], /) -> npt.NDArray[np.float32]:
        """Returns 0.5 for a lesion where one was seen, and 0.25 against it in the pancreas."""
        seen = self.finish().segmentation
        return np.select([seen == LESION, seen == PANCREAS], [0.5, -0.25], 0).astype(np.float32)


@dataclass
class FakePredictor(OneFold):
    """Calls whatever is as bright as the lesion of `make_ct` a lesion; `failure` is raised instead, if it is set."""

    labels: dict[str, int] = field(default_factory=lambda: {"background": 0, "lesion": LESION, "pancreas": PANCREAS})
    lesion_label: int = LESION
    failure: BaseException | None = None
    predicted: int = 0

    def predict(self, roi: Volume, /) -> FakePrediction:
        """Returns labels and a lesion probability by brightness."""
        self.predicted += 1
        if self.failure is not None:
            raise self.failure
        lesion = roi.array >= LESION_HU
        segmentation = np.where(lesion, LESION, np.where(roi.array >= PANCREAS_HU, PANCREAS, 0)).astype(np.uint8)
        p = 0.9 if lesion.any() else 0.2
        probability = np.where(lesion, LESION_PROBABILITY, 0.0).astype(np.float32)
        return FakePrediction(probability, segmentation, {"non-PDAC": 1 - p, "PDAC": p})


@pytest.fixture
def stages() -> Stages:
    """Both fake stages."""
    return Stages(FakeLocalizer(), FakePredictor())


@pytest.fixture
def execution() -> Execution:
    """A choice that any machine can carry out."""
    return Execution("cpu", "torch", "fp32")


def ct_array(lesion: bool = True) -> npt.NDArray[np.int16]:
    """Returns a (12, 20, 24) CT of air, a pancreas off the middle, and a lesion at one end of it."""
    array = np.full((12, 20, 24), -1000, dtype=np.int16)
    array[1:-1, 1:-1, 1:-1] = 40
    array[3:9, 5:12, 4:17] = PANCREAS_HU
    if lesion:
        array[4:7, 6:10, 5:9] = LESION_HU
    return array


@pytest.fixture
def make_ct() -> Callable[..., Path]:
    """Returns a function that writes a CT in any orientation and returns its path."""

    def make(path: Path, *, lesion: bool = True, orientation: str = "LPS", array: Any = None) -> Path:
        sitk: Any = importlib.import_module("SimpleITK")  # it has no types

        geometry = Geometry((12, 20, 24), (0.7, 0.9, 2.5), (-31.25, 17.0, -250.5))
        volume = Volume(ct_array(lesion) if array is None else array, geometry)
        if orientation == "LPS":
            write(volume, path)
            return path
        image = sitk.GetImageFromArray(volume.array)
        image.SetSpacing(geometry.spacing)
        image.SetOrigin(geometry.origin)
        sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(path))
        return path

    return make


@pytest.fixture
def cohort(tmp_path: Path, make_ct: Callable[..., Path]) -> Path:
    """A folder of two good CTs: `ill` and `well`."""
    folder = tmp_path / "cts"
    folder.mkdir()
    make_ct(folder / "ill_0000.nii.gz", lesion=True)
    make_ct(folder / "well_0000.nii.gz", lesion=False)
    return folder


@pytest.fixture
def make_stage(tmp_path: Path) -> Callable[..., Path]:
    """Returns a function that makes an exported stage folder with any content of `model.json`."""

    def make(name: str, **details: Any) -> Path:
        folder = tmp_path / "exported" / name
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(json.dumps({"schema_version": 1, "stage": name, **details}))
        (folder / "fold_all.safetensors").write_bytes(name.encode() * 100)
        (folder / "training.log").write_text("not for the bundle")
        return folder

    return make


@pytest.fixture
def make_bundle(tmp_path: Path, make_stage: Callable[..., Path]) -> Callable[..., Bundle]:
    """Returns a function that makes a bundle."""

    def make(*, demo: bool = False, **settings: Any) -> Bundle:
        stage1 = make_stage("stage1", trained_on="parametric phantoms", recipe={"name": "low"})
        stage2 = make_stage("stage2", trained_on="parametric phantoms", class_names=["non-PDAC", "PDAC"])
        output = tmp_path / "bundle"
        return create_bundle(stage1, stage2, output, name="tiny", description="For tests.", demo=demo, **settings)

    return make


@pytest.fixture
def bundle(make_bundle: Callable[..., Bundle]) -> Bundle:
    """A bundle that is not a demonstration."""
    return make_bundle()


@pytest.fixture(scope="session")
def demo() -> tuple[Bundle, Stages]:
    """The demonstration bundle and its stages, loaded once; on the CPU in float32."""
    demonstration, execution = load_bundle(DEMO_BUNDLE), resolve("cpu", "auto", "fp32")
    stages = load_stages(demonstration, execution, folds=None, tta=False, windows="guided", segmentations=True)
    return demonstration, stages
