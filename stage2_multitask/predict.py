"""Running the multi-task network over a folder of ROI crops."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctcore.cts import find_cts
from ctcore.durable import remove_partials, write_text
from ctcore.geometry import Reorientation
from ctcore.inference.label_maps import write_label_maps
from ctcore.lock import locked
from ctcore.volume import Volume
from stage2_multitask.predictor import MultiTaskPredictor


def predict_folder(
    model: Path,
    source: Path,
    output: Path,
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Writes the label map of every ROI crop on its own grid, and `classes.csv` with the class probabilities.

    Args:
        model: an exported stage-2 folder.
        source: a folder of ROI crops in Hounsfield units, or one.
        output: where `CASE.nii.gz` and `classes.csv` go.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: called with cases done and in all.

    Returns:
        The reasons of the cases that failed, by case id.

    Raises:
        RequestError: there is nothing to do, the model cannot be used, or another command writes into the output.
    """
    from ctcore.inference.backends.choose import resolve

    cases = find_cts(source).cases
    predictor = MultiTaskPredictor(model, resolve(device))
    classes: dict[str, Iterable[float]] = {}

    def segmentation(case_id: str, roi: Volume, _: Reorientation) -> npt.NDArray[np.uint8]:
        prediction = predictor.predict(roi)
        classes[case_id] = prediction.class_probabilities.values()
        return prediction.segmentation

    with locked(output):
        remove_partials(output)
        failed = write_label_maps(cases, output, segmentation, turn=not predictor.as_stored, progress=progress)
        rows = [["case_id", *(f"p_{name}" for name in predictor.class_names)]]
        rows += [[case_id, *(f"{p:.6f}" for p in found)] for case_id, found in classes.items() if case_id not in failed]
        write_text(output / "classes.csv", "".join(",".join(row) + "\n" for row in rows))
    return failed
