"""Fuzzes one target, `python -m fuzz TARGET [libFuzzer's options] [CORPUS]`, or all: `python -m fuzz --seconds 60`.

A target is run by atheris (libFuzzer, guided by coverage of this project's code); what is interesting is kept in the
corpus folder. The seeds are made by `fuzz.targets`, none are stored.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

CORPUS = Path("fuzz-corpus")
LARGEST_INPUT = 16_384
MEMORY_MIB = 2500
SLOWEST_SECONDS = 30
"""An input that takes longer is a hang."""

_DONE = re.compile(r"Done (\d+) (?:runs )?in")


def fuzz_one(name: str, options: list[str]) -> None:
    """Runs one target in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["ctcore", "stage2_multitask", "pipeline"], enable_loader_override=False):
        from fuzz.targets import TARGETS
    target = TARGETS[name]
    folder = next((Path(option) for option in options if not option.startswith("-")), CORPUS / name)
    if folder not in map(Path, options):
        options.append(str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (folder / f"seed-{number}").write_bytes(seed)
    with atheris.instrument_imports(include=["ctcore", "stage2_multitask", "pipeline"], enable_loader_override=False):
        for seed in target.seeds():
            target.run(seed)  # imports what it needs, and has to pass
    limits = [f"-max_len={LARGEST_INPUT}", f"-rss_limit_mb={MEMORY_MIB}", f"-timeout={SLOWEST_SECONDS}"]
    atheris.Setup([sys.argv[0], *limits, *options], target.run)
    atheris.Fuzz()


def fuzz_all(seconds: float, corpus: Path, names: list[str]) -> int:
    """Runs targets one after the other, each in a process of its own and for its part of the time.

    Returns:
        How many inputs were run.

    Raises:
        SystemExit: a target has found something; its input lies in the working folder.
    """
    total = 0
    for name in names:
        options = [f"-max_total_time={max(1, round(seconds / len(names)))}", f"-artifact_prefix={name}-"]
        command = [sys.executable, "-m", "fuzz", name, *options, str(corpus / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = _DONE.search(done.stderr)
        if done.returncode or found is None:
            sys.stderr.write(done.stderr[-4000:])
            raise SystemExit(f"error: target {name} ended with {done.returncode}; see above, and {name}-* here")
        total += int(found[1])
        sys.stdout.write(f"{name}: {found[1]} executions\n")
        sys.stdout.flush()
    sys.stdout.write(f"{total} executions, no crash\n")
    return total


def main() -> None:
    """Reads the command line."""
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        fuzz_one(sys.argv[1], sys.argv[2:])
        return
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="in all")
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--targets", nargs="*", default=list(TARGETS), choices=list(TARGETS))
    asked = parser.parse_args()
    fuzz_all(asked.seconds, asked.corpus, asked.targets)


if __name__ == "__main__":
    main()
