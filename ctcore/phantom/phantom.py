"""One phantom: a synthetic abdominal CT with exact labels, and the record of every choice made for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ctcore.errors import RequestError
from ctcore.labels import NON_PDAC, PDAC, SUBTYPE_NAMES, PanoramaLabel
from ctcore.phantom.anatomy import LabelMap, anatomy_layout, label_map
from ctcore.phantom.bending import bent
from ctcore.phantom.body import (
    DIAPHRAGM_TOP,
    Habitus,
    build_wall,
    diaphragm_distance,
    draw_habitus,
    paint_back_muscles,
    paint_lungs,
    paint_wall,
)
from ctcore.phantom.bowel import (
    Loop,
    draw_colon,
    draw_duodenum,
    draw_small_bowel,
    draw_stomach,
    paint_bowel,
    paint_loop,
)
from ctcore.phantom.canvas import Canvas, Layer
from ctcore.phantom.deformation import Deformation, random_deformation
from ctcore.phantom.draws import Draws
from ctcore.phantom.frame import Frame
from ctcore.phantom.layout import Layout, parametric_layout
from ctcore.phantom.organs import (
    paint_cava,
    paint_gallbladder,
    paint_kidneys,
    paint_liver,
    paint_mesentery,
    paint_spleen,
)
from ctcore.phantom.paint_region import (
    adjacent_loop,
    paint_finding,
    paint_gland,
    paint_lesion,
    paint_surroundings,
    paint_tubes,
)
from ctcore.phantom.pathology import check_lesion_ml, draw_pathology
from ctcore.phantom.sampling import expose
from ctcore.phantom.scanner import Acquisition, Domain, Scan, Size, degrade, draw_scan, stored
from ctcore.phantom.shapes import tube
from ctcore.phantom.skeleton import paint_arms, paint_pelvis, paint_ribs, paint_spine
from ctcore.phantom.subtypes import draw_subtype
from ctcore.phantom.tissues import Palette, Phase, draw_palette
from ctcore.volume import Volume

RECORD_VERSION = "1.0"
PARAMETRIC = "parametric"
WORKING_SPACING_MM = {"demo": (2.0, 1.25), "clinical": (1.6, 1.0)}
PHASE_WEIGHTS: dict[str, dict[str, float]] = {
    "clinical": {"portal-venous": 0.85, "pancreatic": 0.08, "delayed": 0.04, "non-contrast": 0.03},
    "wide": {"portal-venous": 0.52, "pancreatic": 0.15, "delayed": 0.12, "non-contrast": 0.21},
}
LABELS = tuple(int(label) for label in PanoramaLabel if label != PanoramaLabel.BACKGROUND)
ARMS_AROUND_MM = 125.0
AROUND_MM = 28.0  # air, clothes and table around the body that the working grid still covers


@dataclass(frozen=True, eq=False)
class Phantom:
    """A finished phantom.

    Attributes:
        image: int16 HU.
        labels: uint8 label map in PANORAMA's values, on the image's grid.
        class_name: "PDAC" or "non-PDAC"; or the subtype of the lesion.
        record: Every random choice, with the seed that makes the same phantom again; fit for JSON.
    """

    image: Volume
    labels: Volume
    class_name: str
    record: dict[str, Any]


def _draw_deformation(draws: Draws, *, wide: bool) -> Deformation:
    return random_deformation(
        draws.stream("deformation.field"),
        (-250.0, -230.0, -320.0),
        (250.0, 190.0, 220.0),
        draws.uniform("deformation.grain", 40.0, 70.0),
        draws.uniform("deformation.amplitude", 1.5, 6.5 if wide else 4.5),
    )


def _body_frame(scan: Scan, habitus: Habitus, spacing: float, deformation: Deformation) -> Frame:
    """The whole-body grid: what the scan sees of the body, with a margin."""
    slab = scan.thickness / 2.0 + 2.0 * spacing
    side = habitus.skin_half_width + (ARMS_AROUND_MM if scan.arms else AROUND_MM)
    low = (max(scan.x[0] - 4.0, -side), max(scan.y[0] - 4.0, habitus.skin_front - AROUND_MM), scan.z[0] - slab)
    high = (min(scan.x[-1] + 4.0, side), min(scan.y[-1] + 4.0, habitus.skin_back + AROUND_MM), scan.z[-1] + slab)
    return Frame(low, high, spacing, deformation)


def _paint_body(canvas: Canvas, layout: Layout, scan: Scan, draws: Draws) -> Loop:
    """Paints everything but the pancreas; returns the duodenum, which the fine layer shows again."""
    frame, habitus, bile_dilated = canvas.frame, layout.habitus, layout.pathology.bile_dilated
    wall = build_wall(frame, habitus)
    paint_wall(canvas, habitus, wall, draws)
    if scan.arms:
        paint_arms(canvas, habitus, draws)
    paint_back_muscles(canvas, habitus, draws)
    dome = DIAPHRAGM_TOP * habitus.height + draws.normal("diaphragm.height", 0.0, 14.0, -30.0, 30.0)
    whole = (slice(None), slice(None), slice(None))
    lungs = diaphragm_distance(frame, whole, habitus, dome, draws.uniform("diaphragm.depth", 35.0, 65.0))
    stomach = draw_stomach(draws, habitus)
    duodenum = draw_duodenum(draws, layout.head, layout.head_radius, stomach.points[-1])
    small_bowel, colon = draw_small_bowel(draws, habitus, scan.z[0]), draw_colon(draws, habitus)
    paint_mesentery(canvas, habitus, draws)
    paint_bowel(canvas, wall, [*small_bowel, *colon])
    paint_liver(canvas, habitus, wall, lungs, draws, bile_dilated)
    paint_spleen(canvas, habitus, wall, lungs, draws)
    paint_gallbladder(canvas, habitus, draws, bile_dilated)
    paint_bowel(canvas, wall, [stomach])
    paint_lungs(canvas, wall, lungs, habitus, draws)
    paint_kidneys(canvas, habitus, draws)
    paint_loop(canvas, duodenum, wall)
    paint_pelvis(canvas, habitus, draws)
    paint_spine(canvas, habitus, draws)
    paint_ribs(canvas, habitus, draws)
    paint_cava(canvas, habitus, draws)
    for line, tissue in layout.vessels:
        canvas.paint(tube(frame, line.points, line.radii, reach=4.0), tissue)
    return duodenum


def _paint_region(canvas: Canvas, frame: Frame, layout: Layout, duodenum: Loop, draws: Draws) -> Layer:
    """Paints the pancreatic region on a fine layer."""
    pathology = layout.pathology
    region = layout.region(frame, draws)
    layer = Layer(frame, canvas.palette, draws, LABELS)
    paint_surroundings(layer, region, layout.habitus.envelope, draws)
    paint_loop(layer, duodenum)
    site = None if pathology.has_lesion else layout.site(region, draws)
    if site is not None and pathology.kind == "adjacent_bowel":
        loop = adjacent_loop(site, draws)
        paint_loop(canvas, loop)
        paint_loop(layer, loop)
    paint_gland(layer, region, pathology, draws)
    if site is None:
        paint_lesion(layer, region, pathology, draws)
    else:
        paint_finding(layer, region, pathology, site, draws)
    paint_tubes(layer, region)
    return layer


def _choose_labels(layer: Layer, targets: tuple[np.ndarray, np.ndarray, np.ndarray], scan: Scan) -> np.ndarray:
    """(z, y, x) uint8: the label that fills most of each voxel's cell."""
    shape = tuple(len(axis) for axis in reversed(targets))
    best, total = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    chosen = np.zeros(shape, dtype=np.uint8)
    lesion_share = None
    for label, occupancy in layer.labels.items():
        # No blur but the voxel's own cell: the label says what is there, not what is seen.
        share = expose(occupancy, layer.frame.axes, targets, blur=0.3 * scan.pixel, thickness=scan.step)
        total += share
        chosen[share > best] = label
        np.maximum(best, share, out=best)
        if label == PanoramaLabel.LESION:
            lesion_share = share
    chosen[best <= 1.0 - total] = PanoramaLabel.BACKGROUND
    # A lesion smaller than half a voxel still has one: the voxel that holds most of it.
    if lesion_share is not None and lesion_share.max() > 0.02 and not (chosen == PanoramaLabel.LESION).any():
        chosen[np.unravel_index(int(np.argmax(lesion_share)), shape)] = PanoramaLabel.LESION
    return chosen


