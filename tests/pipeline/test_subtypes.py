"""Three lesion subtypes, from the CT to scores, maps, tables and page: with one lesion label and with one a class."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from ctcore.datasets.doctor.examine import examine
from ctcore.datasets.layouts import read_dataset
from ctcore.detection.candidates import CandidateSettings
from ctcore.errors import RequestError
from ctcore.evaluation.predictions import read_predictions
from ctcore.files import read, read_ct, write
from ctcore.inference.backends.choose import Execution
from ctcore.json_files import read_json, write_json
from ctcore.labels import SUBTYPE_NAMES
from ctcore.nnunet.exported import Normalization, save_model, unique_state
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.planning.plan import architecture_of
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.phantom.cohort import write_cohort
from ctcore.resample import Interpolation, resample_to_spacing
from ctcore.volume import Volume
from pipeline.bundle import Bundle
from pipeline.calibrate import calibrate_bundle
from pipeline.case import process_case
from pipeline.clock import Clock
from pipeline.create_bundle import create_bundle
from pipeline.outputs import OutputFolder
from pipeline.records import CaseRecord, FusionRecord, RunOptions
from pipeline.run import RunSummary, run_cohort
from pipeline.stages import Stages, load_stages
from stage1_localizer.dataset import LABELS
from stage1_localizer.model import LocalizerModel
from stage2_multitask.heads.settings import FPNSettings
from stage2_multitask.model import MultiTaskModel
from stage2_multitask.network import build_network
from tests.pipeline.conftest import FakeLocalizer, FakePrediction, OneFold

P = dict(zip(SUBTYPE_NAMES, (0.2, 0.5, 0.3), strict=True))
LESION_LABELS = {name: f"lesion {name}" for name in SUBTYPE_NAMES}


class SubtypePredictor(OneFold):
    """Sees 0.75 of subtype1 in the whole bright lesion of `make_ct` and 0.9 of subtype2 in the left part of it."""

    labels: ClassVar = {
        "background": 0,
        "pancreas": 1,
        **{label: 2 + k for k, label in enumerate(LESION_LABELS.values())},
    }
    lesion_label = 3

    def __init__(self, *, by_class: bool) -> None:
        self.by_class = by_class

    def predict(self, roi: Volume, /) -> FakePrediction:
        lesion = roi.array >= 200
        left = lesion & (np.cumsum(lesion.any(axis=(0, 1))) <= 2)
        own = {
            "subtype0": np.zeros(lesion.shape, np.float32),
            "subtype1": np.where(lesion, np.float32(0.75), np.float32(0)),
            "subtype2": np.where(left, np.float32(0.9), np.float32(0)),
        }
        segmentation = np.where(lesion, 3, 0).astype(np.uint8)
        return FakePrediction(own["subtype1"], segmentation, dict(P), own if self.by_class else {})


@pytest.fixture
def subtype_bundle(tmp_path: Path, make_stage: Callable[..., Path]) -> Bundle:
    """A bundle of three subtypes without weights."""
    stage1 = make_stage("stage1", trained_on="boxes")
    stage2 = make_stage("stage2", trained_on="boxes", class_names=list(SUBTYPE_NAMES), lesion_labels=LESION_LABELS)
    return create_bundle(stage1, stage2, tmp_path / "subtypes", name="three", description="For tests.")


def test_one_lesion_label_by_hand(tmp_path: Path, make_ct: Callable[..., Path], subtype_bundle: Bundle) -> None:
    stages = Stages(FakeLocalizer(), SubtypePredictor(by_class=False))
    fields = process_case(read_ct(make_ct(tmp_path / "a.nii.gz")), stages, subtype_bundle, Clock()).record_fields()
    # every class is a lesion: P = 1, d = 0.75; each class gets its part p of (1 + 0.75) / 2
    assert fields["score"] == pytest.approx(0.875)
    assert fields["scores"] == pytest.approx({name: 0.875 * p for name, p in P.items()})
    assert (fields["label"], fields["fusion"].lesion_maps) == ("subtype1", "one")
    assert "class_name" not in fields["candidates"][0]


def test_a_label_for_each_subtype_by_hand(tmp_path: Path, make_ct: Callable[..., Path], subtype_bundle: Bundle) -> None:
    ct = read_ct(make_ct(tmp_path / "a.nii.gz", orientation="RAS"))
    result = process_case(ct, Stages(FakeLocalizer(), SubtypePredictor(by_class=True)), subtype_bundle, Clock())
    fields = result.record_fields()
    assert fields["scores"] == pytest.approx({"subtype0": 0.1, "subtype1": 0.625, "subtype2": 0.6})
    assert fields["score"] == pytest.approx((1 + 0.9) / 2)
    assert (fields["label"], fields["fusion"].lesion_maps) == ("subtype1", "by_class")
    assert fields["detection_max"] == pytest.approx(0.9)
    assert fields["fusion"].terms["detection_max_subtype1"] == 0.75
    (candidate,) = fields["candidates"]  # what overlaps is one candidate, of the surer class
    assert (candidate["class_name"], candidate["voxels"]) == ("subtype2", 48)
    own = {name: inset.whole() for name, inset in result.class_detection_insets().items()}
    bright = ct.array == 200
    np.testing.assert_array_equal(own["subtype1"].array, np.where(bright, np.float32(0.75), 0))
    assert own["subtype2"].array.sum() == pytest.approx(0.9 * 24)
    assert not own["subtype0"].array.any()
    np.testing.assert_array_equal(result.detection_inset().whole().array, np.where(bright, np.float32(0.9), 0))


@pytest.mark.parametrize("by_class", [False, True])
def test_tables_maps_and_page(cohort: Path, tmp_path: Path, subtype_bundle: Bundle, by_class: bool) -> None:
    output, execution = OutputFolder(tmp_path / "out"), Execution("cpu", "torch", "fp32")
    stages = Stages(FakeLocalizer(), SubtypePredictor(by_class=by_class))

    def run() -> RunSummary:
        return run_cohort(cohort, output, subtype_bundle, execution, RunOptions(), load=lambda: stages)

    assert not run().failed
    with (output.folder / "results.csv").open() as handle:
        rows = {row["case_id"]: row for row in csv.DictReader(handle)}
    columns = [f"p_{name}" for name in P] + [f"score_{name}" for name in P] + ["label"]
    columns += [f"detection_max_{name}" for name in P] if by_class else []
    assert list(rows["ill"])[3:-4] == columns
    assert float(rows["ill"]["score_subtype1"]) == pytest.approx(0.625 if by_class else 0.4375)
    assert rows["ill"]["label"] == "subtype1"
    record = read_json(output.record_path("ill"))
    assert record["fusion"]["lesion_maps"] == ("by_class" if by_class else "one")
    page = output.case_page_path("ill").read_text()
    assert "score of subtype0" in page
    assert ("each with its own detection map" in page) == by_class
    assert ('<th scope="col">class</th><th scope="col">confidence' in page) == by_class
    maps = [output.class_detection_path(case, name) for name in P for case in ("ill", "well")]
    assert sorted(output.class_maps_folder.glob("*/*")) == (maps if by_class else [])
    assert [case.label for case in read_predictions(output.folder).cases] == ["subtype1", "subtype1"]
    assert run().reused == {"ill", "well"}
    if by_class:
        maps[0].unlink()
        assert run().reused == {"well"}
        assert maps[0].is_file()
        output.clear_case("ill")
        assert sorted(output.class_maps_folder.glob("*/*")) == maps[1::2]


def test_a_bundle_of_other_lesion_classes(make_stage: Callable[..., Path], tmp_path: Path) -> None:
    stage1 = make_stage("stage1")
    stage2 = make_stage("stage2", class_names=list(SUBTYPE_NAMES), lesion_labels=LESION_LABELS)
    with pytest.raises(RequestError, match=r"lesion classes subtype0 are not those .*: subtype0, subtype1, subtype2"):
        create_bundle(stage1, stage2, tmp_path / "b", name="x", description="", lesion_classes=("subtype0",))
    made = create_bundle(stage1, stage2, tmp_path / "b", name="x", description="")
    assert made.manifest.lesion_classes == SUBTYPE_NAMES


def test_of_subtypes_alone_the_temperature_is_calibrated(subtype_bundle: Bundle, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    run, table = tmp_path / "run", ["case_id,class_name"]
    write_json(run / "run.json", {"bundle": {"sha256": subtype_bundle.digest}})
    for number in range(90):
        logits = generator.normal(0, 1.5, 3)
        p = np.exp(logits) / np.exp(logits).sum()
        too_sure = p**4 / (p**4).sum()
        classes = dict(zip(SUBTYPE_NAMES, too_sure.tolist(), strict=True))
        fused = FusionRecord(rule="mean", terms={"p_lesion": 1.0, "detection_max": 0.5})
        record = CaseRecord(case_id=f"c{number}", image="x", status="done", classes=classes, score=1.0, fusion=fused)
        write_json(run / "cases" / f"c{number}.json", record.model_dump(mode="json"))
        table.append(f"c{number},{generator.choice(SUBTYPE_NAMES, p=p)}")
    (tmp_path / "labels.csv").write_text("\n".join(table) + "\n")
    arguments = (subtype_bundle, run, tmp_path / "labels.csv", tmp_path / "new")
    with pytest.raises(RequestError, match="fusion 'mean' cannot be fitted: every class of"):
        calibrate_bundle(*arguments, fitted_on="ninety", fusion="mean")
    made = calibrate_bundle(*arguments, fitted_on="ninety")
    assert read_json(made.stage2 / "model.json")["temperature"] == pytest.approx(4, rel=0.5)
    assert (made.manifest.calibration, made.manifest.lesion_classes) == (None, SUBTYPE_NAMES)


def test_maps_by_class_are_no_input(cohort: Path, tmp_path: Path, subtype_bundle: Bundle) -> None:
    output = OutputFolder(tmp_path / "out")
    stages = Stages(FakeLocalizer(), SubtypePredictor(by_class=True))
    arguments = (output, subtype_bundle, Execution("cpu", "torch", "fp32"), RunOptions(report=False))
    run_cohort(cohort, *arguments, load=lambda: stages)
    with pytest.raises(RequestError, match="lies where this run would write its maps"):
        run_cohort(output.class_detection_path("ill", "subtype1").parent, *arguments, load=lambda: stages)


RECIPE = TrainingRecipe(
    name="tiny",
    description="",
    spacing_mm=(8, 8, 8),
    patch_size=(16, 16, 16),
    batch_size=1,
    features=(4, 8, 8),
    epochs=1,
)


def export_tiny(folder: Path, kind: type[LocalizerModel] | type[MultiTaskModel], **values: Any) -> Path:
    """Exports a network of random weights."""
    torch.manual_seed(0)
    architecture = architecture_of(RECIPE)
    model = kind(
        architecture=architecture,
        spacing_mm=RECIPE.spacing_mm,
        patch_size=(16, 16, 16),
        normalization=Normalization(lower=-100, upper=200, mean=50, std=25),
        folds=("0",),
        trained_on="nothing",
        recipe={},
        **values,
    )
    network = (
        build_network(architecture, (16, 16, 16), model.labels, model.lesions, 3, values["head"])
        if isinstance(model, MultiTaskModel)
        else build_unet(architecture, 1, model.output_channels)
    )
    save_model(folder, model, {"0": unique_state(network)})
    return folder


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One phantom of each subtype, with voxels of 6 mm: networks of random weights find something everywhere."""
    folder = tmp_path_factory.mktemp("subtypes") / "phantoms"
    write_cohort(folder, 3, 11, task="subtypes", class_fractions=(1, 1, 1))
    kinds: dict[str, Interpolation] = {"imagesTr": "linear", "labelsTr": "nearest"}
    for name, interpolation in kinds.items():
        for path in (folder / name).iterdir():
            stored = read(path)
            coarse = resample_to_spacing(stored, (6.0, 6.0, 6.0), interpolation)
            write(coarse.with_array(coarse.array.astype(stored.array.dtype)), path)
    return folder


