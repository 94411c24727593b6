"""Long commands killed at random moments, started again by the same line, and compared with undisturbed ones.

    python -m benchmarks.kills --output work/kills [--kills 50] [--seed 0] [--command run ...]

Tiny patients and networks (`benchmarks.tiny`). Each round: the folder is removed, the command is started, killed by
SIGKILL after a random share of the time that it takes undisturbed (drawn again if it was faster), started again and
waited for; its folder is then compared byte for byte with that of the undisturbed one. `run` has `--kills` rounds, the
others a tenth of them. What may differ is listed in `benchmarks.same`. Most commands run in processes that are forked
from this one, which has imported what they need: nearly all of a round is work that may be hit.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bounds import Bound, closing, print_bounds, print_figures
from benchmarks.same import differences
from benchmarks.tiny import write_bundle, write_patients, write_recipes
from ctcore.inference.backends.openvino_backend import import_openvino

PATIENTS = 4
PRELOADED = (
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "pipeline.cli",
    "pipeline.cli_run",
    "pipeline.report.figure",
    "pipeline.report.page",
    "pipeline.run",
    "pipeline.told",
    "report_guided_annotation",
    "rich.progress",
    "rich.table",
    "scipy.ndimage",
    "skimage.measure",
    "stage1_localizer.cli",
    "stage1_localizer.localizer",
    "stage2_multitask.cli",
    "stage2_multitask.predictor",
)
"""What commands import on their way, which would be most of a short command's time."""

ALONE = ("plan", "train")
"""Commands that are started, not forked."""

TRIES = 20
"""How often a moment is drawn for one kill before the command is taken for one that cannot be hit."""


@dataclass(frozen=True)
class Command:
    """A long command.

    Attributes:
        name: what it is called here.
        module: whose command line.
        arguments: of it.
        output: the folder that it writes into.
        before: a folder that its output is a copy of at the start of every round; None: there is none.
        after: name of the command whose result it works on; None: it needs none.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    output: Path
    before: Path | None = None
    after: str | None = None

    def clear(self) -> None:
        """Brings the output to what it was before the command."""
        shutil.rmtree(self.output, ignore_errors=True)
        if self.before is not None:
            shutil.copytree(self.before, self.output, symlinks=True)


def commands(work: Path) -> list[Command]:
    """Returns the commands, each of which works on what the one before has left."""
    patients, bundle, recipes = str(work / "patients"), str(work / "model" / "bundle"), write_recipes(work)
    images, labels = str(work / "patients" / "imagesTr"), str(work / "patients" / "labelsTr")
    made = [
        Command(
            "run",
            "pipeline",
            ("run", "--input", images, "--bundle", bundle, "--device", "cpu", "--deterministic"),
            work / "run",
        ),
        Command(
            "evaluate",
            "pipeline",
            (
                "evaluate",
                "--predictions",
                str(work / "run.done"),
                "--labels",
                labels,
                "--lesion-label",
                "1",
                "--workers",
                "2",
            ),
            work / "evaluation",
            after="run",
        ),
        Command("phantom", "pipeline", ("phantom", "--cases", "2", "--seed", "1"), work / "phantoms"),
    ]
    for stage, recipe in zip(("stage1_localizer", "stage2_multitask"), map(str, recipes), strict=True):
        root = work / stage
        prepared, planned = work / f"prepare {stage}.done", work / f"plan {stage}.done"
        place = ("--workspace", str(root), "--recipe", recipe)
        made += [
            Command(
                f"prepare {stage}",
                stage,
                ("prepare", "--input", patients, "--recipe", recipe, "--folds", "2", "--workers", "2"),
                root,
            ),
            Command(f"plan {stage}", stage, ("plan", *place), root, prepared, f"prepare {stage}"),
            Command(
                f"train {stage}",
                stage,
                ("train", *place, "--workers", "0", "--precision", "fp32"),
                root,
                planned,
                f"plan {stage}",
            ),
        ]
    return made


def start(command: Command, log: Path) -> int:
    """Starts a process that runs a command; returns its id.

    It is forked from this one, but where nnU-Net starts processes of its own, which PyTorch's threads would hold up.
    """
    target = () if command.arguments[0] in ALONE else ("--output", str(command.output))
    if command.arguments[0] in ALONE:
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", command.module, *command.arguments], stdout=file, stderr=file
            )
        process.returncode = 0  # it is waited for here, not by subprocess
        return process.pid
    process_id = os.fork()
    if process_id:
        return process_id
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = [command.module]
    code: object = 1
    try:
        code = importlib.import_module(f"{command.module}.cli").app(
            [*command.arguments, *target], standalone_mode=False
        )
    finally:
        sys.stdout.flush()
        os._exit(int(code) if isinstance(code, int) else 0)


def wait(process_id: int) -> int:
    """Waits for a process; returns its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1])


