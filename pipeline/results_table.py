"""`results.csv`: one row a case, and which lesion classes have maps of their own."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from pipeline.records import CaseRecord

CSV_FIXED_BEFORE = ("case_id", "status", "score")
CSV_FIXED_AFTER = ("detection_max", "n_candidates", "flags", "seconds")
FLAG_SEPARATOR = ";"

_MAXIMUM = "detection_max_"
"""What the terms of the fusion call the maximum of a lesion class's own map."""


def results_csv(
    records: Sequence[CaseRecord], class_names: Sequence[str], with_probability: Sequence[str] | None = None
) -> str:
    """Returns the table of results; numbers are written in full, so that ranking by them loses nothing.

    With two classes their scores are `score` and the rest to 1; with more, the table has each class's score, the class
    of the highest, and the maximum of each lesion class's own detection map where there are such.

    Args:
        records: the cases.
        class_names: patient-level classes.
        with_probability: those that a classifier gives a probability; None for all.
    """
    with_probability = class_names if with_probability is None else with_probability
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    several = class_names if len(class_names) > 2 else ()
    own = [name for name in several if any(name in classes_with_maps(record) for record in records)]
    header = [f"p_{name}" for name in with_probability] + [f"score_{name}" for name in several]
    header += ["label"] * bool(several) + [f"{_MAXIMUM}{name}" for name in own]
    table.writerow((*CSV_FIXED_BEFORE, *header, *CSV_FIXED_AFTER))
    for record in records:
        terms = record.fusion.terms if record.fusion is not None else {}
        done = record.status == "done"
        table.writerow(
            (
                record.case_id,
                record.status,
                "" if record.score is None else repr(record.score),
                *(repr(record.classes[name]) if name in record.classes else "" for name in with_probability),
                *(repr(record.scores[name]) if name in record.scores else "" for name in several),
                *([record.label or ""] if several else ()),
                *(repr(terms[f"{_MAXIMUM}{name}"]) if f"{_MAXIMUM}{name}" in terms else "" for name in own),
                "" if record.detection_max is None else repr(record.detection_max),
                len(record.candidates) if done else "",
                FLAG_SEPARATOR.join(record.flags),
                f"{record.total_seconds:.2f}" if record.seconds else "",
            )
        )
    return buffer.getvalue()


def classes_with_maps(record: CaseRecord) -> list[str]:
    """Returns the lesion classes that have a detection map of their own."""
    terms = record.fusion.terms if record.fusion is not None and record.fusion.lesion_maps == "by_class" else {}
    return [key.removeprefix(_MAXIMUM) for key in terms if key.startswith(_MAXIMUM)]
