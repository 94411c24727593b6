"""The tables of the systems study, and the differences between our recipe and each of the others."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.bounds import Bound, print_bounds
from benchmarks.systems_figure import draw_systems
from ctcore.evaluation.class_figures import ClassTable, class_score_statistics, class_statistics
from ctcore.evaluation.statistics.bootstrap import Estimate, estimates
from ctcore.evaluation.statistics.lesions import Findings, average_precision
from ctcore.evaluation.statistics.roc import auroc
from ctcore.evaluation.statistics.statistic import Statistic, difference
from ctcore.json_files import read_json

OURS = "flagship"
TITLES = {"pdac": "PDAC or not", "subtypes": "Three lesion subtypes"}
BOOTSTRAP, SEED = 1000, 0

MIN_AUROC, MIN_MACRO_F1 = 0.80, 0.60
"""What every system reaches with its fixes: on PDAC, on three subtypes."""
OUR_AUROC, OUR_AP = 0.93, 0.70
FUSION_TOLERANCE = 0.01
FUSED = ("panorama-fpn", "flagship")
"""Systems whose fused AUROC must not fall below the better of head and map alone."""

SMALL_MM = 20

NOT_FINDINGS = ("ignored",)
"""Outcomes of candidates that count neither as hits nor as false positives."""


@dataclass(frozen=True, eq=False)
class Result:
    """An evaluated system.

    Attributes:
        metrics: its `metrics.json`.
        cases: rows of its `cases.csv`, by case id in that order.
        findings: its lesions and false positives.
        diameters: (cases,) the largest lesion's diameter, mm; 0 where there is none.
    """

    metrics: dict[str, Any]
    cases: dict[str, dict[str, str]]
    findings: Findings
    diameters: npt.NDArray[np.float64]

    @classmethod
    def read(cls, folder: Path) -> Result:
        """Reads the folder that `stage2-multitask evaluate` wrote."""
        with (folder / "cases.csv").open(encoding="utf-8", newline="") as file:
            cases = {row["case_id"]: row for row in csv.DictReader(file)}
        with (folder / "lesions.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["outcome"] not in NOT_FINDINGS]
        order = {case_id: index for index, case_id in enumerate(cases)}
        findings = Findings(
            np.array([order[row["case_id"]] for row in rows], dtype=np.intp),
            np.array([row["lesion"] != "" for row in rows], dtype=bool),
            np.array([float(row["confidence"] or 0.0) for row in rows]),
            len(cases),
        )
        diameters = np.zeros(len(cases))
        for row in rows:
            place = order[row["case_id"]]
            diameters[place] = max(diameters[place], float(row["lesion_diameter_mm"] or 0.0))
        return cls(read_json(folder / "metrics.json"), cases, findings, diameters)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        first = next(iter(self.cases.values()))
        return tuple(name.removeprefix("score_") for name in first if name.startswith("score_"))

    @property
    def true(self) -> npt.NDArray[np.int64]:
        """(cases,) index of the true class."""
        return np.array([self.classes.index(row["class_name"]) for row in self.cases.values()])

    def statistics(self) -> dict[str, Statistic]:
        """Returns fused AUROC (three classes: mean of one against the rest), lesion AP and macro-F1."""
        names, true, rows = self.classes, self.true, self.cases.values()
        table = ClassTable(names, true, np.array([names.index(row["predicted_class"]) for row in rows]))
        scores = np.array([[float(row[f"score_{name}"]) for name in names] for row in rows])
        area = (
            auroc(scores[:, 1], true == 1)
            if len(names) == 2
            else class_score_statistics(scores, true, names)["one_vs_rest/auroc_macro"]
        )
        macro_f1 = class_statistics(table)["macro_f1"]
        return {"auroc": area, "ap": average_precision(self.findings), "macro_f1": macro_f1}


def by_size(name: str, result: Result) -> dict[str, str]:
    """Returns a system's row of what it finds of small and of large lesions.

    For PDAC also the fused AUROC of the patients whose largest lesion is smaller than 2 cm, and of the others, both
    against all without one.
    """
    found = result.metrics["lesions"]["sensitivity_by_size"]
    row = {"system": name} | {f"found {size}": shown(found[size]) for size in found}
    row["false positives a case"] = f"{result.metrics['lesions']['false_positives_per_case']['value']:.2f}"
    if len(result.classes) > 2:
        return row
    scores = np.array([float(case["score"]) for case in result.cases.values()])
    small = result.diameters < SMALL_MM
    for title, of_size in ((f"AUROC < {SMALL_MM // 10} cm", small), (f"{SMALL_MM // 10} cm and more", ~small)):
        kept = (result.true == 0) | ((result.true == 1) & of_size)
        area = estimates({"auroc": auroc(scores[kept], result.true[kept] == 1)}, result.true[kept], BOOTSTRAP, SEED)
        row[title] = shown({"value": area["auroc"].value, "ci95": area["auroc"].ci95})
    return row


def differences(ours: Result, other: Result) -> dict[str, Estimate]:
    """Returns ours minus the other by measure, on the same draws of the same cases."""
    if list(ours.cases) != list(other.cases):
        raise ValueError("the systems were evaluated on different cases; evaluate both again")
    first, second = ours.statistics(), other.statistics()
    paired = {name: difference(first[name], second[name]) for name in first}
    groups = [row["patient_id"] or case_id for case_id, row in ours.cases.items()]
    return estimates(paired, ours.true, BOOTSTRAP, SEED, groups=groups)


def print_tables(root: Path, pictures: Path, tasks: Sequence[str], systems: Sequence[str]) -> dict[str, Any]:
    """Prints the table of every task in Markdown, and the bounds; returns all figures as JSON types.

    Args:
        root: `TASK/RUN` folders of evaluations; runs beside the systems (variants) are shown after them.
        pictures: folder that gets a picture of each task, `systems-TASK.png`.
        tasks: the tasks.
        systems: the systems of the comparison.
    """
    document: dict[str, Any] = {"schema_version": 1, "tasks": {}}
    bounds: list[Bound] = []
    for task in tasks:
        found = {path.parent.name: Result.read(path.parent) for path in sorted((root / task).glob("*/metrics.json"))}
        order = [name for name in systems if name in found] + [name for name in found if name not in systems]
        rows = [row_of(name, found[name].metrics) for name in order]
        sizes = [by_size(name, found[name]) for name in order]
        print(f"\n### {task}\n\n{markdown(rows)}\n\n{markdown(sizes)}")
        if found:
            title = f"{TITLES[task]}: {len(next(iter(found.values())).cases)} test phantoms, 95 % intervals"
            draw_systems(pictures / f"systems-{task}.png", title, {name: found[name].metrics for name in order})
        compared = {}
        if OURS in found:
            others = [name for name in systems if name in found and name != OURS]
            compared = {name: differences(found[OURS], found[name]) for name in others}
            print("\n" + markdown([difference_row(name, values) for name, values in compared.items()]))
        bounds += bounds_of(task, {name: found[name].metrics for name in systems if name in found}, systems)
        document["tasks"][task] = {
            "rows": rows,
            "by_size": sizes,
            "ours_minus": {
                name: {measure: {"value": e.value, "ci95": e.ci95} for measure, e in values.items()}
                for name, values in compared.items()
            },
        }
    print_bounds(bounds)
    return document | {"bounds": [bound.as_dict() for bound in bounds]}


def row_of(name: str, metrics: Mapping[str, Any]) -> dict[str, str]:
    """Returns a system's row."""
    lesion = metrics["segmentation"].get("lesion") or next(iter(metrics["segmentation"].values()))
    return {
        "system": name,
        "AUROC fused": shown(metrics["fused"]["auroc"]),
        "head": shown(metrics["head"]["auroc"]),
        "map": shown(metrics["map"]["auroc"]),
        "lesion AP": shown(metrics["ap"]),
        "macro-F1": shown(metrics["fused"]["macro_f1"]),
        "macro-F1 head": shown(metrics["head"]["macro_f1"]),
        "Dice lesion": shown(lesion["dice"]),
    }


