"""Painting the pancreatic region: HU and labels of gland, lesion, mimics, ducts and vessels on the fine layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctcore.labels import PanoramaLabel
from ctcore.phantom.bowel import Loop
from ctcore.phantom.canvas import Layer
from ctcore.phantom.draws import Draws
from ctcore.phantom.fluid import fluid_share
from ctcore.phantom.frame import Window
from ctcore.phantom.pathology import Pathology
from ctcore.phantom.region import Region
from ctcore.phantom.shapes import curve
from ctcore.phantom.texture import cloud
from ctcore.phantom.tissues import LESION_CONTRAST_FACTOR

WHOLE: Window = (slice(None), slice(None), slice(None))
FAT_SEAM_MM = 3.0
MOST_ENVELOPE_MM = np.float32(22.0)  # beyond, the distance to the gland is no longer computed


@dataclass(frozen=True, eq=False)
class Site:
    """Where a focal finding of a gland without lesion lies.

    Attributes:
        centre: (3,) anatomical mm, inside the gland.
        surface: (3,) anatomical mm, on the gland's surface beside it.
        outward: (3,) unit vector out of the gland there.
    """

    centre: np.ndarray
    surface: np.ndarray
    outward: np.ndarray


def _sphere(layer: Layer, centre: np.ndarray, radius: float, roughness: float, draws: Draws, name: str) -> np.ndarray:
    """Signed distance, about, to a slightly irregular ball."""
    frame = layer.frame
    axes = np.exp(draws.vector(f"{name}.axes", 0.15))
    generator = draws.stream(f"{name}.shape")
    squares = [
        ((coordinate - np.float32(middle)) / np.float32(axis)) ** 2
        for coordinate, middle, axis in zip((frame.x, frame.y, frame.z), centre, axes, strict=True)
    ]
    distance = np.sqrt(squares[0] + squares[1] + squares[2]) - np.float32(radius)
    distance += np.float32(roughness * radius) * cloud(generator, frame.shape, frame.spacing, max(radius, 4.0))
    return np.asarray(distance)


def paint_surroundings(layer: Layer, region: Region, envelope: float, draws: Draws) -> None:
    """Paints the fat that keeps other organs away from gland and vessels, with strands in it."""
    generator = draws.stream("region.envelope")
    rough = cloud(generator, layer.frame.shape, layer.frame.spacing, 14.0)
    reach = np.float32(envelope) * np.clip(np.float32(1.0) + np.float32(0.35) * rough, 0.0, 1.6)
    np.minimum(reach, MOST_ENVELOPE_MM, out=reach)
    share = np.clip(np.float32(0.5) - (region.gland - reach) / np.float32(FAT_SEAM_MM), 0.0, 1.0)
    around = np.maximum.reduce([region.veins, region.arteries, region.bile])
    share = np.maximum(share, np.float32(min(envelope / 3.0, 1.0)) * np.clip(4.0 * around, 0.0, 1.0))
    strands = draws.uniform("region.strands", 0.0, 1.0) ** 2
    web = np.clip(np.abs(cloud(generator, layer.frame.shape, layer.frame.spacing, 5.0)), 0.0, 2.0)
    hu = layer.tissue("fat", WHOLE)
    hu += np.float32(90.0 * strands) * np.clip(np.float32(0.35) - web, 0.0, None) / np.float32(0.35)
    layer.blend(WHOLE, share, hu)


def paint_gland(layer: Layer, region: Region, pathology: Pathology, draws: Draws) -> None:
    """Paints and labels the parenchyma with its fatty infiltration."""
    generator = draws.stream("gland.texture")
    lobes = cloud(generator, layer.frame.shape, layer.frame.spacing, 4.5)
    slow = cloud(generator, layer.frame.shape, layer.frame.spacing, 18.0)
    threshold = draws.uniform("gland.fat_threshold", 0.6, 3.2)
    amount = np.clip((lobes + np.float32(0.4) * slow - np.float32(threshold)) * np.float32(0.8), 0.0, 0.8)
    hu = layer.tissue("pancreas", WHOLE)
    if pathology.has_lesion and pathology.duct_dilated:
        hu += np.float32(draws.normal("gland.upstream_shift", -4.0, 7.0)) * region.upstream
    hu += amount * (np.float32(layer.palette["fat"]) - hu)
    layer.blend(WHOLE, region.gland_share, hu)
    layer.mark(WHOLE, region.gland_share, PanoramaLabel.PANCREAS)


def lesion_hu(layer: Layer, pathology: Pathology) -> float:
    """Mean HU of the lesion's solid part in this phase."""
    contrast = pathology.contrast_hu
    contrast *= 1.0 if pathology.iso_attenuating else LESION_CONTRAST_FACTOR[layer.palette.phase]
    return layer.palette["pancreas"] - contrast


