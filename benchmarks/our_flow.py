"""CTs through `pipeline run`, watched: a process of `benchmarks.inference`.

The command itself runs; the networks' answers for pancreas and lesion, and the segmentation that is measured, are
replaced by the given ones, after they were computed, and outside the measured time where that takes any.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.clinical_ct import label_map, lesion_probability, pancreas_mask
from benchmarks.flow import NETWORK, STAGE1_NETWORK, FlowRecord, own_peak_gib
from ctcore.durable import write_text
from ctcore.errors import RequestError
from ctcore.json_files import read_json


@dataclass(frozen=True)
class Span:
    """When something began and ended, by `time.perf_counter`."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


@dataclass
class StageWatch:
    """What was seen of a stage's networks.

    Attributes:
        calls: when they worked.
        ready: when each was ready to compute, where the backend shows it.
    """

    calls: list[Span] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)

    def since(self, begin: float) -> list[Span]:
        """Returns the calls that began later."""
        return [call for call in self.calls if call.begin >= begin]

    def preparing(self) -> float | None:
        """Seconds of compiling, or of reading what is compiled, in the first call.

        Where the backend does not show it: by how much that call took longer than the quickest later one; None where
        there was none.
        """
        first, *later = self.calls
        if self.ready:
            return self.ready[0] - first.begin
        return max(0.0, first.seconds - min(call.seconds for call in later)) if later else None


@dataclass
class RunWatch:
    """What was seen of a run.

    Attributes:
        stages: stage 1 and 2.
        loaded: when the last network was loaded, seconds since 1970.
        phases: when each phase of a case was entered, by name.
        giving: seconds in which the given lesions were made, in the order of the cases.
        drawing: the same of the given segmentation.
    """

    stages: tuple[StageWatch, StageWatch] = field(default_factory=lambda: (StageWatch(), StageWatch()))
    loaded: float = 0.0
    phases: dict[str, list[float]] = field(default_factory=dict)
    giving: list[float] = field(default_factory=list)
    drawing: list[float] = field(default_factory=list)


