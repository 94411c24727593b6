"""Do imported nnU-Net weights say the same? `python -m benchmarks.import_parity [--plans DIR] --output DIR`.

Trained weights: the demonstration bundle, exported to nnU-Net and imported again, on a phantom beside nnU-Net's
predictor as it is. With --plans: networks of PANORAMA's plans (stage 1's are of the old format, stage 2's of the new)
with seeded random weights go, as nnU-Net's training leaves them, through `pipeline bundle import-nnunet --preset
panorama-baseline`. One CT then goes through the baseline's steps by nnU-Net's own code and through this project with
exact windows in float32. Both are told the same pancreas, which random weights do not find. nnU-Net's predictor blends
windows in float16; it runs as it is and with float32 in that place, which the bounds are on: with random weights its
own error, told beside them, is larger than any of them (docs/performance.md). Prints every bound beside its figure and,
as its last line, all figures as one JSON object. Exit code: 0 all bounds reached, 1 some missed, 2 the request was
wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from benchmarks.bounds import Bound, print_bounds, print_figures
from benchmarks.clinical_ct import AIR_HU, NOISE_HU, TISSUE_HU
from benchmarks.exact_blending import blending_in_float32
from benchmarks.flow import NETWORK, STAGE1_NETWORK, Stopwatch
from benchmarks.panorama_networks import LESION, make_models
from benchmarks.reference_flow import NnunetStage, near_gland, pancreas_box, predict_scan, resampled
from ctcore.errors import PipelineError, first_line
from ctcore.files import read_ct, write
from ctcore.json_files import write_json
from ctcore.volume import Geometry, Volume

SHAPE, SPACING_XYZ = (60, 106, 238), (0.9, 0.9, 2.0)
"""The CT: its ROI is 90 mm high, which takes two windows of stage 2, and one in each slice."""
PANCREAS_MM = (60.0, 20.0, 60.0)
"""Size (z, y, x) of the box of tissue in its middle that both flows are told to be the pancreas."""

PHANTOM_SEED, PHANTOM_MARGIN_MM = 9501, 40.0
"""The phantom that trained weights see: its pancreatic region, and so much around it."""

MOST_SOFTMAX, PERCENTILE = 2e-3, 99.9
MOST_MAP, LEAST_DICE = 5e-3, 0.99


@dataclass(frozen=True, eq=False)
class Answer:
    """What a flow says of the CT.

    Attributes:
        pancreas: stage 1's own mask on the low-resolution grid, before it was replaced.
        softmax: stage 2's probabilities (k, z, y, x) on the ROI.
        detection: the detection map.
    """

    pancreas: npt.NDArray[np.bool_]
    softmax: npt.NDArray[np.float32]
    detection: Volume


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.import_parity", description=__doc__)
    parser.add_argument("--plans", type=Path, help="folder with PANORAMA's plans and dataset files")
    parser.add_argument("--output", type=Path, required=True, help="work folder")
    parser.add_argument("--folds", type=int, default=1, help="networks a stage (default: 1)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--backend", default="torch", help="auto, torch or openvino (default: torch)")
    options = parser.parse_args(arguments)
    try:
        figures: dict[str, Any] = {}
        bounds: list[Bound] = []
        if options.plans is not None:
            models = make_models(options.plans, options.output / "models", options.folds)
            figures, bounds = measure(models.nnunet, options.output, options.device, options.backend)
        of_trained, reached_by_them = measure_trained(options.output / "trained", options.device, options.backend)
        figures, bounds = figures | of_trained, bounds + reached_by_them
    except PipelineError as error:
        sys.stderr.write(f"error: {first_line(error)}\n")
        return 2
    print_figures("imported", [(name.replace("_", " "), value) for name, value in figures.items()])
    print_bounds(bounds)
    reached = all(bound.reached for bound in bounds)
    summary = {"folds": options.folds, **figures, "bounds": [b.as_dict() for b in bounds], "reached": reached}
    write_json(options.output / "import_parity.json", summary)
    print(json.dumps(summary))
    return 0 if reached else 1


def measure(
    nnunet: tuple[Path, Path], output: Path, device: str = "cpu", backend: str = "torch"
) -> tuple[dict[str, Any], list[Bound]]:
    """Runs the flows on one CT and compares what they say.

    Args:
        nnunet: trained folders of both stages.
        output: work folder.
        device: `cpu` or `cuda`.
        backend: this project's.
    """
    from pipeline.import_nnunet import NnunetFolder, import_nnunet

    ct = output / "scan_0000.nii.gz"
    write(made_ct(), ct)
    folders = (NnunetFolder(nnunet[0]), NnunetFolder(nnunet[1]))
    bundle = import_nnunet(*folders, output / "bundle", preset="panorama-baseline", overwrite=True)
    ours = our_answer(bundle.folder, ct, device, backend)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():  # nnU-Net's chatter
        warnings.simplefilter("ignore")
        theirs = nnunet_answer(nnunet, ct, output / "nnunet", device)
        with blending_in_float32():
            exact = nnunet_answer(nnunet, ct, output / "nnunet32", device)
    figures = {
        **_differences(ours, theirs, "nnunet"),
        **_differences(ours, exact, "nnunet_in_float32"),
        **_differences(theirs, exact, "own_error_of_nnunet"),
    }
    geometry = ours.detection.geometry.allclose(theirs.detection.geometry, relative=1e-6)
    bounds = [Bound("imported", "geometry of the maps equal", geometry, "equal to", True)]
    what = "nnunet_in_float32"
    bounds += [
        Bound(what, "softmax, 99.9th percentile", figures[f"softmax_{what}"], "at most", MOST_SOFTMAX),
        Bound(what, "detection map, largest difference", figures[f"map_{what}"], "at most", MOST_MAP),
        Bound(what, "detection map, Dice", figures[f"dice_{what}"], "at least", LEAST_DICE),
    ]
    own = figures["softmax_own_error_of_nnunet"] + MOST_SOFTMAX
    bounds.append(Bound("nnunet", "softmax, 99.9th percentile", figures["softmax_nnunet"], "at most", own))
    return figures, bounds


def measure_trained(output: Path, device: str = "cpu", backend: str = "torch") -> tuple[dict[str, Any], list[Bound]]:
    """Takes the demonstration bundle to nnU-Net and back, and runs its second stage on a phantom there and here.

    Args:
        output: work folder; what an earlier call wrote is replaced.
        device: `cpu` or `cuda`.
        backend: this project's.
    """
    from ctcore.detection.candidates import CandidateSettings, extract_candidates
    from ctcore.detection.detection_map import detection_map
    from ctcore.inference.backends.choose import resolve
    from ctcore.phantom.phantom import make_phantom
    from pipeline.bundle import DEMO_BUNDLE, load_bundle
    from pipeline.export_nnunet import export_nnunet
    from pipeline.import_nnunet import NnunetFolder, import_nnunet
    from stage2_multitask.predictor import MultiTaskPredictor

    shutil.rmtree(output, ignore_errors=True)
    export_nnunet(load_bundle(DEMO_BUNDLE), output / "nnunet")
    folders = [NnunetFolder(output / "nnunet" / name) for name in ("stage1", "stage2")]
    bundle = import_nnunet(folders[0], folders[1], output / "bundle")
    image = make_phantom(PHANTOM_SEED, positive=True, around_mm=PHANTOM_MARGIN_MM).image
    write(image, output / "scan_0000.nii.gz")
    roi = read_ct(output / "scan_0000.nii.gz")
    stage = NnunetStage(folders[1].folder, "preprocess", NETWORK, "to grid")
    with contextlib.redirect_stdout(io.StringIO()):
        predict_scan(stage, output, Stopwatch(), device=device, tta=False)
    predictor = MultiTaskPredictor(bundle.stage2, resolve(device, backend, "fp32"))
    theirs = np.load(output / "scan.npz")["probabilities"][predictor.lesion_label]
    ours = predictor.predict(roi).lesion_probability
    settings = CandidateSettings(mode="dynamic-fast", min_confidence=0.0)
    maps = [detection_map(extract_candidates(probability, settings)) for probability in (ours, theirs)]
    figures = {
        "windows_trained": stage.windows,
        "map_maximum_trained": float(maps[0].max()),
        "softmax_trained": float(np.percentile(np.abs(ours - theirs), PERCENTILE)),
        **_map_differences(maps[0], maps[1], "trained"),
    }
    return figures, [
        Bound("trained", "lesion probability, 99.9th percentile", figures["softmax_trained"], "at most", MOST_SOFTMAX),
        Bound("trained", "detection map, largest difference", figures["map_trained"], "at most", MOST_MAP),
        Bound("trained", "detection map, Dice", figures["dice_trained"], "at least", LEAST_DICE),
    ]


def made_ct() -> Volume:
    """Returns a CT of tissue with structure and noise in air."""
    z, y, x = np.ogrid[tuple(slice(-1, 1, 1j * length) for length in SHAPE)]
    body = 1 / (1 + np.exp(20 * (np.sqrt((z / 1.4) ** 2 + (y / 0.9) ** 2 + (x / 0.9) ** 2) - 1)))
    noise = np.random.default_rng(0).normal(0, NOISE_HU, SHAPE)
    hounsfield = AIR_HU + (TISSUE_HU - AIR_HU) * body + 60 * np.sin(9 * z + 7 * y * x) + noise
    first = tuple(-s * (n - 1) / 2 for s, n in zip(SPACING_XYZ, SHAPE[::-1], strict=True))
    return Volume(np.rint(hounsfield).astype(np.int16), Geometry(SHAPE, SPACING_XYZ, (first[0], first[1], first[2])))


def given_pancreas(geometry: Geometry) -> npt.NDArray[np.uint8]:
    """Returns where both flows are told the pancreas to be, on any grid."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"), axis=-1)
    points = np.abs(geometry.index_to_physical(index))[..., ::-1]
    return np.asarray((points <= np.array(PANCREAS_MM) / 2).all(axis=-1), np.uint8)


