"""One CT through the published PANORAMA baseline's steps, with nnU-Net's own code: a process of `benchmarks.inference`.

Read as float32, resample by B-splines, find the pancreas, crop, segment, keep all probabilities in a compressed file,
clear the lesion's outside the predicted gland, extract candidates, write the detection map. nnU-Net's predictor, its
preprocessing and its export are called one after the other in this process, which spares the reference the processes
that its command line starts.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.clinical_ct import lesion_probability, pancreas_mask
from benchmarks.flow import NETWORK, STAGE1_NETWORK, FlowRecord, Stopwatch, cores, own_peak_gib
from benchmarks.panorama_networks import CHECKPOINT, LESION, MARGIN_MM
from ctcore.durable import write_text
from ctcore.errors import RequestError
from ctcore.geometry import Box
from ctcore.itk import from_sitk

LOW_SPACING_XYZ = (4.5, 4.5, 9.0)
GLAND = (1, 4, 5)
"""Labels lesion, pancreas and duct: lesions are searched near them alone."""
GLAND_DILATION = (5, 5, 5)


@dataclass
class NnunetStage:
    """One of the two networks.

    Attributes:
        folder: nnU-Net's model folder.
        before: phase of nnU-Net's preprocessing.
        network: phase of the network.
        after: phase of nnU-Net's export.
        windows: times that the network was run.
    """

    folder: Path
    before: str
    network: str
    after: str
    windows: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reference_flow", description=__doc__)
    parser.add_argument("--models", type=Path, nargs=2, required=True, help="nnU-Net's folders of stage 1 and 2")
    parser.add_argument("--image", type=Path, required=True, help="the CT")
    parser.add_argument("--output", type=Path, required=True, help="folder for what it writes")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--tta", action="store_true", help="average over mirrored inputs")
    parser.add_argument("--record", type=Path, required=True, help="file for its record")
    parser.add_argument("--started", type=float, required=True, help="when the process was started, seconds since 1970")
    options = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(cores())
    stages = (
        NnunetStage(options.models[0], "stage 1", STAGE1_NETWORK, "stage 1"),
        NnunetStage(options.models[1], "preprocess", NETWORK, "to grid"),
    )
    watch = Stopwatch()
    with contextlib.redirect_stdout(io.StringIO()):
        run_case(options.image, options.output, stages, watch, device=options.device, tta=options.tta)
    record = FlowRecord(
        flow="reference",
        execution={
            "device": options.device,
            "backend": "nnunetv2",
            "precision": "fp16" if options.device.startswith("cuda") else "fp32",
        },
        seconds=watch.seconds,
        windows=(stages[0].windows, stages[1].windows),
        start_up_seconds=None,
        finished_seconds=(time.time() - options.started,),
        peak_gib=own_peak_gib(),
        load_average=os.getloadavg()[0],
    )
    write_text(options.record, record.model_dump_json())
    return 0


def run_case(
    image_path: Path,
    output: Path,
    stages: tuple[NnunetStage, NnunetStage],
    watch: Stopwatch,
    *,
    device: str,
    tta: bool,
) -> None:
    """Takes a CT all the way to `output/detection_map.mha`."""
    import SimpleITK as sitk
    from report_guided_annotation import extract_lesion_candidates

    low, full = output / "low", output / "full"
    for folder in (low, full):
        folder.mkdir(parents=True, exist_ok=True)
    with watch.phase("read"):
        image = sitk.ReadImage(str(image_path), sitk.sitkFloat32)
    with watch.phase("stage 1"):
        sitk.WriteImage(resampled(image), str(low / "scan_0000.nii.gz"))
    predict_scan(stages[0], low, watch, device=device, tta=tta)
    with watch.phase("stage 1"):
        found = sitk.ReadImage(str(low / "scan.nii.gz"))
    given = sitk.GetImageFromArray(pancreas_mask(from_sitk(found).geometry))
    given.CopyInformation(found)
    with watch.phase("preprocess"):
        box = pancreas_box(image, given)
        (z, y, x) = box.slices
        cropped = image[x, y, z]
        sitk.WriteImage(cropped, str(full / "scan_0000.nii.gz"))
    predict_scan(stages[1], full, watch, device=device, tta=tta)
    with watch.phase("to grid"):
        probabilities = np.load(full / "scan.npz")["probabilities"]
    probabilities[LESION] = lesion_probability(from_sitk(cropped).geometry)
    with watch.phase("candidates"):
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(full / "scan.nii.gz")))
        candidates = extract_lesion_candidates(near_gland(probabilities[LESION], labels))[
            0
        ]  # in its default mode, as there
    with watch.phase("write"):
        whole = np.zeros(sitk.GetArrayFromImage(image).shape)
        whole[box.slices] = candidates
        detection = sitk.GetImageFromArray(whole)
        detection.CopyInformation(image)
        sitk.WriteImage(detection, str(output / "detection_map.mha"))


def pancreas_box(image: Any, mask: Any) -> Box:
    """Returns the ROI on the grid of a SimpleITK image: voxel centres of a low-resolution mask, and the margins.

    Raises:
        RequestError: the mask is empty.
    """
    import SimpleITK as sitk

    tight = Box.of_mask(sitk.GetArrayFromImage(mask))
    if tight is None:
        raise RequestError("the given pancreas lies outside the CT; give a CT of the benchmark's own")
    first, last = (
        image.TransformPhysicalPointToIndex(mask.TransformIndexToPhysicalPoint(corner))
        for corner in (tight.start[::-1], tuple(int(stop) - 1 for stop in tight.stop[::-1]))
    )
    margins = [int(mm / spacing) for mm, spacing in zip(MARGIN_MM[::-1], image.GetSpacing(), strict=True)]
    start = [max(0, a - m) for a, m in zip(first, margins, strict=True)]
    stop = [min(n, b + m) for n, b, m in zip(image.GetSize(), last, margins, strict=True)]
    return Box((start[2], start[1], start[0]), (stop[2], stop[1], stop[0]))


def near_gland(probability: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns a lesion probability (z, y, x) without what lies far from the predicted gland."""
    from scipy import ndimage

    gland = ndimage.binary_dilation(np.isin(labels, GLAND), structure=np.ones(GLAND_DILATION, bool))
    return np.where(gland, probability, np.float32(0))


