"""Running the localizer over a folder of CTs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ctcore.cts import find_cts
from ctcore.durable import remove_partials
from ctcore.geometry import Reorientation
from ctcore.inference.label_maps import write_label_maps
from ctcore.json_files import write_json
from ctcore.lock import locked
from ctcore.resample import resample_array
from ctcore.volume import Volume
from stage1_localizer.localizer import Localizer


def predict_folder(
    model: Path,
    source: Path,
    output: Path,
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Writes the pancreas mask of every CT on its own grid, and `rois.json` with every ROI.

    Args:
        model: an exported stage-1 folder.
        source: a folder of CTs (image files or DICOM series), or one CT.
        output: where masks `CASE.nii.gz` and `rois.json` go.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: called with cases done and in all.

    Returns:
        The reasons of the cases that failed, by case id.

    Raises:
        RequestError: there is nothing to do, the model cannot be used, or another command writes into the output.
    """
    from ctcore.inference.backends.choose import resolve

    cases = find_cts(source).cases
    localizer = Localizer(model, resolve(device))
    rois: dict[str, Any] = {}

    def mask(case_id: str, ct: Volume, reorientation: Reorientation) -> npt.NDArray[Any]:
        found = localizer.locate(ct)
        box = reorientation.restore_box(found.box)
        rois[case_id] = {
            "start": box.start,
            "stop": box.stop,
            "source": found.source,
            "flags": found.flags,
            "pancreas_ml": round(found.pancreas_ml, 3),
        }
        return resample_array(found.pancreas.array, ct.geometry.shape, "nearest")

    with locked(output):
        remove_partials(output)
        failed = write_label_maps(cases, output, mask, turn=not localizer.as_stored, progress=progress)
        write_json(output / "rois.json", {case_id: roi for case_id, roi in rois.items() if case_id not in failed})
    return failed
