"""Are shapes measured right? `python -m benchmarks.morphometry [--output DIR] [--cases 200] [--workers 2]`.

Plans of parametric phantoms are put on voxels of 1 mm in slices of 1, 2 and 3 mm; what is measured on these label maps
is compared with the plan: the part of the gland in which the lesion lies, the portal confluence, calibres of both
ducts, the lesion's volume, and its diameter with that in slices of 1 mm. Where a lesion truly lies, its own voxels say
on the plan's axis; the point that it was grown from is counted beside. Contact is measured on straight vessels of
random directions with a mass around them by known degrees. Prints every bound beside its figure and, as its last line,
all figures as one JSON object, which `--output` keeps as `DIR/morphometry.json`. Exit code: 0 all bounds reached, 1
some missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.bounds import Bound, print_bounds, print_figures
from ctcore.console import progress
from ctcore.diameter import longest_axial_diameter_mm
from ctcore.json_files import write_json
from ctcore.labels import PanoramaLabel
from ctcore.morphometry.centre_line import CentreLine, centre_line
from ctcore.morphometry.contact import vessel_contact
from ctcore.morphometry.gland import NECK_HALF_MM, Gland
from ctcore.morphometry.measures import DuctMeasures, RegionMeasures
from ctcore.morphometry.paths import Inside, Spacing
from ctcore.morphometry.region import Anatomy, measure_region
from ctcore.morphometry.vessels import SPLENIC_VEIN, venous_tree
from ctcore.phantom.body import draw_habitus
from ctcore.phantom.deformation import random_deformation
from ctcore.phantom.draws import Draws
from ctcore.phantom.frame import Frame
from ctcore.phantom.pancreas import Line, PancreasPlan, draw_plan
from ctcore.phantom.pathology import Pathology, draw_pathology
from ctcore.phantom.region import plan_bounds, region_from_plan
from ctcore.volume import Geometry

SEED, CASES = 9601, 200
VOXEL_MM, SLICES_MM = 1.0, (1, 2, 3)
MARGIN_MM, HEIGHT_MARGIN_MM = 8.0, 30.0
HALF = 0.5
NECK_POSITION = 3.0
"""Where on the plan's axis splenic and superior mesenteric vein meet behind the gland."""
CONTACTS = 200
VESSEL_MM, MASS_MM, MASS_THICK_MM = 24.0, 8.0, 6.0

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """What was measured of a phantom against its plan; None where nothing was measured.

    Attributes:
        part: whether the lesion is in the right part: that of the place on the plan's axis to whose either side half of
            its drawn voxels lie.
        seed_part: whether it is in the part of the point that it was grown from.
        border_mm: how far the lesion's true place is from a border between parts.
        confluence_mm: distance of the confluence from its place.
        duct_mm, bile_mm: largest calibre less the true one.
        volume: relative error of the lesion's volume.
        diameter_mm: diameter less that in slices of 1 mm.
        diagonal_mm: of a voxel.
    """

    part: bool | None
    seed_part: bool | None
    border_mm: float
    confluence_mm: float | None
    duct_mm: float | None
    bile_mm: float | None
    volume: float | None
    diameter_mm: float | None
    diagonal_mm: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.morphometry", description=__doc__)
    parser.add_argument("--output", type=Path, help="folder for morphometry.json")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the first phantom (default: {SEED})")
    parser.add_argument("--cases", type=int, default=CASES, help=f"phantoms (default: {CASES})")
    parser.add_argument("--contacts", type=int, default=CONTACTS, help=f"vessels (default: {CONTACTS})")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    options = parser.parse_args(arguments)
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool, progress("phantoms") as report:
        found = []
        for difference in pool.map(partial(measure_phantom, seed=options.seed), range(options.cases)):
            found.append(difference)
            report(len(found), options.cases)
        errors = list(pool.map(contact_error, range(options.contacts)))
    figures, bounds = summary(found, errors)
    print_figures("morphometry", list(figures.items()))
    print_bounds(bounds)
    reached = all(bound.reached for bound in bounds)
    told = {"cases": options.cases, "seed": options.seed, **figures, "bounds": [b.as_dict() for b in bounds]}
    if options.output is not None:
        write_json(options.output / "morphometry.json", told | {"reached": reached})
    print(json.dumps(told | {"reached": reached}))
    return 0 if reached else 1


