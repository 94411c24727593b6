"""The viewer's volumes in a notebook: `from pipeline.viewer.notebook import case_widget` (docs/viewer.md)."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctcore.errors import RequestError
from pipeline.report.figure import WINDOW_HU
from pipeline.viewer.facts import colour_table
from pipeline.viewer.niivue import INSTALL, PACKAGE
from pipeline.viewer.shown import ShownRun
from pipeline.viewer.volumes import CT, DETECTION, SEGMENTATION, CaseVolumes

if TYPE_CHECKING:
    from ipyniivue import NiiVue


def case_widget(output: Path, case_id: str, input_path: Path | None = None, **options: Any) -> NiiVue:
    """Returns a widget that shows a case's CT, segmentation and detection map; the last line of a cell shows it.

    Args:
        output: output of a run.
        case_id: one of its cases.
        input_path: where its CTs are; None: where the run has found them.
        options: of NiiVue, as `ipyniivue.NiiVue` takes them.

    Raises:
        RequestError: ipyniivue is not installed, there is no such run or case, it has failed, or its CT is gone.
    """
    try:
        from ipyniivue import NiiVue
    except ImportError as error:
        raise RequestError(f"the widget needs {PACKAGE}; {INSTALL}") from error
    shown = ShownRun.read(output, input_path)
    if case_id not in shown.case_ids:
        raise RequestError(f"'{output}' has no case '{case_id}'; its cases are in results.csv")
    record = shown.record(case_id)
    if record.status == "failed":
        raise RequestError(f"case '{case_id}' has failed: {record.error}")
    with contextlib.closing(CaseVolumes(shown)) as volumes:

        def volume(name: str, **display: Any) -> dict[str, Any]:
            return {"name": name, "data": volumes.file(case_id, name).read_bytes(), **display}

        low, high = WINDOW_HU
        layers = [volume(CT, colormap="gray", cal_min=low, cal_max=high)]
        segmented = shown.output.segmentation_path(case_id).is_file()
        if segmented:
            layers.append(volume(SEGMENTATION, opacity=0.35))
        layers.append(volume(DETECTION, colormap="hot", opacity=0.6, cal_min=0.01, cal_max=1.0))
    widget = NiiVue(**{"is_radiological_convention": True, "sagittal_nose_left": True, **options})
    widget.load_volumes(layers)
    if segmented:
        widget.volumes[1].set_colormap_label(colour_table(record.segmentation_labels))
    return widget
