"""The scanner: from the working grids to the stored image, with blur, slices, noise, field of view and orientation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import ndimage

from ctcore.phantom.body import Habitus
from ctcore.phantom.draws import Draws
from ctcore.phantom.texture import cloud, scanner_noise
from ctcore.phantom.tissues import Phase
from ctcore.volume import Geometry, Volume

OUTSIDE_FIELD_HU = -1024.0
HIGHEST_HU = 3071.0
NOISE_REFERENCE_MM = 2.5
THICKNESSES_MM = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
THICKNESS_WEIGHTS = {
    "demo": (0.02, 0.16, 0.16, 0.20, 0.16, 0.18, 0.05, 0.07),
    "clinical": (0.00, 0.06, 0.10, 0.24, 0.28, 0.18, 0.05, 0.09),
}
# Shares of stored orientations measured on PANORAMA's label maps.
ORIENTATIONS = {"LPS": 0.80, "RAS": 0.175, "LAI": 0.025}
FLIPS: dict[str, tuple[bool, bool, bool]] = {  # along z, y, x, from LPS
    "LPS": (False, False, False),
    "RAS": (False, True, True),
    "LAI": (True, True, False),
}

Size = Literal["demo", "clinical"]
Domain = Literal["clinical", "wide"]


@dataclass(frozen=True, eq=False)
class Scan:
    """How a phantom is scanned; lengths in mm, in the phantom's own coordinates.

    Attributes:
        x, y, z: Coordinates of the voxel centres along each axis.
        thickness: Slice thickness.
        blur: Standard deviation of the in-plane point spread.
        noise: Standard deviation of the noise in the middle of the body, in HU.
        cutoff: Cut-off frequency of the reconstruction kernel, per mm.
        circular: Only a disc is reconstructed; the rest is `OUTSIDE_FIELD_HU`.
        table: Gap between the back and the table; None without a table in the field of view.
        table_hu: HU of the table's shell.
        arms: The arms lie beside the body.
        bias: Amplitude of slow streak-like shading, in HU.
        orientation: Order in which the array is stored.
        shift: (3,) offset of the phantom's origin in the scanner's LPS coordinates.
        part: Only a part of the field of view is there: the body goes on beyond its edges.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    thickness: float
    blur: float
    noise: float
    cutoff: float
    circular: bool
    table: float | None
    table_hu: float
    arms: bool
    bias: float
    orientation: str
    shift: np.ndarray
    part: bool = False

    def within(self, low: np.ndarray, high: np.ndarray) -> Scan:
        """Returns the same scan of the voxels whose centres lie in the box from `low` to `high` (x, y, z in mm)."""
        x, y, z = (
            axis[(axis >= bottom) & (axis <= top)]
            for axis, bottom, top in zip((self.x, self.y, self.z), low, high, strict=True)
        )
        return replace(self, x=x, y=y, z=z, part=True)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels (z, y, x)."""
        return len(self.z), len(self.y), len(self.x)

    @property
    def pixel(self) -> float:
        """In-plane pixel size in mm."""
        return float(self.x[1] - self.x[0])

    @property
    def step(self) -> float:
        """Slice spacing in mm."""
        return float(self.z[1] - self.z[0])


@dataclass(frozen=True)
class Acquisition:
    """What of a scan is not left to chance; all defaults together change nothing.

    Attributes:
        phase: Contrast phase.
        noise_factor: How many times the noise that was drawn.
        thickness_mm: Slice thickness, without gap or overlap; the noise stays that of the slices drawn.
    """

    phase: Phase | None = None
    noise_factor: float = 1.0
    thickness_mm: float | None = None

    def of(self, scan: Scan) -> Scan:
        """Returns a scan as it is with this."""
        scan = replace(scan, noise=scan.noise * self.noise_factor)
        if self.thickness_mm is None:
            return scan
        slices = max(1, 1 + int((scan.z[-1] - scan.z[0]) / self.thickness_mm))
        return replace(scan, thickness=self.thickness_mm, z=scan.z[0] + self.thickness_mm * np.arange(slices))


def draw_scan(
    draws: Draws,
    habitus: Habitus,
    extent: tuple[float, float],
    must_show: tuple[float, float] | None,
    *,
    size: Size,
    domain: Domain,
) -> Scan:
    """Draws field of view, slices, dose and storage.

    Args:
        draws: Source of randomness.
        habitus: The body.
        extent: Lowest and highest z of the gland, in mm.
        must_show: Range of z that the slices cover in any case (a carcinoma's middle); None without one.
        size: "demo" (small arrays) or "clinical" (512 x 512).
        domain: "clinical" or "wide".
    """
    wide = domain == "wide"
    width = 2.0 * habitus.skin_half_width
    if wide:
        field = float(np.clip(width + draws.uniform("scan.margin", -45.0, 90.0), 290.0, 480.0))
    else:
        field = float(np.clip(width + draws.uniform("scan.margin", -5.0, 55.0), 310.0, 460.0))
    if size == "demo":
        count = draws.integer("scan.pixels", 144, 184) if wide else 176
    else:
        count = 512
        field = float(np.clip(field, 0.62 * count, 0.92 * count))
    pixel = field / count
    middle = np.array([draws.normal("scan.centre_x", 4.0, 7.0), draws.normal("scan.centre_y", 0.0, 7.0)])
    middle[1] += (habitus.skin_front + habitus.skin_back) / 2.0
    offsets = (np.arange(count) - (count - 1) / 2.0) * pixel
    x, y = middle[0] + offsets, middle[1] + offsets
    cropped = draws.flag("scan.rows_cropped", 0.25 if wide else 0.0)
    if cropped:
        margin = draws.uniform("scan.rows_margin", -5.0, 30.0)
        y = y[(y > habitus.skin_front - margin) & (y < habitus.skin_back + margin)]
    thickness = draws.pick_number("scan.thickness", THICKNESSES_MM, THICKNESS_WEIGHTS[size])
    overlap = draws.pick_number("scan.spacing_share", (1.0, 0.8, 0.5), (0.72, 0.16, 0.12))
    step = thickness * overlap if thickness >= 1.5 else thickness
    low, high = extent
    if wide:
        top = draws.uniform("scan.top", high - 0.45 * (high - low) if draws.flag("scan.top_cut", 0.22) else high, 150.0)
        bottom = draws.uniform("scan.bottom", -250.0, low - 4.0)
        bottom = min(bottom, top - 60.0)
    else:
        top = draws.normal("scan.top", 112.0, 16.0, high + 8.0, 150.0)
        bottom = min(top - draws.uniform("scan.coverage", 180.0, 330.0), low - draws.uniform("scan.below", 10.0, 30.0))
    if must_show is not None:
        bottom, top = min(bottom, must_show[0]), max(top, must_show[1])
    slices = max(8, 1 + round((top - bottom) / step))
    z = bottom + step * np.arange(slices)
    dose = (
        draws.lognormal("scan.noise", 11.0, 0.75, 4.0, 40.0)
        if wide
        else draws.lognormal("scan.noise", 10.0, 0.40, 4.0, 28.0)
    )
    # Averaging over a thicker slice lowers the noise with the square root of the thickness.
    noise = float(np.clip(dose * np.sqrt(NOISE_REFERENCE_MM / max(thickness, 1.0)), 3.0, 40.0))
    return Scan(
        x=x,
        y=y,
        z=z,
        thickness=thickness,
        blur=draws.uniform("scan.blur", 0.5, 1.8 if wide else 1.1),
        noise=noise,
        cutoff=draws.uniform("scan.cutoff", 0.22, 0.65),
        circular=draws.flag("scan.circular", 0.3),
        table=draws.uniform("scan.table_gap", 2.0, 22.0) if draws.flag("scan.table", 0.9) else None,
        table_hu=draws.uniform("scan.table_hu", -350.0, 150.0),
        arms=draws.flag("scan.arms", 0.10 if wide else 0.02),
        bias=draws.uniform("scan.bias", 0.0, 9.0 if wide else 3.0),
        orientation=draws.pick("scan.orientation", ORIENTATIONS),
        shift=draws.vector("scan.shift", [12.0, 12.0, 300.0]),
    )


def _table(scan: Scan, habitus: Habitus) -> np.ndarray:
    """(y, x) opacity of the table's shell: a shallow trough of 2 mm of carbon fibre around light foam."""
    if scan.table is None:
        return np.zeros((len(scan.y), len(scan.x)), dtype=np.float32)
    top = habitus.skin_back + scan.table + 9.0 - (scan.x[None, :] / 95.0) ** 2 * 7.0
    depth = scan.y[:, None] - top
    shell = np.abs(np.abs(depth - 20.0) - 20.0) - 1.0
    inside = np.abs(scan.x)[None, :] < 215.0
    return np.asarray(np.clip(0.5 - shell / scan.pixel, 0.0, 1.0) * inside, dtype=np.float32)


def degrade(image: np.ndarray, scan: Scan, habitus: Habitus, draws: Draws) -> np.ndarray:
    """Adds table, shading, noise and the edge of the field of view to a sampled image.

    Args:
        image: (z, y, x) HU on the scan's grid.
        scan: How it is scanned.
        habitus: The body.
        draws: Source of randomness.

    Returns:
        (z, y, x) int16 HU.
    """
    shell = _table(scan, habitus)
    image = image + shell * (np.float32(scan.table_hu) - image) * (image < -800.0)
    body = (image[:: max(1, len(scan.z) // 24)] > -500.0).mean(axis=0)
    beyond: Literal["nearest", "constant"] = "nearest" if scan.part else "constant"
    solid = ndimage.uniform_filter(body.astype(np.float32), size=max(3, int(60.0 / scan.pixel)), mode=beyond)
    # Noise grows with the path through the body: strongest in the middle, a third of it in the air around.
    profile = np.float32(0.35) + np.float32(0.65) * np.clip(solid, 0.0, 1.0)
    share = float(np.clip((scan.thickness - scan.step) / scan.thickness, 0.0, 0.6)) + 0.15
    noise = scanner_noise(draws.stream("scan.noise_field"), scan.shape, scan.pixel, scan.cutoff, share)
    noise *= profile * np.float32(scan.noise)
    image += noise
    if scan.bias > 0.5:
        generator = draws.stream("scan.bias_field")
        rows = cloud(generator, (len(scan.z), len(scan.y), 1), scan.pixel, 22.0)
        slow = cloud(generator, (len(scan.z), len(scan.y), len(scan.x)), scan.pixel, 90.0)
        image += np.float32(0.6 * scan.bias) * profile * (slow + np.float32(0.7) * rows)
    if scan.circular and not scan.part:  # the disc's edge is far from the body's middle
        radius = min(scan.x[-1] - scan.x[0], max(scan.y[-1] - scan.y[0], scan.x[-1] - scan.x[0])) / 2.0 + scan.pixel
        middle_x, middle_y = (scan.x[0] + scan.x[-1]) / 2.0, (scan.y[0] + scan.y[-1]) / 2.0
        outside = (scan.x[None, :] - middle_x) ** 2 + (scan.y[:, None] - middle_y) ** 2 > radius**2
        image[:, outside] = OUTSIDE_FIELD_HU
    return np.asarray(np.rint(np.clip(image, OUTSIDE_FIELD_HU, HIGHEST_HU)), dtype=np.int16)


def stored(array: np.ndarray, scan: Scan, orientation: str) -> Volume:
    """Stores an LPS array in an orientation, with the geometry that keeps every voxel where it is.

    Args:
        array: (z, y, x) array in LPS order on the scan's grid.
        scan: The grid.
        orientation: A key of `FLIPS`.
    """
    flips = FLIPS[orientation]
    index = tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)
    ends = [
        (axis[-1] if flip else axis[0]) for axis, flip in zip((scan.x, scan.y, scan.z), reversed(flips), strict=True)
    ]
    signs = [-1.0 if flip else 1.0 for flip in reversed(flips)]
    origin = tuple(float(end + offset) for end, offset in zip(ends, scan.shift, strict=True))
    direction = tuple(float(value) for value in np.diag(signs).ravel())
    geometry = Geometry(
        shape=(array.shape[0], array.shape[1], array.shape[2]),
        spacing=(scan.pixel, scan.pixel, scan.step),
        origin=(origin[0], origin[1], origin[2]),
        direction=direction,
    )
    return Volume(np.ascontiguousarray(array[index]), geometry)