def summary(found: Sequence[Difference], contacts: Sequence[float]) -> tuple[dict[str, float | None], list[Bound]]:
    """Returns the figures of all cases and what is asked of them; `contacts`: errors in degrees."""
    parts = [each.part for each in found if each.part is not None]
    figures: dict[str, float | None] = {
        "lesions in the right part": _mean([float(right) for right in parts]),
        "in the part of the point that it was grown from": _mean(
            [float(each.seed_part) for each in found if each.seed_part is not None]
        ),
        "of those more than 5 mm from a border": _mean(
            [float(each.part) for each in found if each.part is not None and each.border_mm > 5]
        ),
        "confluence, median distance (mm)": _median([each.confluence_mm for each in found]),
        "confluence found": _mean([float(each.confluence_mm is not None) for each in found]),
    }
    bounds = [Bound("location", "lesions in the right part", figures["lesions in the right part"], "at least", 0.95)]
    for name, part, values in (
        ("duct, largest calibre", "calibre", [_of_diagonal(each.duct_mm, each) for each in found]),
        ("bile duct, largest calibre", "calibre", [_of_diagonal(each.bile_mm, each) for each in found]),
        ("lesion, diameter", "diameter", [_of_diagonal(each.diameter_mm, each) for each in found]),
    ):
        figures[f"{name}, median error (voxel diagonals)"] = _median(values)
        figures[f"{name}, 95th percentile"] = _percentile(values, 95)
        bounds.append(
            Bound(
                part, f"{name}, 95th percentile of the error (voxel diagonals)", _percentile(values, 95), "at most", 1.0
            )
        )
    volumes = [each.volume for each in found]
    figures["volume, 95th percentile of the relative error"] = _percentile(volumes, 95)
    figures["contact, mean error (degrees)"] = _mean(list(contacts))
    figures["contact, 95th percentile of the error (degrees)"] = _percentile([abs(error) for error in contacts], 95)
    bounds += [
        Bound("volume", "95th percentile of the relative error", _percentile(volumes, 95), "at most", 0.10),
        Bound(
            "contact",
            "95th percentile of the error (degrees)",
            figures["contact, 95th percentile of the error (degrees)"],
            "at most",
            15.0,
        ),
    ]
    return figures, bounds


def measure_phantom(number: int, seed: int = SEED) -> Difference:
    """Makes the label map of a phantom and measures it."""
    slice_mm = SLICES_MM[number % len(SLICES_MM)]
    plan, pathology, frame, whole = label_map(seed + number)
    labels, spacing = whole[::slice_mm], (VOXEL_MM * slice_mm, VOXEL_MM, VOXEL_MM)
    measured = measures_of(labels, spacing)
    axis = CentreLine(_on_grid(frame, plan.axis.points))
    neck, grown_from = np.interp([NECK_POSITION, pathology.position], plan.axis.position, axis.positions)
    true = Gland(_prolonged(axis, plan.axis.radii), neck + plan.axis.radii[0])
    place = true.position_mm(np.argwhere(whole == PanoramaLabel.LESION) * VOXEL_MM)
    borders = (true.confluence_mm - NECK_HALF_MM, true.confluence_mm + NECK_HALF_MM, true.body_ends_mm)
    lesion = measured.lesions[0] if measured.lesions else None
    part = None if lesion is None else lesion.part
    geometry = Geometry(whole.shape, (VOXEL_MM,) * 3)
    return Difference(
        part=None if part is None else part is true.part_at(place),
        seed_part=None if part is None else part is true.part_at(grown_from + plan.axis.radii[0]),
        border_mm=min(abs(place - border) for border in borders),
        confluence_mm=_confluence_error(labels, spacing, frame, plan),
        duct_mm=_calibre_error(measured.duct, plan.duct, whole == PanoramaLabel.DUCT, frame),
        bile_mm=_calibre_error(measured.bile_duct, plan.bile, whole == PanoramaLabel.BILE_DUCT, frame),
        volume=None if lesion is None else abs(lesion.volume_ml / pathology.volume_ml - 1),
        diameter_mm=None
        if lesion is None
        else lesion.diameter_mm - longest_axial_diameter_mm(whole == PanoramaLabel.LESION, geometry),
        diagonal_mm=float(np.linalg.norm(spacing)),
    )


def measures_of(labels: npt.NDArray[np.uint8], spacing: Spacing) -> RegionMeasures:
    """Measures a label map (z, y, x) in PANORAMA's values and LPS order."""
    masks = (labels == value for value in (4, 5, 6, 2, 3))
    z, y, x = spacing
    return measure_region(Anatomy(*masks), np.asarray(labels == 1, np.uint8), Geometry(labels.shape, (x, y, z)))


