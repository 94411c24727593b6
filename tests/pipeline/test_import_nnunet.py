"""Trained nnU-Net folders as bundles: what they say beside nnunetv2's own predictor, and what is refused."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ctcore.errors import RequestError
from ctcore.files import read, write
from ctcore.geometry import to_lps
from ctcore.inference.backends.choose import Execution
from ctcore.json_files import read_json, write_json
from ctcore.nnunet.exported import load_model
from ctcore.resample import resample_array
from ctcore.volume import Volume
from pipeline.cli import app
from pipeline.import_nnunet import NnunetFolder, import_nnunet
from pipeline.presets import PRESETS
from stage1_localizer.localizer import Localizer
from stage1_localizer.model import LocalizerModel
from stage2_multitask.model import LabelGate, MultiTaskModel
from stage2_multitask.predictor import MultiTaskPredictor
from tests.nnunet_folder import (
    STAGE1_LABELS,
    STAGE2_LABELS,
    dataset_of,
    nnunet_answer,
    plans_of,
    write_folder,
)
from tests.pipeline.imported import SPACING_ZYX, ct_volume, differ, imported, write_cts, write_folders

FP32 = Execution("cpu", "torch", "fp32")
ROUNDING = 2e-6
RESENC = "ResidualEncoderUNet"


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "plans",
    [
        {},
        {"old": True, "encoder": RESENC},
        {"transpose": (1, 2, 0)},
        {"spacing": (8.0, 1.5, 1.5)},
        {"spacing": (1.5, 1.5), "patch": (16, 16)},
    ],
    ids=["new", "old resenc", "transposed", "slices apart", "2d"],
)
def test_probabilities_are_nnunets(tmp_path: Path, plans: dict[str, Any]) -> None:
    flat = len(plans.get("patch", (1, 1, 1))) == 2
    mirror = (0, 1) if flat else (0, 1, 2)
    bundle, (_, folder) = imported(tmp_path, plans_of(**plans), folds=("0", "1"), mirror=mirror)
    ct = ct_volume()
    ct.array[:, :3] = 0  # nnU-Net crops that away
    for tta in (False, True):
        found = MultiTaskPredictor(bundle.stage2, FP32, tta=tta).predict(ct)
        labels, probabilities = nnunet_answer(folder, ct.array, SPACING_ZYX, tta=tta)
        assert differ(found.lesion_probability, probabilities[1]) < ROUNDING
        np.testing.assert_array_equal(found.segmentation, labels)
        assert found.class_probabilities == {}
        assert probabilities[1].std() > 0.01  # it says something


def test_nnunet_as_it_is_blends_in_float16(tmp_path: Path) -> None:
    bundle, (_, folder) = imported(tmp_path, plans_of(patch=(16, 32, 32)))  # windows whose corners weigh more
    ct = ct_volume()
    found = MultiTaskPredictor(bundle.stage2, FP32).predict(ct)
    _, probabilities = nnunet_answer(folder, ct.array, SPACING_ZYX, exact=False)
    _, exact = nnunet_answer(folder, ct.array, SPACING_ZYX)
    apart, own = np.abs(found.lesion_probability - probabilities[1]), np.abs(exact[1] - probabilities[1])
    assert np.percentile(apart, 99.9) <= np.percentile(own, 99.9) + 2e-3


def test_regions(tmp_path: Path) -> None:
    labels = {"background": 0, "whole pancreas": [1, 2, 3], "duct": 3, "tumor": 2}
    bundle, (_, folder) = imported(tmp_path, plans_of(), dataset_of(labels, (1, 3, 2)), seed=11)
    ct = ct_volume()
    predictor = MultiTaskPredictor(bundle.stage2, FP32, windows="guided")
    found = predictor.predict(ct, np.ones(ct.array.shape, np.uint8))
    segmentation, probabilities = nnunet_answer(folder, ct.array, SPACING_ZYX)
    assert differ(found.lesion_probability, probabilities[2]) < ROUNDING
    np.testing.assert_array_equal(found.segmentation, segmentation)
    assert predictor.labels == {"background": 0, "whole pancreas": 1, "duct": 3, "tumor": 2}
    assert set(np.unique(segmentation)) == {0, 1, 2, 3}


@pytest.mark.parametrize("cropped", [False, True])
def test_stage_1_finds_what_nnunet_finds(tmp_path: Path, cropped: bool) -> None:
    bundle, (folder, _) = imported(tmp_path)
    ct = ct_volume()
    if cropped:
        ct.array[:, :7], ct.array[..., -5:] = 0, 0
    mask = Localizer(bundle.stage1, FP32).segment(ct)
    segmentation, _ = nnunet_answer(folder, ct.array, SPACING_ZYX)
    # The network's grid, over the same field of view; or the CT's, where a part of it was cropped.
    assert mask.geometry.shape == ((14, 40, 44) if cropped else (4, 8, 8))
    nearest = resample_array(mask.array, (14, 40, 44), "nearest")
    assert 0.05 < segmentation.mean() < 0.95
    assert (nearest == segmentation).mean() > 0.85  # at its edges nnU-Net interpolates logits
    if cropped:
        assert not mask.array[:, :7].any()


@pytest.mark.parametrize("preset", ["none", "panorama-baseline"])
def test_the_fallback_is_the_same_body_part_in_any_order(tmp_path: Path, preset: Any) -> None:
    bundle, _ = imported(tmp_path, preset=preset)
    path = bundle.stage1 / "model.json"
    write_json(path, read_json(path) | {"minimum_ml": 1e4})
    straight, turned = ct_volume(), ct_volume()
    turned = Volume(np.ascontiguousarray(turned.array[:, ::-1, ::-1]), flipped(turned))
    localizer = Localizer(bundle.stage1, FP32)
    found, other = localizer.locate(straight), localizer.locate(turned)
    assert found.source == other.source == "fallback"
    assert to_lps(turned)[1].apply_box(other.box) == found.box
    assert not found.pancreas.array.any()


def test_guided_windows_are_fewer_and_agree_where_they_lie(tmp_path: Path) -> None:
    bundle, _ = imported(tmp_path)
    ct = ct_volume()
    pancreas = np.zeros(ct.array.shape, np.uint8)
    pancreas[6:8, 18:22, 20:24] = 1
    guided, exact = (MultiTaskPredictor(bundle.stage2, FP32, windows=mode) for mode in ("guided", "exact"))
    assert guided.calls(ct.geometry, pancreas) < exact.calls(ct.geometry, pancreas)
    assert guided.memory(ct.geometry, pancreas, guided.effort, False) > 0
    found = guided.predict(ct, pancreas)
    assert (found.lesion_probability > 0).any()
    assert found.lesion_probability[:, :2, :2].max() == 0  # no window there


def test_presets_and_defaults(tmp_path: Path) -> None:
    stage1, stage2 = write_folders(tmp_path)
    for name, preset in PRESETS.items():
        bundle = import_nnunet(NnunetFolder(stage1), NnunetFolder(stage2), tmp_path / name, preset=name)
        manifest = bundle.manifest
        assert (manifest.orientation, manifest.classifier, manifest.fusion.rule) == ("as-stored", False, "map")
        assert (manifest.class_names, manifest.lesion_classes) == (("non-PDAC", "PDAC"), ("PDAC",))
        candidates = manifest.candidates
        assert (candidates.mode, candidates.min_confidence, candidates.pancreas_gate_mm) == ("dynamic-fast", 0, None)
        assert candidates.dynamic_threshold_factor == {"pandx": 15}.get(name, 2.5)
        localizer = load_model(bundle.stage1, LocalizerModel)
        assert (localizer.pancreas_label, localizer.margin_mm) == ("pancreas", (15, 50, 100))
        assert localizer.bspline_mm == (None if name == "none" else (9.0, 4.5, 4.5))
        assert localizer.roi_rule == ("field-of-view" if name == "none" else "voxel-centres")
        multitask = load_model(bundle.stage2, MultiTaskModel)
        assert multitask.lesion_label == "tumor"
        gate = LabelGate(labels=("tumor", "pancreas"), voxels=(5, 5, 5))
        assert multitask.lesion_gate == (None if name == "none" else gate)
        assert (preset.gate, multitask.head) == (name != "none", None)
    card = (tmp_path / "pandx" / "MODEL_CARD.md").read_text()
    assert "there is no classifier" in card
    assert "in the order of axes it is stored in" in card


def test_labels_by_name(tmp_path: Path) -> None:
    low = {"background": 0, "liver": 1, "Pancreas": 2}
    stage1 = write_folder(tmp_path / "1", plans_of(), dataset_of(low))
    stage2 = write_folder(tmp_path / "2", plans_of(), dataset_of({"background": 0, "PDAC": 1, "cyst": 2}))

    def made(**labels: str) -> tuple[str, str]:
        output = tmp_path / f"bundle{len(list(tmp_path.iterdir()))}"
        bundle = import_nnunet(NnunetFolder(stage1), NnunetFolder(stage2), output, **labels)  # type: ignore[arg-type]
        models = load_model(bundle.stage1, LocalizerModel), load_model(bundle.stage2, MultiTaskModel)
        return models[0].pancreas_label, models[1].lesion_label

    assert made() == ("Pancreas", "PDAC")
    assert made(pancreas_label="liver", lesion_label="cyst") == ("liver", "cyst")
    with pytest.raises(RequestError, match=r"--lesion-label 'spleen' is no label of '.*2'; it has PDAC, cyst"):
        made(lesion_label="spleen")


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        ({"background": 0, "a": 1, "b": 2}, STAGE2_LABELS, r"no label named pancreas, but a, b: .*--pancreas-label"),
        (STAGE1_LABELS, {"background": 0, "gland": 1}, r"no label named lesion, tumor or PDAC.*--lesion-label"),
        (
            STAGE1_LABELS,
            {"background": 0, "PDAC": 1, "cystic lesion": 2},
            "2 labels named lesion.*PDAC, cystic",
        ),
        (STAGE1_LABELS, {"background": 0}, "no label named lesion"),
    ],
)
def test_labels_without_pancreas_or_lesion(tmp_path: Path, low: Any, high: Any, told: str) -> None:
    stage1 = write_folder(tmp_path / "1", plans_of(), dataset_of(low))
    stage2 = write_folder(tmp_path / "2", plans_of(), dataset_of(high))
    with pytest.raises(RequestError, match=told):
        import_nnunet(NnunetFolder(stage1), NnunetFolder(stage2), tmp_path / "bundle")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]  # nothing half-written


def test_float32_is_kept_where_float16_loses_something(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    bundle, (_, folder) = imported(tmp_path)
    kept = load_file(bundle.stage2 / "fold_0.safetensors")
    given = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False)["network_weights"]
    assert {tensor.dtype for tensor in kept.values()} == {torch.float32}
    for name, tensor in kept.items():
        assert torch.equal(tensor, given[name])


class Runs:
    """Makes a folder as soon as it is unpickled by something that trusts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_malicious_checkpoint(tmp_path: Path) -> None:
    stage1, stage2 = write_folders(tmp_path)
    path = stage2 / "fold_0" / "checkpoint_final.pth"
    torch.save(torch.load(path, weights_only=False) | {"logging": Runs(tmp_path / "trap")}, path)
    command = ["bundle", "import-nnunet", "--stage1", str(stage1), "--stage2", str(stage2)]
    result = CliRunner().invoke(app, [*command, "--output", str(tmp_path / "bundle")])
    assert result.exit_code == 2
    assert "which could run code: nothing of it was run" in " ".join(result.output.split())
    assert not (tmp_path / "trap").exists()
    assert not (tmp_path / "bundle").exists()


