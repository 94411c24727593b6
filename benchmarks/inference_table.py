"""The tables of docs/performance.md from a benchmark's file: `python -m benchmarks.inference_table FILE...`."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bounds import text_of
from benchmarks.flow import PHASES, FlowRecord
from ctcore.errors import PipelineError, first_line
from ctcore.json_files import read_json


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference_table", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="inference.json of any number of runs")
    options = parser.parse_args(arguments)
    try:
        summaries = [read_json(path) for path in options.files]
    except PipelineError as error:
        sys.stderr.write(f"error: {first_line(error)}\n")
        return 2
    print("\n\n".join(text for summary in summaries for text in tables(summary)))
    return 0


def tables(summary: Mapping[str, Any]) -> list[str]:
    """Returns the tables of one `inference.json` as Markdown: what it was, phases, roof, bounds."""
    machine, request = summary["machine"], summary["request"]
    said = f"{machine['cpus']} cores of {machine['processor']}, load {machine['load_average']:.1f}; "
    said += f"512 x 512 x {request['slices']} voxels, {request['device']}, folds: {request['folds']}"
    said += ", mirrored" if request["tta"] else ""
    records = {
        flow: [FlowRecord.model_validate(record) for record in runs] for flow, runs in summary["records"].items()
    }
    return [said, phase_table(records), roof_table(summary), bounds_table(summary["bounds"])]


def phase_table(records: Mapping[str, Sequence[FlowRecord]]) -> str:
    """Returns seconds by phase, flow beside flow: medians over repetitions."""
    rows = [[phase, *(_median(r.seconds[phase] for r in runs) for runs in records.values())] for phase in PHASES]
    rows.append(["all", *(_median(record.total for record in runs) for runs in records.values())])
    rows.append(["around the networks", *(_median(record.around for record in runs) for runs in records.values())])
    rows.append(
        [
            "beyond the networks, by the clock",
            *(
                _median(b) if (b := [r.beyond for r in runs if r.beyond is not None]) else ""
                for runs in records.values()
            ),
        ]
    )
    rows.append(
        ["windows, stage 1 and 2", *(f"{runs[0].windows[0]}, {runs[0].windows[1]}" for runs in records.values())]
    )
    rows.append(["peak memory (GiB)", *(text_of(max(r.peak_gib for r in runs)) for runs in records.values())])
    rows.append(["load of the machine", *(text_of(max(r.load_average for r in runs)) for runs in records.values())])
    return markdown(["seconds", *records], rows)


def roof_table(summary: Mapping[str, Any]) -> str:
    """Returns what the machine could do and what each flow's stage-2 network reaches."""
    rows = [[f"matrix product, {kind}", text_of(value), ""] for kind, value in summary["matrix_peak_gflops"].items()]
    roof = summary["matrix_peak_gflops"].get(summary["precision"])
    for flow, value in summary["network_gflops"].items():
        rows.append([f"network, {flow}", text_of(value), text_of(value / roof) if roof else ""])
    return markdown(["10^9 operations a second", "", f"of the roof ({summary['precision']})"], rows)


def bounds_table(bounds: Sequence[Mapping[str, Any]]) -> str:
    """Returns every bound beside its figure."""
    rows = [
        [bound["name"], f"{bound['direction']} {text_of(bound['limit'])}", text_of(bound["value"])] for bound in bounds
    ]
    return markdown(["", "bound", "figure"], rows)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table as Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _median(values: Any) -> str:
    return text_of(float(statistics.median(values)))


if __name__ == "__main__":
    sys.exit(main())