class WatchedBackend:
    """A backend whose calls are timed; everything else is the backend's."""

    def __init__(self, backend: Any, stage: StageWatch) -> None:
        self._backend, self._stage = backend, stage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Runs the network."""
        begin = time.perf_counter()
        with shown_ready(self._stage.ready):
            answer = self._backend(*arguments, **options)
        self._stage.calls.append(Span(begin, time.perf_counter()))
        return answer


@contextlib.contextmanager
def shown_ready(ready: list[float]) -> Iterator[None]:
    """Notes when OpenVINO has a compiled network to compute with, as long as it is inside."""
    openvino = sys.modules.get("openvino")
    if openvino is None:
        yield
        return
    create = openvino.CompiledModel.create_infer_request

    def create_noted(*arguments: Any, **options: Any) -> Any:
        request = create(*arguments, **options)
        ready.append(time.perf_counter())
        return request

    with patch.object(openvino.CompiledModel, "create_infer_request", create_noted):
        yield


@contextlib.contextmanager
def watched(watch: RunWatch) -> Iterator[None]:
    """Lets networks and phases be watched, and the answers for pancreas and lesions be the given ones."""
    from ctcore.detection import by_class
    from ctcore.detection.candidates import extract_candidates as extract
    from ctcore.inference.backends import choose
    from pipeline import case, measurements
    from pipeline.clock import Clock
    from stage1_localizer.localizer import Localizer

    make_backend, segment, phase = choose.make_backend, Localizer.segment, Clock.phase
    measure = measurements.measured_or_flagged

    def make_watched(network: Any, *arguments: Any, **options: Any) -> WatchedBackend:
        stage = watch.stages[not isinstance(network.build.func.__self__, Localizer)]
        backend = WatchedBackend(make_backend(network, *arguments, **options), stage)
        watch.loaded = time.time()
        return backend

    def segment_given(*arguments: Any, **options: Any) -> Any:
        mask = segment(*arguments, **options)
        return mask.with_array(pancreas_mask(mask.geometry))

    def extract_given(_probability: Any, settings: Any, *, geometry: Any, **options: Any) -> Any:
        begin = time.perf_counter()
        given = lesion_probability(geometry)
        watch.giving.append(time.perf_counter() - begin)
        return extract(given, settings, geometry=geometry, **options)

    def measure_given(seen: Any, case_id: str) -> Any:
        begin = time.perf_counter()
        given = replace(seen, labels=label_map(seen.geometry, seen.label_values))
        watch.drawing.append(time.perf_counter() - begin)
        return measure(given, case_id)

    @contextlib.contextmanager
    def phase_noted(self: Any, name: str) -> Iterator[None]:
        with phase(self, name):
            watch.phases.setdefault(name, []).append(time.perf_counter())
            yield

    with (
        patch.object(choose, "make_backend", make_watched),
        patch.object(Localizer, "segment", segment_given),
        patch.object(by_class, "extract_candidates", extract_given),
        patch.object(case, "measured_or_flagged", measure_given),
        patch.object(Clock, "phase", phase_noted),
    ):
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.our_flow", description=__doc__)
    parser.add_argument("--flow", choices=("exact", "guided"), default="exact", help="how windows are placed")
    parser.add_argument("--bundle", required=True, help="model bundle")
    parser.add_argument("--input", required=True, help="folder of CTs")
    parser.add_argument("--output", type=Path, required=True, help="output of the run")
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda (default: cpu)")
    parser.add_argument("--tta", action="store_true", help="average over mirrored inputs")
    parser.add_argument("--max-ram", help="memory that the process may use, as in 4G")
    parser.add_argument("--record", type=Path, required=True, help="file for its record")
    parser.add_argument("--started", type=float, required=True, help="when the process was started, seconds since 1970")
    options = parser.parse_args(arguments)
    from pipeline.cli import app

    command = ["run", "--bundle", options.bundle, "--input", options.input, "--output", str(options.output)]
    command += ["--device", options.device, "--overwrite", "--no-report", *(["--tta"] if options.tta else [])]
    command += ["--windows", options.flow, *(["--max-ram", options.max_ram] if options.max_ram else [])]
    watch = RunWatch()
    with watched(watch):
        status = app(command, standalone_mode=False)
    if status:
        raise RequestError(f"'pipeline {' '.join(command)}' ended with exit code {status}; see its message above")
    record = record_of(options.flow, options.output, watch, options.started)
    write_text(options.record, record.model_dump_json())
    return 0


def record_of(flow: str, output: Path, watch: RunWatch, started: float) -> FlowRecord:
    """Returns what is kept of a run that has ended.

    Args:
        flow: `exact` or `guided`.
        output: the run's output.
        watch: what was seen of it.
        started: when the process was started, seconds since 1970.
    """
    cases = sorted((output / "cases").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    said = read_json(cases[-1])["seconds"]
    begin = watch.phases["locate"][-1]
    first, second = (stage.since(begin) for stage in watch.stages)
    stage1_network, network = (sum(call.seconds for call in calls) for calls in (first, second))
    before = second[0].begin - min(entered for entered in watch.phases["predict"] if entered >= begin)
    preparing = [stage.preparing() for stage in watch.stages]
    known = [seconds for seconds in preparing if seconds is not None]
    return FlowRecord(
        flow=flow,
        execution=read_json(output / "run.json")["execution"],
        seconds={
            "read": said["read"],
            "stage 1": said["locate"] - stage1_network,
            STAGE1_NETWORK: stage1_network,
            "preprocess": before,
            NETWORK: network,
            "to grid": said["predict"] - before - network,  # and blending
            "candidates": said["detect"] - watch.giving[-1],
            "measure": said["measure"] - watch.drawing[-1],
            "write": said["write"],
        },
        windows=(len(first), len(second)),
        start_up_seconds=watch.loaded - started + sum(known) if len(known) == len(preparing) else None,
        finished_seconds=tuple(path.stat().st_mtime - started for path in cases),
        beside_seconds=watch.giving[-1] + watch.drawing[-1],
        peak_gib=own_peak_gib(),
        load_average=os.getloadavg()[0],
    )


if __name__ == "__main__":
    sys.exit(main())
