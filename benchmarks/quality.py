"""What quality flags are worth: how often each is raised on phantoms like those of training, and on faulty ones.

    python -m benchmarks.quality --output work/quality [--cases 30] [--faulty 10] [--bundle DIR]

Clean phantoms are portal-venous ones of seeds that no training has seen. Faulty ones are the first of them again, with
one fault each: another contrast phase, slices of 10 mm, three times the noise, a metal stent, a field of view that ends
in the pancreas or below it, stage 1's mask displaced, lungs instead of organs; and heads. Rendered CTs are kept in the
output folder and used again. These are phantoms: nothing is said of patients.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ctcore.errors import CaseError
from ctcore.files import read, read_ct, write
from ctcore.geometry import Box, to_lps
from ctcore.inference.backends.choose import resolve
from ctcore.phantom.faults import below_pancreas, cut_through_pancreas, head_ct, thorax_of, with_stent
from ctcore.phantom.phantom import make_phantom
from ctcore.phantom.scanner import Acquisition
from ctcore.quality.flags import (
    FLAG_METAL,
    FLAG_NOISE,
    FLAG_PHASE,
    FLAG_SLICES,
    FLAG_STAGES,
    FLAG_TRUNCATED,
    FLAG_UNLIKE,
    RULES,
)
from ctcore.volume import Volume
from pipeline.bundle import DEMO_BUNDLE, Bundle, load_bundle
from pipeline.case import process_case
from pipeline.clock import Clock
from pipeline.records import DEMO_FLAG
from pipeline.stages import LocatorStage, PancreasLocation, Stages, load_stages

SEED = 9_101_000
PORTAL_VENOUS = Acquisition(phase="portal-venous")
DISPLACED_MM = 60.0
FLAGS = ("pancreas_not_found", FLAG_PHASE, *(rule.flag for rule in RULES))
NOT_FOUND = FLAGS[0]

Change = Callable[[Volume, Volume], Volume]


def as_it_is(ct: Volume, labels: Volume) -> Volume:
    """Returns the CT."""
    del labels
    return ct


@dataclass(frozen=True)
class Fault:
    """One fault of a CT.

    Attributes:
        name: of the cohort.
        wanted: flags of which one at least is right.
        rendered: how the phantom is scanned.
        change: what is done to its CT, given its labels.
        displaced: whether stage 1's answer is moved.
    """

    name: str
    wanted: tuple[str, ...]
    rendered: Acquisition = PORTAL_VENOUS
    change: Change = as_it_is
    displaced: bool = False


FAULTS = (
    Fault("unenhanced", (FLAG_PHASE,), Acquisition(phase="non-contrast")),
    Fault("arterial", (FLAG_PHASE,), Acquisition(phase="pancreatic")),
    Fault("delayed", (FLAG_PHASE,), Acquisition(phase="delayed")),
    Fault("slices of 10 mm", (FLAG_SLICES,), Acquisition(phase="portal-venous", thickness_mm=10.0)),
    Fault("noise x 3", (FLAG_NOISE,), Acquisition(phase="portal-venous", noise_factor=3.0)),
    Fault("metal stent", (FLAG_METAL,), change=with_stent),
    Fault("cut through pancreas", (FLAG_TRUNCATED,), change=cut_through_pancreas),
    Fault("pancreas not scanned", (NOT_FOUND, FLAG_UNLIKE, FLAG_TRUNCATED), change=below_pancreas),
    Fault("stage 1 displaced", (FLAG_STAGES,), displaced=True),
    Fault("lungs for organs", (NOT_FOUND, FLAG_UNLIKE), change=lambda ct, _: thorax_of(ct)),
    Fault("head", (NOT_FOUND, FLAG_UNLIKE)),
)
CLEAN = Fault("clean", ())


def phantoms(fault: Fault, cases: int, folder: Path) -> Iterator[tuple[Volume, Volume]]:
    """Yields CTs and labels in LPS order; those in the folder are not rendered again."""
    how = fault.rendered
    name = f"{how.phase}_{how.noise_factor:g}_{how.thickness_mm or 0:g}"
    for number in range(cases):
        image, labels = folder / f"{name}_{number:03d}.nii.gz", folder / f"{name}_{number:03d}_labels.nii.gz"
        if not image.is_file():
            made = make_phantom(SEED + number, positive=bool(number % 2), acquisition=how)
            write(to_lps(made.labels)[0], labels)
            write(to_lps(made.image)[0], image)
        yield read_ct(image), read(labels)


def faulty(fault: Fault, cases: int, folder: Path) -> Iterator[Volume]:
    """Yields the CTs of a cohort."""
    if fault.name == "head":
        yield from (head_ct(number) for number in range(cases))
        return
    for ct, labels in phantoms(fault, cases, folder):
        yield fault.change(ct, labels)


class Displaced:
    """A localizer whose answer is moved towards the feet and to the left."""

    def __init__(self, locator: LocatorStage) -> None:
        self._locator = locator

    def locate(self, ct: Volume, /) -> PancreasLocation:
        """See `LocatorStage`."""
        found = self._locator.locate(ct)
        mask, spacing = found.pancreas.array, found.pancreas.geometry.spacing_zyx
        moved = np.zeros_like(mask)
        down, left = (round(DISPLACED_MM / spacing[axis]) for axis in (0, 2))
        moved[:-down, :, left:] = mask[down:, :, :-left]
        tight = Box.of_mask(moved)
        if tight is None:
            return found
        start, stop = [], []
        for axis, (mm, n) in enumerate(zip(ct.geometry.spacing_zyx, ct.geometry.shape, strict=True)):
            way = round(DISPLACED_MM / mm) * (-1, 0, 1)[axis]
            start.append(min(max(found.box.start[axis] + way, 0), n - 1))
            stop.append(min(max(found.box.stop[axis] + way, start[-1] + 1), n))
        box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
        return replace(found, box=box, pancreas=found.pancreas.with_array(moved))  # type: ignore[type-var]


def raised(fault: Fault, cts: Iterator[Volume], stages: Stages, bundle: Bundle) -> list[tuple[str, ...]]:
    """Returns the flags of every CT of a cohort; `failed` where it was refused."""
    used = replace(stages, localizer=Displaced(stages.localizer)) if fault.displaced else stages
    found: list[tuple[str, ...]] = []
    for ct in cts:
        try:
            found.append(process_case(ct, used, bundle, Clock()).flags)
        except CaseError:
            found.append(("failed",))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    from ctcore.console import progress

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="where rendered CTs and figures lie")
    parser.add_argument("--cases", type=int, default=30, help="clean phantoms")
    parser.add_argument("--faulty", type=int, default=10, help="phantoms of each fault")
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    options = parser.parse_args(arguments)
    bundle = load_bundle(options.bundle)
    stages = load_stages(bundle, resolve(), windows="guided")
    folder: Path = options.output / "cts"
    folder.mkdir(parents=True, exist_ok=True)
    cohorts: dict[str, list[tuple[str, ...]]] = {}
    with progress("cohorts") as report:
        for done, fault in enumerate((CLEAN, *FAULTS)):
            report(done, 1 + len(FAULTS))
            cases = options.cases if fault is CLEAN else min(options.faulty, options.cases)
            cohorts[fault.name] = raised(fault, faulty(fault, cases, folder), stages, bundle)
    figures = summary(cohorts)
    print_table(figures)
    (options.output / "quality.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))
    return 0


def summary(cohorts: dict[str, list[tuple[str, ...]]]) -> dict[str, dict[str, float]]:
    """Returns by cohort how many cases it has, the share with each flag, with any flag, and with one that is right."""
    wanted = {fault.name: fault.wanted for fault in FAULTS}
    figures = {}
    for name, cases in cohorts.items():
        shares = {flag: sum(flag in case for case in cases) / len(cases) for flag in (*FLAGS, "failed")}
        shares["any"] = sum(bool(set(case) - {DEMO_FLAG}) for case in cases) / len(cases)
        if name in wanted:
            right = {*wanted[name], "failed"}
            shares["found"] = sum(bool(right & set(case)) for case in cases) / len(cases)
        figures[name] = {"cases": float(len(cases)), **shares}
    return figures


def print_table(figures: dict[str, dict[str, float]]) -> None:
    """Prints false alarms by flag, then what was found of each fault, as Markdown."""
    clean = figures["clean"]
    print(f"| flag | raised on {clean['cases']:.0f} clean phantoms |\n|---|---|")
    for flag in FLAGS:
        print(f"| `{flag}` | {clean[flag]:.0%} |")
    print(f"| any of them | {clean['any']:.0%} |\n")
    print("| fault | cases | found | by | other flags |\n|---|---|---|---|---|")
    for fault in FAULTS:
        told = figures[fault.name]
        by = ", ".join(f"`{flag}` {told[flag]:.0%}" for flag in fault.wanted)
        others = ", ".join(f"`{f}` {told[f]:.0%}" for f in FLAGS if f not in fault.wanted and told[f] >= 0.2)
        print(f"| {fault.name} | {told['cases']:.0f} | {told['found']:.0%} | {by} | {others} |")


if __name__ == "__main__":
    sys.exit(main())