def preload() -> None:
    """Imports what the processes that are forked from this one need; nothing is computed, so that no thread begins."""
    import_openvino()
    with contextlib.redirect_stdout(io.StringIO()):
        for name in PRELOADED:
            importlib.import_module(name)


def run_to_the_end(command: Command, log: Path) -> float:
    """Runs a command; returns its seconds.

    Raises:
        RuntimeError: it fails.
    """
    begin = time.perf_counter()
    code = wait(start(command, log))
    if code != 0:
        raise RuntimeError(f"'{command.name}' ended with exit code {code}; see '{log}'")
    return time.perf_counter() - begin


def kill_once(command: Command, seconds: float, generator: random.Random, log: Path) -> bool:
    """Starts a command and kills it; returns whether it was still at work."""
    for _ in range(TRIES):
        command.clear()
        process_id = start(command, log)
        time.sleep(generator.uniform(0, seconds))
        os.kill(process_id, signal.SIGKILL)  # it is there, as nobody has waited for it
        if wait(process_id) == -signal.SIGKILL:
            return True
    return False


def measure(command: Command, kills: int, generator: random.Random, work: Path) -> tuple[int, list[str]]:
    """Kills a command again and again; returns how often it was hit, and every difference that this has made."""
    reference, log = work / f"{command.name}.done", work / f"{command.name}.log"
    command.clear()
    run_to_the_end(command, log)  # what is only made once: compiled networks, imports
    command.clear()
    seconds = run_to_the_end(command, log)
    shutil.copytree(command.output, reference, symlinks=True)
    found: list[str] = []
    hit = 0
    for number in range(kills):
        hit += kill_once(command, seconds, generator, log)
        try:
            run_to_the_end(command, log)
        except RuntimeError as error:
            found.append(f"kill {number}: {error}")
            continue
        found += [f"kill {number}: {difference}" for difference in differences(reference, command.output)]
        print(f"{command.name}: {number + 1} of {kills}, {len(found)} differences", flush=True)
    return hit, found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for everything; replaced")
    parser.add_argument("--kills", type=int, default=50, help="of 'run'; of each other command a tenth")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", action="append", help="only commands whose name begins so; repeatable")
    options = parser.parse_args(arguments)
    work = options.output.resolve()
    shutil.rmtree(work, ignore_errors=True)
    write_patients(work / "patients", PATIENTS)
    write_bundle(work / "model")
    chosen = tuple(options.command or ("",))
    preload()
    bounds, told, begin = [], [], time.perf_counter()
    every = {command.name: command for command in commands(work)}
    needed = {name for name in every if name.startswith(chosen)}
    for command in reversed(every.values()):
        if command.name in needed and command.after is not None:
            needed.add(command.after)
    for command in every.values():
        if command.name not in needed:
            continue
        rounds = options.kills if command.name == "run" else max(1, options.kills // 10)
        kills = rounds if command.name.startswith(chosen) else 0
        hit, found = measure(command, kills, random.Random(f"{options.seed} {command.name}"), work)
        told += found
        if kills:
            same = kills - len({line.split(":")[0] for line in found})
            bounds += [
                Bound(command.name, "killed at work", hit, "equal to", kills),
                Bound(command.name, "the same to the byte afterwards", same, "equal to", kills),
            ]
    for line in told[:20]:
        print(line)
    print_bounds(bounds)
    print_figures("beside", [("seconds", time.perf_counter() - begin)])
    return closing(bounds, differences=told)


if __name__ == "__main__":
    sys.exit(main())