def our_answer(bundle_folder: Path, ct: Path, device: str, backend: str) -> Answer:
    """Returns what this project says, with exact windows in float32."""
    from ctcore.inference.backends.choose import resolve
    from pipeline.bundle import load_bundle
    from pipeline.case import process_case
    from pipeline.clock import Clock
    from pipeline.stages import load_stages
    from stage1_localizer.localizer import Localizer
    from stage2_multitask.predictor import MultiTaskPredictor

    segment, to_prediction = Localizer.segment, MultiTaskPredictor.to_prediction
    masks: list[npt.NDArray[np.bool_]] = []
    softmax: list[npt.NDArray[np.float32]] = []

    def segment_given(self: Localizer, volume: Volume) -> Volume:
        mask = segment(self, volume)
        masks.append(mask.array.astype(bool))
        return mask.with_array(given_pancreas(mask.geometry))

    def prediction_kept(self: MultiTaskPredictor, answer: Any, grid: Any, slab_voxels: int) -> Any:
        channels = list(range(self.model.output_channels))
        softmax.append(grid.probabilities(answer, channels, False, slab_voxels).lesions)
        return to_prediction(self, answer, grid, slab_voxels)

    bundle = load_bundle(bundle_folder)
    stages = load_stages(bundle, resolve(device, backend, "fp32"))
    with (
        patch.object(Localizer, "segment", segment_given),
        patch.object(MultiTaskPredictor, "to_prediction", prediction_kept),
    ):
        result = process_case(read_ct(ct), stages, bundle, Clock())
    return Answer(masks[0], softmax[0], result.detection_inset().whole())