def difference_row(name: str, values: Mapping[str, Estimate]) -> dict[str, str]:
    """Returns the row of our recipe minus another system."""
    titles = {"auroc": "AUROC", "ap": "lesion AP", "macro_f1": "macro-F1"}
    cells = {titles[measure]: shown({"value": e.value, "ci95": e.ci95}, "+.3f") for measure, e in values.items()}
    return {f"{OURS} minus": name} | cells


def shown(estimate: Mapping[str, Any] | None, form: str = ".3f") -> str:
    """Returns a figure with its interval."""
    if estimate is None or estimate["value"] is None:
        return "-"
    interval = estimate["ci95"]
    return f"{estimate['value']:{form}}" + (f" [{interval[0]:{form}}, {interval[1]:{form}}]" if interval else "")


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Returns rows as a Markdown table."""
    if not rows:
        return "nothing was evaluated yet"
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def bounds_of(task: str, found: Mapping[str, Mapping[str, Any]], systems: Sequence[str]) -> list[Bound]:
    """Returns what the systems must reach on a task; a system that was not evaluated misses its bounds."""

    def value(name: str, *path: str) -> float | None:
        place: Any = found.get(name)
        for part in path:
            place = None if place is None else place.get(part)
        return None if place is None else place["value"]

    measure, least = ("auroc", MIN_AUROC) if task == "pdac" else ("macro_f1", MIN_MACRO_F1)
    bounds = [Bound(task, f"{name}: {measure}", value(name, "fused", measure), "at least", least) for name in systems]
    if task == "pdac":
        bounds.append(Bound(task, f"{OURS}: AUROC", value(OURS, "fused", "auroc"), "at least", OUR_AUROC))
        bounds.append(Bound(task, f"{OURS}: lesion AP", value(OURS, "ap"), "at least", OUR_AP))
        for name in FUSED:
            parts = [value(name, source, "auroc") for source in ("fused", "head", "map")]
            known = [part for part in parts if part is not None]
            loss = max(known[1:]) - known[0] if len(known) == len(parts) else None
            bounds.append(Bound(task, f"{name}: AUROC lost by fusion", loss, "at most", FUSION_TOLERANCE))
    for title, *path in (("fused AUROC", "fused", "auroc"), ("lesion AP", "ap"), ("macro-F1", "fused", "macro_f1")):
        scores = {name: value(name, *path) for name in systems}
        complete = all(score is not None for score in scores.values())
        best = max(scores, key=lambda name: scores[name] or 0.0) if complete else None
        bounds.append(Bound(task, f"best {title}", best, "equal to", OURS))
    return bounds
