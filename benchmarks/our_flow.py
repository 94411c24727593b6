"""CTs through `pipeline run`, watched: a process of `benchmarks.inference`.

The command itself runs; the networks' answers for pancreas and lesion are replaced by the given ones, after they were
computed, and outside the measured time where that takes any.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.clinical_ct import lesion_probability, pancreas_mask
from benchmarks.flow import NETWORK, STAGE1_NETWORK, FlowRecord, own_peak_gib
from ctcore.errors import RequestError
from ctcore.files import read_json, write_text


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
    """What was seen of a stage.

    Attributes:
        cases: when it worked, case by case.
        calls: when its networks worked, case by case.
    """

    cases: list[Span] = field(default_factory=list)
    calls: list[list[Span]] = field(default_factory=list)

    @property
    def network(self) -> float:
        """Seconds of the networks for the last case."""
        return sum(call.seconds for call in self.calls[-1])

    def preparing(self) -> float | None:
        """Seconds by which the very first call took longer than the quickest later one: compiling, or reading a cache.

        None where there was no later one.
        """
        first, *later = [call.seconds for case in self.calls for call in case]
        return max(0.0, first - min(later)) if later else None


@dataclass
class RunWatch:
    """What was seen of a run.

    Attributes:
        stages: stage 1 and 2.
        loaded: when the last network was loaded, seconds since 1970.
        current: the stage at work.
    """

    stages: tuple[StageWatch, StageWatch] = field(default_factory=lambda: (StageWatch(), StageWatch()))
    loaded: float = 0.0
    current: StageWatch | None = None


class WatchedBackend:
    """A backend whose calls are timed; everything else is the backend's."""

    def __init__(self, backend: Any, watch: RunWatch) -> None:
        self._backend, self._watch = backend, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Runs the network."""
        begin = time.perf_counter()
        answer = self._backend(*arguments, **options)
        if self._watch.current is not None:
            self._watch.current.calls[-1].append(Span(begin, time.perf_counter()))
        return answer


@contextlib.contextmanager
def watched(watch: RunWatch) -> Iterator[None]:
    """Lets both stages be watched, and their answers be the given ones."""
    from ctcore.inference.backends import choose
    from stage1_localizer.localizer import Localizer
    from stage2_multitask.predictor import MultiTaskPredictor

    make_backend, segment, predict = choose.make_backend, Localizer.segment, MultiTaskPredictor.predict

    def make_watched(*arguments: Any, **options: Any) -> WatchedBackend:
        backend = WatchedBackend(make_backend(*arguments, **options), watch)
        watch.loaded = time.time()
        return backend

    def timed(stage: StageWatch, function: Any, arguments: Any, options: Any) -> Any:
        stage.calls.append([])
        watch.current = stage
        begin = time.perf_counter()
        answer = function(*arguments, **options)
        stage.cases.append(Span(begin, time.perf_counter()))
        watch.current = None
        return answer

    def segment_given(*arguments: Any, **options: Any) -> Any:
        mask = timed(watch.stages[0], segment, arguments, options)
        return mask.with_array(pancreas_mask(mask.geometry))

    def predict_given(self: Any, roi: Any, *arguments: Any, **options: Any) -> Any:
        prediction = timed(watch.stages[1], predict, (self, roi, *arguments), options)
        return replace(prediction, lesion_probability=lesion_probability(roi.geometry))

    with (
        patch.object(choose, "make_backend", make_watched),
        patch.object(Localizer, "segment", segment_given),
        patch.object(MultiTaskPredictor, "predict", predict_given),
    ):
        yield


def guided_windows() -> bool:
    """Tells whether `pipeline run` can place windows by the anatomy."""
    from pipeline.records import RunOptions

    return "windows" in RunOptions.model_fields


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.our_flow", description=__doc__)
    parser.add_argument("--flow", choices=("exact", "guided"), default="exact", help="how windows are placed")
    parser.add_argument("--bundle", required=True, help="model bundle")
    parser.add_argument("--input", required=True, help="folder of CTs")
    parser.add_argument("--output", type=Path, required=True, help="output of the run")
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda (default: cpu)")
    parser.add_argument("--tta", action="store_true", help="average over mirrored inputs")
    parser.add_argument("--record", type=Path, required=True, help="file for its record")
    parser.add_argument("--started", type=float, required=True, help="when the process was started, seconds since 1970")
    options = parser.parse_args(arguments)
    from pipeline.cli import app

    command = ["run", "--bundle", options.bundle, "--input", options.input, "--output", str(options.output)]
    command += ["--device", options.device, "--overwrite", "--no-report", *(["--tta"] if options.tta else [])]
    command += ["--windows", options.flow] if guided_windows() else []
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
    first, second = watch.stages
    calls, span = second.calls[-1], second.cases[-1]
    before, after = calls[0].begin - span.begin, span.end - calls[-1].end
    preparing = [stage.preparing() for stage in watch.stages]
    known = [seconds for seconds in preparing if seconds is not None]
    return FlowRecord(
        flow=flow,
        execution=read_json(output / "run.json")["execution"],
        seconds={
            "read": said["read"],
            "stage 1": said["locate"] - first.network,
            STAGE1_NETWORK: first.network,
            "preprocess": before,
            NETWORK: second.network,
            "to grid": after + (calls[-1].end - calls[0].begin - second.network),  # blending, between the calls, too
            "candidates": said["detect"],
            "write": said["write"],
        },
        windows=(len(first.calls[-1]), len(calls)),
        start_up_seconds=watch.loaded - started + sum(known) if len(known) == len(preparing) else None,
        finished_seconds=tuple(path.stat().st_mtime - started for path in cases),
        peak_gib=own_peak_gib(),
    )


if __name__ == "__main__":
    sys.exit(main())
