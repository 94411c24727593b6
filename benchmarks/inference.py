"""`pipeline run` beside the published baseline's flow: `python -m benchmarks.inference --plans DIR --slices 250`.

PANORAMA's own networks with random weights, one CT of 512 x 512 pixels, the same pancreas and lesions given to both
flows; every flow in a fresh process, turn and turn about, and the machine's matrix products in between. With
`--scaling`: this project alone, over numbers of slices and of cases, drawn. Prints every bound beside its figure and,
as its last line, all figures as one JSON object. Exit code: 0 all bounds that apply reached, 1 some missed, 2 the
request was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bounds import print_bounds, print_figures
from benchmarks.clinical_ct import scan_geometry, write_ct
from benchmarks.flow import FlowRecord, cores, run_flow
from benchmarks.inference_bounds import Request, bounds_of
from benchmarks.inference_parity import measure_random
from benchmarks.inference_scaling import measure_scaling
from benchmarks.matrix_peak import Kind, higher, matrix_peak
from benchmarks.panorama_networks import Models, make_models
from ctcore.errors import PipelineError, first_line
from ctcore.json_files import write_json

SCHEMA_VERSION = 1
REFERENCE, EXACT, GUIDED = "reference", "exact", "guided"
WARM_CASES = 2
"""Cases of a process whose last one is measured: the first compiles, or loads what is compiled."""

Records = dict[str, list[FlowRecord]]


@dataclass(frozen=True)
class Bench:
    """What is measured, and where.

    Attributes:
        models: the networks.
        request: the case.
        output: work folder.
        pixels: rows and columns of the CT.
    """

    models: Models
    request: Request
    output: Path
    pixels: int

    def ct(self, slices: int) -> Path:
        """Returns a CT, which is written at its first use."""
        path = self.output / f"ct_{self.pixels}_{slices}.nii.gz"
        if not path.is_file():
            write_ct(path, scan_geometry(slices, self.pixels))
        return path

    def ours(self, flow: str, slices: int, cases: int, *, home: str = "home") -> FlowRecord:
        """Runs this project on so many copies of a CT.

        Args:
            flow: `exact` or `guided`.
            slices: of the CT.
            cases: number of copies.
            home: name of the folder that keeps compiled networks.
        """
        folder = self.output / flow
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "input").mkdir(parents=True)
        for number in range(cases):
            os.link(self.ct(slices), folder / "input" / f"case{number:02}_0000.nii.gz")
        arguments = ["--flow", flow, "--bundle", str(self.models.bundle), "--input", str(folder / "input")]
        arguments += ["--output", str(folder / "run"), *self._common()]
        return run_flow("our_flow", arguments, folder, self.output / home)

    def reference(self, slices: int) -> FlowRecord:
        """Runs the baseline's flow on a CT."""
        folder = self.output / REFERENCE
        arguments = ["--models", *map(str, self.models.nnunet), "--image", str(self.ct(slices))]
        arguments += ["--output", str(folder / "run"), *self._common()]
        return run_flow("reference_flow", arguments, folder, self.output / "home")

    def _common(self) -> list[str]:
        return ["--device", self.request.device, *(["--tta"] if self.request.tta else [])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    options = _parser().parse_args(arguments)
    output: Path = options.output
    request = Request(options.slices, options.device, options.folds, options.tta)
    try:
        bench = Bench(make_models(options.plans, output / "models", request.folds), request, output, options.pixels)
        if options.scaling:
            figures, bounds = measure_scaling(bench.ours, GUIDED, output)
        else:
            figures, records = measure(bench, options.repeat, options.peak_size)
            bounds = bounds_of(request, figures)
            _print_phases(records)
    except PipelineError as error:
        sys.stderr.write(f"error: {first_line(error)}\n")
        return 2
    print_figures("inference", [(name.replace("_", " "), value) for name, value in _plain(figures)])
    print_bounds(bounds)
    summary = {"schema_version": SCHEMA_VERSION, "machine": machine(), "request": request.as_dict(), **figures}
    summary |= {"bounds": [bound.as_dict() for bound in bounds], "reached": all(bound.reached for bound in bounds)}
    write_json(output / ("inference_scaling.json" if options.scaling else "inference.json"), summary)
    print(json.dumps(summary))
    return 0 if summary["reached"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__)
    parser.add_argument("--plans", type=Path, required=True, help="folder with PANORAMA's plans and dataset files")
    parser.add_argument("--slices", type=int, default=250, help="slices of the CT (default: 250)")
    parser.add_argument("--output", type=Path, default=Path("work/inference"), help="work folder; CTs there are kept")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--folds", type=int, default=1, help="networks a stage (default: 1)")
    parser.add_argument("--tta", action="store_true", help="average over mirrored inputs")
    parser.add_argument("--repeat", type=int, default=1, help="times that every flow is run (default: 1)")
    parser.add_argument("--scaling", action="store_true", help="this project over numbers of slices and cases")
    parser.add_argument("--pixels", type=int, default=512, help="rows and columns of the CT (default: 512)")
    parser.add_argument("--peak-size", type=int, help="rows and columns of the matrices (default: enough)")
    return parser


def measure(bench: Bench, repeat: int, peak_size: int | None = None) -> tuple[dict[str, Any], Records]:
    """Runs all flows, turn and turn about.

    Args:
        bench: what is measured.
        repeat: times that each is run.
        peak_size: rows and columns of the matrices whose products are the roof.

    Returns:
        The figures, and every flow's records.
    """
    slices = bench.request.slices
    shutil.rmtree(bench.output / "home", ignore_errors=True)
    parity, _ = measure_random(bench.models.bundle / "stage2", bench.request.device)
    cold = bench.ours(GUIDED, slices, 1)  # as a run does by default
    flows = (REFERENCE, EXACT, GUIDED)
    records: Records = {flow: [] for flow in flows}
    peak: dict[Kind, float] = {}
    for _ in range(repeat):
        peak = higher(peak, matrix_peak(bench.request.device, peak_size))
        for flow in flows:
            run = bench.reference(slices) if flow == REFERENCE else bench.ours(flow, slices, WARM_CASES)
            records[flow].append(run)
    return figures_of(records, cold, peak, parity, bench), records


def figures_of(
    records: Records, cold: FlowRecord, peak: dict[Kind, float], parity: dict[str, Any], bench: Bench
) -> dict[str, Any]:
    """Returns what the runs come to: medians over repetitions, the largest memory of any."""
    seconds = {flow: statistics.median(record.total for record in runs) for flow, runs in records.items()}
    ours = {flow: runs for flow, runs in records.items() if flow != REFERENCE}
    memory = max(record.peak_gib for runs in (*ours.values(), [cold]) for record in runs)
    reference_memory = max(record.peak_gib for record in records[REFERENCE])
    speed = {flow: max(network_gflops(record, bench.models) for record in runs) for flow, runs in records.items()}
    precision = str(cold.execution["precision"])
    roof = {str(kind): value for kind, value in peak.items()}
    apart = [record.seconds_apart for record in ours[GUIDED] if record.seconds_apart is not None]
    start_up = [r.start_up_seconds for runs in ours.values() for r in runs if r.start_up_seconds is not None]
    return {
        "speedup_exact": seconds[REFERENCE] / seconds[EXACT],
        "speedup_guided": seconds[REFERENCE] / seconds[GUIDED],
        "peak_memory_ratio": memory / reference_memory,
        "fraction_of_matrix_peak": speed[EXACT] / roof[precision] if precision in roof else None,
        "max_softmax_difference": parity["max_softmax_difference"],
        "seconds_a_case": seconds,
        "seconds_around_network": {
            flow: statistics.median(record.around for record in runs) for flow, runs in records.items()
        },
        "seconds_beyond_network": {
            flow: statistics.median(record.beyond for record in runs if record.beyond is not None)
            for flow, runs in ours.items()
        },
        "start_up_seconds": statistics.median(start_up) if start_up else None,
        "cold_cache_seconds": cold.finished_seconds[0],
        "cases_a_second": 1 / statistics.median(apart) if apart else None,
        "peak_gib": {"ours": memory, REFERENCE: reference_memory},
        "precision": precision,
        "matrix_peak_gflops": roof,
        "network_gflops": speed,
        "windows": {flow: list(runs[0].windows) for flow, runs in records.items()},
        "window_gflop": list(bench.models.window_gflop),
        "parity": parity,
        "records": {flow: [record.model_dump() for record in runs] for flow, runs in records.items()},
        "cold_record": cold.model_dump(),
    }


def network_gflops(record: FlowRecord, models: Models) -> float:
    """Returns 10^9 floating point operations a second of stage 2's network."""
    from benchmarks.flow import NETWORK

    return record.windows[1] * models.window_gflop[1] / record.seconds[NETWORK]


def machine() -> dict[str, Any]:
    """Returns what the figures were measured on."""
    from importlib import metadata

    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    models = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    packages = ("torch", "openvino", "nnunetv2", "report-guided-annotation", "SimpleITK")
    return {
        "processor": models[0] if models else "unknown",
        "cpus": cores(),
        "load_average": os.getloadavg()[0],
        "versions": {name: metadata.version(name) for name in packages},
    }


def _plain(figures: dict[str, Any]) -> list[tuple[str, Any]]:
    """Returns the figures that a reader wants in a table, nested ones on rows of their own."""
    rows: list[tuple[str, Any]] = []
    for name, value in figures.items():
        if isinstance(value, dict) and not any(isinstance(item, list | dict) for item in value.values()):
            rows += [(f"{name}: {key}", item) for key, item in value.items()]
        elif not isinstance(value, dict):
            rows.append((name, value))
    return rows


def _print_phases(records: Records) -> None:
    from benchmarks.inference_table import phase_table

    print(phase_table(records))


if __name__ == "__main__":
    sys.exit(main())
