"""Running the localizer over a folder of CTs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ctcore.cts import find_cts, read_case
from ctcore.durable import remove_partials
from ctcore.errors import CaseError, first_line
from ctcore.files import write
from ctcore.geometry import as_stored, to_lps
from ctcore.json_files import write_json
from ctcore.lock import locked
from ctcore.resample import resample_array
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
    failed: dict[str, str] = {}
    turned = as_stored if localizer.as_stored else to_lps
    with locked(output):
        remove_partials(output)
        for done, case in enumerate(cases, start=1):
            try:
                stored = read_case(case)
                ct, reorientation = turned(stored)
                found = localizer.locate(ct)
                mask = reorientation.restore(resample_array(found.pancreas.array, ct.geometry.shape, "nearest"))
                write(stored.with_array(mask), output / f"{case.case_id}.nii.gz")
                box = reorientation.restore_box(found.box)
                rois[case.case_id] = {
                    "start": box.start,
                    "stop": box.stop,
                    "source": found.source,
                    "flags": found.flags,
                    "pancreas_ml": round(found.pancreas_ml, 3),
                }
            except CaseError as error:
                failed[case.case_id] = first_line(error)
            if progress:
                progress(done, len(cases))
        write_json(output / "rois.json", rois)
    return failed
