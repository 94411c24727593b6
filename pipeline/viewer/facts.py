"""What the page says of a case beside its volumes, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctcore.errors import RequestError
from pipeline.label_colours import coloured
from pipeline.records import CaseRecord
from pipeline.report.flag_words import words_of
from pipeline.viewer.shown import ShownRun
from pipeline.viewer.volumes import CT, CaseVolumes

CANDIDATE_KEYS = ("confidence", "volume_ml", "diameter_mm", "centroid_lps_mm")


def facts_of(shown: ShownRun, volumes: CaseVolumes, record: CaseRecord) -> dict[str, Any]:
    """Returns what the page needs of a case before it loads volumes.

    Args:
        shown: the run.
        volumes: makes its volumes; the CT is made at once, so that what is wrong with it is known.
        record: the case.
    """
    done = record.status == "done"
    return {
        "case_id": record.case_id,
        "image": record.image,
        "score": record.score,
        "label": record.label,
        "error": record.error,
        "notice": record.notice,
        "flags": [words_of(flag) for flag in record.flags],
        "missing_ct": _missing_ct(volumes, record.case_id),
        "detection": done and shown.output.detection_path(record.case_id).is_file(),
        "segmentation": done and shown.output.segmentation_path(record.case_id).is_file(),
        "evidence": done and shown.output.evidence_path(record.case_id).is_file(),
        "roi": record.roi is not None,
        "labels": [
            {"name": label.name, "value": label.value, "rgb": label.rgb}
            for label in coloured(record.segmentation_labels)
        ],
        "colours": colour_table(record.segmentation_labels),
        "candidates": [{key: one[key] for key in CANDIDATE_KEYS} for one in record.candidates],
    }


def colour_table(labels: Mapping[str, int]) -> dict[str, list[Any]]:
    """Returns the colours of a segmentation's labels in NiiVue's words; the background is not seen.

    Args:
        labels: values by name.
    """
    colours = coloured(labels)
    table: dict[str, list[Any]] = {
        key: [0, *(colour.rgb[channel] for colour in colours)] for channel, key in enumerate("RGB")
    }
    return table | {
        "A": [0, *[255] * len(colours)],
        "I": [0, *(colour.value for colour in colours)],
        "labels": ["", *(colour.name for colour in colours)],
    }


def _missing_ct(volumes: CaseVolumes, case_id: str) -> str | None:
    """Returns why there is no CT to show; None where there is one."""
    try:
        volumes.file(case_id, CT)
    except RequestError as error:
        return str(error)
    return None