def label_map(seed: int) -> tuple[PancreasPlan, Pathology, Frame, npt.NDArray[np.uint8]]:
    """Returns the plan of a phantom with a carcinoma, and its labels (z, y, x) on a grid of `VOXEL_MM`."""
    draws = Draws(np.random.default_rng(seed))
    pathology = draw_pathology(draws, positive=True)
    plan = draw_plan(draws, draw_habitus(draws, wide=False), pathology)
    lines = [plan.axis, plan.uncinate, plan.bile, *(vessel.line for vessel in plan.vessels)]
    low, high = plan_bounds(lines)
    gland_low, gland_high = plan_bounds([plan.axis, plan.uncinate])
    low[2], high[2] = gland_low[2] - HEIGHT_MARGIN_MM, gland_high[2] + HEIGHT_MARGIN_MM
    around = (tuple(low - MARGIN_MM), tuple(high + MARGIN_MM))
    bend = random_deformation(np.random.default_rng(seed), *around, 55.0, 3.0)
    frame = Frame(*around, VOXEL_MM, bend)
    region = region_from_plan(frame, plan, pathology, draws)
    labels = np.zeros(frame.shape, np.uint8)
    for share, label in (  # in the order in which phantoms are painted
        (region.gland_share, PanoramaLabel.PANCREAS),
        (region.lesion, PanoramaLabel.LESION),
        (region.bile, PanoramaLabel.BILE_DUCT),
        (region.duct, PanoramaLabel.DUCT),
        (region.veins, PanoramaLabel.VEINS),
        (region.arteries, PanoramaLabel.ARTERIES),
    ):
        labels[share > HALF] = label
    labels[(np.maximum(region.veins, region.arteries) > HALF) & (region.labelled < HALF)] = PanoramaLabel.BACKGROUND
    return plan, pathology, frame, labels


def contact_error(number: int) -> float:
    """Returns measured less true degrees of a mass around a straight vessel."""
    random = np.random.default_rng((SEED, number))
    spacing = ((0.8, 0.8, 0.8), (1.5, 0.75, 0.75), (2.5, 0.8, 0.8))[number % 3]
    axis = random.normal(size=3)
    axis /= np.linalg.norm(axis)
    side = np.cross(axis, random.normal(size=3))
    side /= np.linalg.norm(side)
    radius, degrees = random.uniform(2.5, 5.0), random.uniform(30.0, 330.0)
    shape = tuple(int(1.3 * VESSEL_MM / step) for step in spacing)
    grid = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij")
    offset = np.stack(grid, -1) - (0.65 * VESSEL_MM + random.uniform(-0.5, 0.5, 3))
    along, first, second = offset @ axis, offset @ side, offset @ np.cross(axis, side)
    away, angle = np.hypot(first, second), np.degrees(np.arctan2(second, first)) % 360
    vessel = (away <= radius) & (np.abs(along) <= VESSEL_MM / 2)
    mass = (away > radius) & (away < radius + MASS_THICK_MM) & (np.abs(along) < MASS_MM / 2) & (angle < degrees)
    inside = Inside.of(vessel, spacing)
    line = None if inside is None else centre_line(inside)
    return float("nan") if line is None else vessel_contact(vessel, mass, spacing, line).degrees - degrees


def _on_grid(frame: Frame, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns where on the label map (n, 3) anatomical points (x, y, z) lie: (z, y, x) mm from voxel (0, 0, 0)."""
    return np.asarray((frame.deformation.to_grid(points) - np.asarray(frame.origin))[:, ::-1])


def _prolonged(axis: CentreLine, radii: npt.NDArray[np.float64]) -> CentreLine:
    """Returns an axis with its ends moved to the rounded tips of the gland."""
    first, last = (axis.points[end] + sign * radii[end] * axis.tangents[end] for end, sign in ((0, -1), (-1, 1)))
    return CentreLine(np.concatenate([[first], axis.points, [last]]))


def _confluence_error(
    labels: npt.NDArray[np.uint8], spacing: Spacing, frame: Frame, plan: PancreasPlan
) -> float | None:
    veins = Inside.of(labels == PanoramaLabel.VEINS, spacing)
    found = None if veins is None else venous_tree(veins).confluence
    splenic = next(vessel for vessel in plan.vessels if vessel.name == SPLENIC_VEIN)
    return None if found is None else float(np.linalg.norm(found - _on_grid(frame, splenic.line.points[:1])[0]))


def _calibre_error(measured: DuctMeasures | None, line: Line, mask: Mask, frame: Frame) -> float | None:
    """Returns the largest calibre less the plan's, where the duct is labelled."""
    indices = np.rint(_on_grid(frame, line.points) / VOXEL_MM).astype(int)
    on_grid = ((indices >= 0) & (indices < mask.shape)).all(axis=1)
    shown = np.zeros(len(indices), dtype=bool)
    shown[on_grid] = mask[tuple(indices[on_grid].T)]
    if measured is None or not shown.any():
        return None
    return measured.largest_mm - 2 * float(line.radii[shown].max())


def _of_diagonal(error: float | None, of: Difference) -> float | None:
    return None if error is None else abs(error) / of.diagonal_mm


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _median(values: Sequence[float | None]) -> float | None:
    return _percentile(values, 50)


def _percentile(values: Sequence[float | None], share: float) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.percentile(known, share)) if known else None


if __name__ == "__main__":
    sys.exit(main())