def paint_lesion(layer: Layer, region: Region, pathology: Pathology, draws: Draws) -> None:
    """Paints the lesion with its blurred border and labels it."""
    mean = lesion_hu(layer, pathology)
    draws.note("lesion.mean_hu", round(mean, 2))
    generator = draws.stream("lesion.texture")
    texture = cloud(generator, layer.frame.shape, layer.frame.spacing, 6.0)
    hu = layer.tissue("pancreas", WHOLE, shift=mean - layer.palette["pancreas"])
    hu += np.float32(draws.uniform("lesion.heterogeneity", 2.0, 9.0) * layer.palette.texture) * texture
    if pathology.necrosis > 0.0:
        core = np.clip(region.lesion_depth / np.float32(max(float(region.lesion_depth.max()), 1.0)) - 0.35, 0.0, 0.4)
        hu -= np.float32(pathology.necrosis) * (core / np.float32(0.4)) * np.clip(1.0 + 0.5 * texture, 0.0, 1.5)
    if pathology.fluid is not None:
        liquid = layer.tissue("bile", WHOLE, shift=pathology.fluid.shift_hu)
        draws.note("lesion.fluid_hu", round(layer.palette["bile"] + pathology.fluid.shift_hu, 2))
        hu += fluid_share(region, pathology.fluid, draws) * (liquid - hu)
    tint = np.clip(
        region.lesion_tint + np.float32(0.15) * texture * region.lesion_tint * (1 - region.lesion_tint), 0, 1
    )
    layer.blend(WHOLE, tint, hu)
    layer.mark(WHOLE, region.lesion, PanoramaLabel.LESION)


def paint_tubes(layer: Layer, region: Region) -> None:
    """Paints and labels veins, arteries and ducts; stretches of a vessel beyond the label stay background."""
    for share, tissue, label in (
        (region.bile, "bile", PanoramaLabel.BILE_DUCT),
        (region.duct, "bile", PanoramaLabel.DUCT),
        (region.veins, "portal_veins", PanoramaLabel.VEINS),
        (region.arteries, "arteries", PanoramaLabel.ARTERIES),
    ):
        layer.blend(WHOLE, share, layer.tissue(tissue, WHOLE))
        named = share * region.labelled if label in (PanoramaLabel.VEINS, PanoramaLabel.ARTERIES) else share
        layer.mark(WHOLE, share - named, PanoramaLabel.BACKGROUND)
        layer.mark(WHOLE, named, label)


def paint_finding(layer: Layer, region: Region, pathology: Pathology, site: Site, draws: Draws) -> None:
    """Paints the mimic of a gland without lesion; what lies in the gland keeps the label of parenchyma."""
    radius = float((3000.0 * pathology.volume_ml / (4.0 * np.pi)) ** (1.0 / 3.0))
    blocked = np.maximum(region.veins, region.arteries)
    kind = pathology.kind
    if kind in ("cyst", "neuroendocrine_tumour", "focal_fat"):
        centre = site.centre + draws.uniform("finding.outward", 0.0, 0.9) * (site.surface - site.centre)
        rough = 0.30 if kind == "focal_fat" else 0.06
        distance = _sphere(layer, centre, radius, rough, draws, "finding") + np.float32(30.0) * blocked
        share = np.clip(np.float32(0.5) - distance / np.float32(max(pathology.border_mm, layer.frame.spacing)), 0, 1)
        if kind == "focal_fat":
            share = share * region.gland_share
            hu = layer.tissue("pancreas", WHOLE, shift=-pathology.contrast_hu)
        elif kind == "cyst":
            hu = layer.tissue("bile", WHOLE, shift=draws.uniform("finding.cyst_shift", -4.0, 18.0))
        else:
            factor = LESION_CONTRAST_FACTOR[layer.palette.phase]
            hu = layer.tissue("pancreas", WHOLE, shift=-pathology.contrast_hu * factor)
        layer.blend(WHOLE, share, hu)
        layer.mark(WHOLE, share, PanoramaLabel.PANCREAS)
    elif kind == "adjacent_node":
        size = draws.uniform("finding.node_radius", 4.0, 10.0)
        distance = _sphere(layer, site.surface + 0.7 * size * site.outward, size, 0.08, draws, "finding")
        share = layer.occupancy(np.maximum(distance, -region.gland)) * (1.0 - blocked)
        layer.blend(WHOLE, share, layer.tissue("node", WHOLE, shift=draws.normal("finding.node_shift", -10.0, 18.0)))
    elif kind == "chronic_pancreatitis":
        inside = np.argwhere(region.gland < -2.0)
        generator = draws.stream("gland.calcification_places")
        for _ in range(pathology.calcifications if len(inside) else 0):
            place = inside[generator.integers(len(inside))]
            middle = layer.frame.spacing * place[::-1] + np.asarray(layer.frame.origin)
            size = generator.uniform(0.7, 2.6)
            window = layer.frame.window(middle - size - 2.0, middle + size + 2.0, moved=False)
            axes = [layer.frame.axes[a][window[2 - a]] - np.float32(middle[a]) for a in range(3)]
            distance = np.sqrt(axes[2][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[0][None, None, :] ** 2)
            layer.blend(window, layer.occupancy(distance - np.float32(size)), layer.tissue("calcification", window))


def adjacent_loop(site: Site, draws: Draws) -> Loop:
    """A piece of bowel (or a diverticulum of the duodenum) that touches the gland and is easily taken for a mass."""
    radius = draws.uniform("finding.loop_radius", 7.0, 15.0)
    along = np.cross(site.outward, draws.vector("finding.loop_direction", 1.0))
    along /= max(float(np.linalg.norm(along)), 1e-3)
    middle = site.surface + (radius - 1.0) * site.outward
    length = draws.uniform("finding.loop_length", 12.0, 50.0)
    points, _ = curve(
        np.stack([middle - length * along + 6.0 * site.outward, middle, middle + length * along + 6.0 * site.outward]),
        3.0,
    )
    filling = draws.pick("finding.loop_filling", {"bowel_fluid": 0.4, "chyme": 0.4, "collapsed": 0.2})
    return Loop(
        points,
        np.full(len(points), radius),
        draws.uniform("finding.loop_wall", 1.5, 3.0),
        filling,
        0.0,
        draws.normal("finding.loop_shift", 10.0, 12.0),
    )