def resampled(image: Any) -> Any:
    """Returns a SimpleITK image at stage 1's spacing; what lies outside becomes the pixel type's number, as there."""
    import SimpleITK as sitk

    size = [round(n * s / t) for n, s, t in zip(image.GetSize(), image.GetSpacing(), LOW_SPACING_XYZ, strict=True)]
    resample = sitk.ResampleImageFilter()
    resample.SetSize(size)
    resample.SetOutputSpacing(LOW_SPACING_XYZ)
    resample.SetOutputOrigin(image.GetOrigin())
    resample.SetOutputDirection(image.GetDirection())
    resample.SetDefaultPixelValue(image.GetPixelIDValue())
    resample.SetInterpolator(sitk.sitkBSpline)
    return resample.Execute(image)


def predict_scan(stage: NnunetStage, folder: Path, watch: Stopwatch, *, device: str, tta: bool) -> None:
    """Segments `scan_0000.nii.gz` of a folder as nnU-Net does, all probabilities kept: `scan.nii.gz`, `scan.npz`."""
    import torch
    from nnunetv2.inference.export_prediction import export_prediction_from_logits

    predictor = loaded_predictor(stage.folder, device, tta=tta)
    count = predictor.network.register_forward_hook(lambda *_: setattr(stage, "windows", stage.windows + 1))
    described = predictor.plans_manager, predictor.configuration_manager, predictor.dataset_json
    with watch.phase(stage.before):
        preprocessor = predictor.configuration_manager.preprocessor_class(verbose=False)
        data, _, properties = preprocessor.run_case([str(folder / "scan_0000.nii.gz")], None, *described)
        tensor = torch.from_numpy(data).to(dtype=torch.float32, memory_format=torch.contiguous_format)
    with watch.phase(stage.network):
        logits = predictor.predict_logits_from_preprocessed_data(tensor).cpu().detach().numpy()
    count.remove()
    with watch.phase(stage.after):
        plans, configuration, dataset = described
        target = str(folder / "scan")
        export_prediction_from_logits(
            logits, properties, configuration, plans, dataset, target, save_probabilities=True
        )


def loaded_predictor(folder: Path, device: str, *, tta: bool) -> Any:
    """Returns nnU-Net's predictor with all folds of a model folder."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    folds = tuple(sorted(int(path.name.removeprefix("fold_")) for path in folder.glob("fold_*")))
    predictor = nnUNetPredictor(use_mirroring=tta, device=torch.device(device), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), folds, CHECKPOINT)
    return predictor


if __name__ == "__main__":
    sys.exit(main())