def run(*words: Any) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four CTs, their results by an imported bundle, labels and classes."""
    folder = tmp_path_factory.mktemp("cohort")
    torch.set_num_threads(1)
    imported(folder)
    write_cts(folder / "cts", 4)
    options = ("--device", "cpu", "--backend", "torch", "--windows", "exact")
    run("run", "--bundle", folder / "bundle", "--input", folder / "cts", "--output", folder / "results", *options)
    rows = ["case_id,class_name"]
    for k in range(4):
        detection = read(folder / "results" / "detection_maps" / f"case{k}.nii.gz")
        label = (detection.array > 0) & (k % 2 == 0)
        write(detection.with_array(label.astype(np.uint8)), folder / "labels" / f"case{k}.nii.gz")
        rows.append(f"case{k},{'non-PDAC' if k % 2 else 'PDAC'}")
    (folder / "case_labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_a_run_without_classes(cohort: Path) -> None:
    results = cohort / "results"
    with (results / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert not [column for column in rows[0] if column.startswith("p_")]
    for row in rows:
        detection = read(results / "detection_maps" / f"{row['case_id']}.nii.gz")
        assert float(row["score"]) == float(row["detection_max"]) == pytest.approx(float(detection.array.max()))
        record = read_json(results / "cases" / f"{row['case_id']}.json")
        assert record["classes"] == {}
        assert record["fusion"]["rule"] == "map"
        assert record["fusion"]["terms"] == {"detection_max": record["detection_max"]}
        assert record["scores"]["PDAC"] == record["score"] == 1 - record["scores"]["non-PDAC"]
        assert record["label"] == ("PDAC" if record["score"] > 0.5 else "non-PDAC")
        assert record["segmentation_labels"] == STAGE2_LABELS
        page = (results / "report" / "cases" / f"{row['case_id']}.html").read_text()
        assert "<td>rule that joins them</td><td>map</td>" in page
    assert "probabilities" not in page


def test_it_is_evaluated_and_calibrated(cohort: Path) -> None:
    truth = ("--case-labels", cohort / "case_labels.csv")
    labels = ("--labels", cohort / "labels", "--lesion-label", "1", "--bootstrap", "0")
    run("evaluate", "--predictions", cohort / "results", *labels, *truth, "--output", cohort / "evaluation")
    metrics = read_json(cohort / "evaluation" / "metrics.json")
    assert 0 <= metrics["auroc"]["value"] <= 1
    assert metrics["ap"]["value"] > 0
    made = ("--predictions", cohort / "results", *truth, "--fitted-on", "four cases")
    run("bundle", "calibrate", "--bundle", cohort / "bundle", *made, "--output", cohort / "calibrated")
    output = run("bundle", "inspect", cohort / "calibrated")
    assert "as-stored" in output
    assert "no classifier" in output
    manifest = read_json(cohort / "calibrated" / "bundle.json")
    assert manifest["calibration"]["cases"] == 4
    assert manifest["fusion"]["rule"] == "map"
    words = ["bundle", "calibrate", "--bundle", cohort / "bundle", *made, "--output", cohort / "c2", "--fusion", "mean"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 2
    assert "no classifier" in result.output


def test_the_case_is_processed_as_stored(cohort: Path, tmp_path: Path) -> None:
    """Turned about in the file, it is another image for nnU-Net, and for an imported model: the same other one."""
    ct = ct_volume()
    turned = Volume(np.ascontiguousarray(ct.array[:, ::-1, ::-1]), flipped(ct))
    write(turned, tmp_path / "cts" / "turned.nii.gz")
    options = ("--device", "cpu", "--backend", "torch", "--precision", "fp32", "--windows", "exact", "--no-report")
    run("run", "--bundle", cohort / "bundle", "--input", tmp_path / "cts", "--output", tmp_path / "out", *options)
    record = read_json(tmp_path / "out" / "cases" / "turned.json")
    box = tuple(slice(a, b) for a, b in zip(record["roi"]["start"], record["roi"]["stop"], strict=True))
    _, probabilities = nnunet_answer(cohort / "nnunet2", turned.array[box], SPACING_ZYX)
    assert record["detection_max"] == pytest.approx(float(probabilities[1].max()), abs=ROUNDING)
    detection = read(tmp_path / "out" / "detection_maps" / "turned.nii.gz")
    assert detection.geometry.allclose(turned.geometry, 1e-5)
    threshold = probabilities[1].max() / 2.5
    clear = np.abs(probabilities[1] - threshold) > 1e-4
    inside, above = detection.array[box] > 0, probabilities[1] > threshold
    assert not (inside & ~above & clear).any()
    assert (inside & clear).sum() > 0.5 * (above & clear).sum()  # the rest is in components that are too small
    straight = read_json(cohort / "results" / "cases" / "case0.json")
    assert abs(record["detection_max"] - straight["detection_max"]) > 1e-4


def flipped(ct: Volume) -> Any:
    """The grid of a CT whose x and y axes run the other way in the file."""
    from ctcore.volume import Geometry

    geometry = ct.geometry
    depth, height, width = geometry.shape
    first = geometry.index_to_physical((0, height - 1, width - 1))
    direction = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
    return Geometry((depth, height, width), geometry.spacing, (first[0], first[1], first[2]), direction)


def test_a_fold_that_is_not_there(tmp_path: Path) -> None:
    stage1, stage2 = write_folders(tmp_path, folds=("0", "1"))
    command = ["bundle", "import-nnunet", "--stage1", stage1, "--stage2", stage2, "--output", tmp_path / "b"]
    run(*command, "--folds", "1", "--name", "mine")
    manifest = read_json(tmp_path / "b" / "bundle.json")
    assert manifest["name"] == "mine"
    assert "stage2/fold_1.safetensors" in manifest["files"]
    assert "stage2/fold_0.safetensors" not in manifest["files"]
    result = CliRunner().invoke(app, [*map(str, command), "--folds", "0,7", "--overwrite"])
    assert result.exit_code == 2
    assert "has no fold_7" in result.output