@pytest.mark.parametrize("by_class", [False, True])
def test_boxes_through_a_bundle(cohort: Path, tmp_path: Path, by_class: bool) -> None:
    run_through_a_bundle(cohort, tmp_path, by_class)


@pytest.mark.slow
@pytest.mark.parametrize("by_class", [False, True])
def test_phantoms_through_a_bundle(phantoms: Path, tmp_path: Path, by_class: bool) -> None:
    run_through_a_bundle(phantoms / "imagesTr", tmp_path, by_class)


def run_through_a_bundle(images: Path, tmp_path: Path, by_class: bool) -> None:
    """Runs networks of random weights over CTs; the scores are those of the design."""
    torch.set_num_threads(1)  # tiny networks wait for threads longer than they compute
    stage1 = export_tiny(
        tmp_path / "s1", LocalizerModel, labels=LABELS, margin_mm=(8, 8, 8), bridge_mm=8, minimum_ml=0.5
    )
    labels = SubtypePredictor.labels if by_class else {"background": 0, "pancreas": 1, "lesion": 2}
    own = {"lesion_labels": LESION_LABELS} if by_class else {}
    stage2 = export_tiny(
        tmp_path / "s2",
        MultiTaskModel,
        labels=labels,
        lesion_label=list(labels)[2],
        class_names=SUBTYPE_NAMES,
        head=FPNSettings(width=4),
        aggregation="foreground-weighted mean",
        **own,
    )
    bundle = create_bundle(
        stage1,
        stage2,
        tmp_path / "bundle",
        name="three",
        description="",
        lesion_classes=SUBTYPE_NAMES,
        candidates=CandidateSettings(mode="dynamic-fast"),
    )
    execution = Execution("cpu", "torch", "fp32")
    output = OutputFolder(tmp_path / "out")
    options = RunOptions(report=False)
    summary = run_cohort(images, output, bundle, execution, options, load=lambda: load_stages(bundle, execution))
    assert not summary.failed
    assert summary.complete
    for record in summary.records:
        found = read(output.detection_path(record.case_id)).array
        assert found.max() == pytest.approx(record.detection_max)
        if by_class:
            maxima = {n: float(read(output.class_detection_path(record.case_id, n)).array.max()) for n in SUBTYPE_NAMES}
            assert max(maxima.values()) == pytest.approx(found.max())
            expected = {name: 0.5 * record.classes[name] + 0.5 * maxima[name] for name in SUBTYPE_NAMES}
        else:
            expected = {name: (0.5 + 0.5 * float(found.max())) * record.classes[name] for name in SUBTYPE_NAMES}
        assert record.scores == pytest.approx(expected, rel=1e-5)
        assert record.label == max(expected, key=expected.__getitem__)


@pytest.mark.slow
def test_the_doctor_expects_their_lesions(phantoms: Path, tmp_path: Path) -> None:
    assert not examine([read_dataset(phantoms)], folds=1, class_names=SUBTYPE_NAMES).faulty
    folder = shutil.copytree(phantoms, tmp_path / "copy")
    path = next((folder / "labelsTr").iterdir())
    label = read(path)
    write(label.with_array(np.where(label.array == 1, np.uint8(4), label.array)), path)
    diagnosis = examine([read_dataset(folder)], folds=1, class_names=SUBTYPE_NAMES)
    assert [(case_id, finding.code) for case_id, found in diagnosis.cases.items() for finding in found] == [
        (path.name.removesuffix(".nii.gz"), "lesion-missing")
    ]