def _expose(canvas: Canvas, layer: Layer, scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Samples both grids at the scan's voxels: (z, y, x) float32 HU and uint8 labels, in LPS order."""
    targets = (scan.x, scan.y, scan.z)
    image = expose(canvas.hu, canvas.frame.axes, targets, blur=scan.blur, thickness=scan.thickness)
    labels = np.zeros(scan.shape, dtype=np.uint8)
    axes = layer.frame.axes
    held = [
        np.flatnonzero((target >= axis[0]) & (target <= axis[-1])) for target, axis in zip(targets, axes, strict=True)
    ]
    if any(len(indices) == 0 for indices in held):
        return image, labels
    window = tuple(slice(int(indices[0]), int(indices[-1]) + 1) for indices in reversed(held))
    local = (scan.x[window[2]], scan.y[window[1]], scan.z[window[0]])
    opacity = expose(layer.opacity, axes, local, blur=scan.blur, thickness=scan.thickness)
    paint = expose(layer.paint_hu, axes, local, blur=scan.blur, thickness=scan.thickness)
    image[window] = image[window] * (1.0 - opacity) + paint
    labels[window] = _choose_labels(layer, local, scan)
    return image, labels


def _draw_palette(draws: Draws, *, domain: Domain, given: Phase | None) -> Palette:
    phase: Phase = draws.pick("phase", PHASE_WEIGHTS[domain])  # type: ignore[assignment]
    if given is not None:
        draws.note("phase.given", given)
        phase = given
    wide = domain == "wide"
    texture = draws.uniform("texture.factor", *((0.5, 2.4) if wide else (0.6, 1.4)))
    return draw_palette(draws, phase, jitter=1.6 if wide else 1.0, texture=texture)


def make_phantom(
    seed: int | np.random.SeedSequence,
    *,
    positive: bool,
    subtype: str | None = None,
    size: Size = "demo",
    domain: Domain = "clinical",
    anatomy_labels: Volume | None = None,
    lesion_ml: tuple[float, float] | None = None,
    bend_mm: float = 0.0,
    around_mm: float | None = None,
    acquisition: Acquisition | None = None,
) -> Phantom:
    """Makes one phantom.

    Args:
        seed: What everything random follows from.
        positive: With a lesion, or without.
        subtype: One of `SUBTYPE_NAMES`; None: the lesion is a carcinoma.
        size: "demo" (about 176 x 176 pixels) or "clinical" (512 x 512).
        domain: "clinical" for what a hospital sends, "wide" for training that must carry over to anything.
        anatomy_labels: A label map in PANORAMA's values to build the body around; None for parametric anatomy. It
            must hold a lesion if and only if `positive`.
        lesion_ml: Smallest and largest volume of a carcinoma in parametric anatomy; None for PANORAMA's distribution.
        bend_mm: How far the label map is bent (standard deviation of the displacement along each axis), after it was
            turned and scaled; 0 takes it as it is.
        around_mm: Only the pancreatic region and this much around it is scanned; None for a whole CT.
        acquisition: How it is scanned, where that is not left to chance; body and lesion stay those of the seed.

    Raises:
        RequestError: An option's value is unknown, a case without lesion is to have a subtype, or `positive` and the
            label map disagree.
        LabelError: The label map is none.
    """
    if size not in WORKING_SPACING_MM:
        raise RequestError(f"phantom size {size!r} is unknown: choose one of {', '.join(WORKING_SPACING_MM)}")
    if domain not in PHASE_WEIGHTS:
        raise RequestError(f"phantom domain {domain!r} is unknown: choose one of {', '.join(PHASE_WEIGHTS)}")
    if subtype is not None and subtype not in SUBTYPE_NAMES:
        raise RequestError(f"lesion subtype {subtype!r} is unknown: choose one of {', '.join(SUBTYPE_NAMES)}")
    if subtype is not None and not positive:
        raise RequestError(f"a case without lesion cannot be of {subtype!r}: ask for a positive one, or no subtype")
    class_name = subtype or (PDAC if positive else NON_PDAC)
    source: LabelMap | None = None
    if anatomy_labels is not None:
        source = label_map(anatomy_labels)
        if positive != source.has_lesion:
            state = "no lesion (label 1)" if positive else "a lesion (label 1)"
            raise RequestError(f"the label map holds {state} but a {class_name} case was asked for: give another one")
    check_lesion_ml(lesion_ml, parametric_carcinoma=source is None and subtype is None)
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    draws = Draws(np.random.default_rng(sequence))
    if source is not None and bend_mm > 0:
        source = bent(source, draws, bend_mm)
    wide = domain == "wide"
    acquisition = acquisition or Acquisition()
    palette = _draw_palette(draws, domain=domain, given=acquisition.phase)
    habitus = draw_habitus(draws, wide=wide)
    pathology = (
        draw_pathology(draws, positive=positive, lesion_ml=lesion_ml)
        if subtype is None
        else draw_subtype(draws, subtype)
    )
    draws.note("pathology.kind", pathology.kind)
    deformation = _draw_deformation(draws, wide=wide)
    if source is None:
        layout = parametric_layout(draws, habitus, pathology, deformation)
    else:
        layout = anatomy_layout(draws, habitus, pathology, deformation, source)
    scan = draw_scan(draws, layout.habitus, layout.extent, layout.must_show, size=size, domain=domain)
    scan = acquisition.of(scan)
    if around_mm is not None:
        scan = scan.within(layout.low - around_mm, layout.high + around_mm)
    body_spacing, region_spacing = WORKING_SPACING_MM[size]
    canvas = Canvas(_body_frame(scan, layout.habitus, body_spacing, deformation), palette, draws)
    duodenum = _paint_body(canvas, layout, scan, draws)
    slab = scan.thickness / 2.0 + 2.0 * region_spacing
    low, high = layout.low.copy(), layout.high.copy()
    low[2], high[2] = max(low[2], scan.z[0] - slab), min(high[2], scan.z[-1] + slab)
    layer = _paint_region(canvas, Frame(low, high, region_spacing, deformation), layout, duodenum, draws)
    image, labels = _expose(canvas, layer, scan)
    finished = degrade(image, scan, layout.habitus, draws)
    record = {
        "schema_version": RECORD_VERSION,
        "class_name": class_name,
        "size": size,
        "domain": domain,
        "seed": {"entropy": sequence.entropy, "spawn_key": list(sequence.spawn_key)},
        "anatomy": PARAMETRIC if source is None else "label map",
        "draws": draws.record,
    }
    return Phantom(
        image=stored(finished, scan, scan.orientation),
        labels=stored(labels, scan, scan.orientation),
        class_name=class_name,
        record=record,
    )
