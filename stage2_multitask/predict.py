"""Running the multi-task network over a folder of ROI crops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ctcore.cts import find_cts, read_case
from ctcore.durable import remove_partials, write_text
from ctcore.errors import CaseError, first_line
from ctcore.files import write
from ctcore.geometry import as_stored, to_lps
from ctcore.lock import locked
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
    rows = [",".join(["case_id", *(f"p_{name}" for name in predictor.class_names)])]
    failed: dict[str, str] = {}
    turned = as_stored if predictor.as_stored else to_lps
    with locked(output):
        remove_partials(output)
        for done, case in enumerate(cases, start=1):
            try:
                stored = read_case(case)
                roi, reorientation = turned(stored)
                prediction = predictor.predict(roi)
                labels = reorientation.restore(prediction.segmentation)
                write(stored.with_array(labels), output / f"{case.case_id}.nii.gz")
                rows.append(",".join([case.case_id, *(f"{p:.6f}" for p in prediction.class_probabilities.values())]))
            except CaseError as error:
                failed[case.case_id] = first_line(error)
            if progress:
                progress(done, len(cases))
        write_text(output / "classes.csv", "\n".join(rows) + "\n")
    return failed