def nnunet_answer(folders: tuple[Path, Path], ct: Path, work: Path, device: str) -> Answer:
    """Returns what the baseline's steps say, by nnU-Net's own code."""
    import SimpleITK as sitk
    from report_guided_annotation import extract_lesion_candidates

    from ctcore.itk import from_sitk

    shutil.rmtree(work, ignore_errors=True)
    low, full = work / "low", work / "full"
    for folder in (low, full):
        folder.mkdir(parents=True)
    first = NnunetStage(folders[0], "stage 1", STAGE1_NETWORK, "stage 1")
    second = NnunetStage(folders[1], "preprocess", NETWORK, "to grid")
    watch = Stopwatch()
    image = sitk.ReadImage(str(ct), sitk.sitkFloat32)
    sitk.WriteImage(resampled(image), str(low / "scan_0000.nii.gz"))
    predict_scan(first, low, watch, device=device, tta=False)
    found = sitk.ReadImage(str(low / "scan.nii.gz"))
    given = sitk.GetImageFromArray(given_pancreas(from_sitk(found).geometry))
    given.CopyInformation(found)
    box = pancreas_box(image, given)
    z, y, x = box.slices
    sitk.WriteImage(image[x, y, z], str(full / "scan_0000.nii.gz"))
    predict_scan(second, full, watch, device=device, tta=False)
    probabilities = np.load(full / "scan.npz")["probabilities"]
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(full / "scan.nii.gz")))
    whole = np.zeros(sitk.GetArrayFromImage(image).shape, np.float32)
    whole[box.slices] = extract_lesion_candidates(near_gland(probabilities[LESION], labels))[0]
    detection = sitk.GetImageFromArray(whole)
    detection.CopyInformation(image)
    return Answer(sitk.GetArrayFromImage(found) > 0, probabilities, from_sitk(detection))


def _map_differences(one: npt.NDArray[Any], other: npt.NDArray[Any], name: str) -> dict[str, Any]:
    """Returns how far two detection maps are apart: voxel by voxel, and as the Dice of where they are above 0."""
    sizes = int((one > 0).sum() + (other > 0).sum())
    return {
        f"map_{name}": float(np.abs(one - other).max()),
        f"dice_{name}": 2 * int(((one > 0) & (other > 0)).sum()) / sizes if sizes else 1.0,
    }


def _differences(one: Answer, other: Answer, name: str) -> dict[str, Any]:
    """Returns how far two answers are apart."""
    if one.softmax.shape != other.softmax.shape:
        raise PipelineError(f"ROIs of {one.softmax.shape[1:]} and {other.softmax.shape[1:]} voxels cannot be compared")
    apart = np.abs(one.softmax - other.softmax).max(axis=0)
    return {
        f"softmax_{name}": float(np.percentile(apart, PERCENTILE)),
        f"softmax_largest_{name}": float(apart.max()),
        **_map_differences(one.detection.array, other.detection.array, name),
        f"pancreas_equal_{name}": float((one.pancreas == other.pancreas).mean()),
    }


if __name__ == "__main__":
    sys.exit(main())
