"""Random fields: band-limited texture on working grids and correlated noise on the scanner's grid."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage


def _smooth_weights(count: int, nodes: int, offset: float, step: float) -> np.ndarray:
    """(count, nodes) weights of cubic B-spline interpolation."""
    position = np.arange(count) / step + offset
    distance = np.abs(position[:, None] - np.arange(nodes)[None, :])
    near = 2.0 / 3.0 - distance**2 + distance**3 / 2.0
    far = np.clip(2.0 - distance, 0.0, None) ** 3 / 6.0
    weights = np.where(distance < 1.0, near, far)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def cloud(generator: np.random.Generator, shape: tuple[int, int, int], spacing: float, grain_mm: float) -> np.ndarray:
    """A smooth random field of zero mean and unit variance.

    Args:
        generator: Source of randomness.
        shape: (z, y, x).
        spacing: Grid spacing in mm.
        grain_mm: Size of the field's blobs, in mm; finer than two samples is taken as two samples.
    """
    step = max(grain_mm / spacing, 2.0)
    nodes = [int(np.ceil(count / step)) + 4 for count in shape]
    lattice = generator.standard_normal(nodes, dtype=np.float32)
    along_z, along_y, along_x = (
        _smooth_weights(count, node, 1.0 + float(generator.uniform()), step)
        for count, node in zip(shape, nodes, strict=True)
    )
    field = lattice @ along_x.T
    field = np.matmul(along_y, field)
    field = (along_z @ field.reshape(nodes[0], -1)).reshape(shape)
    # Cubic B-splines leave (mean of the sum of squared weights) of the variance per axis; measure instead of assume.
    gain = np.prod([np.mean((weights**2).sum(axis=1)) for weights in (along_z, along_y, along_x)])
    return np.asarray(field / np.float32(np.sqrt(gain)), dtype=np.float32)


def grain(generator: np.random.Generator, shape: tuple[int, int, int], sigma: float) -> np.ndarray:
    """White noise blurred by a Gaussian of `sigma` samples, scaled back to unit variance."""
    field = generator.standard_normal(shape, dtype=np.float32)
    if sigma > 0:
        field = ndimage.gaussian_filter(field, sigma, mode="wrap", truncate=3.0)
        field /= max(float(field.std()), 1e-6)
    return field


def scanner_noise(
    generator: np.random.Generator,
    shape: tuple[int, int, int],
    pixel_mm: float,
    cutoff_per_mm: float,
    slice_share: float,
) -> np.ndarray:
    """Noise of a filtered back-projection: its in-plane spectrum rises with frequency and is then cut off.

    The power spectrum is f * exp(-(f / cutoff)^2): the ramp filter's f^2 over the projections' 1/f, times a smooth
    reconstruction kernel. Neighbouring slices share some noise (overlap, z filter).

    Args:
        generator: Source of randomness.
        shape: (z, y, x).
        pixel_mm: In-plane pixel size.
        cutoff_per_mm: The kernel's cut-off frequency; soft kernels 0.3, sharp ones 0.7.
        slice_share: Correlation of neighbouring slices, 0 to 1.

    Returns:
        float32 noise of zero mean and unit variance.
    """
    count_z, count_y, count_x = shape
    # Noise repeats seamlessly, so an efficient transform size a little larger than the slice is cut to size.
    size_y, size_x = fft.next_fast_len(count_y, real=True), fft.next_fast_len(count_x, real=True)
    frequency = np.hypot(fft.fftfreq(size_y, pixel_mm)[:, None], fft.rfftfreq(size_x, pixel_mm)[None, :])
    filter_gain = np.sqrt(frequency * np.exp(-((frequency / cutoff_per_mm) ** 2))).astype(np.float32)
    field = np.empty(shape, dtype=np.float32)
    previous: np.ndarray | None = None
    keep, fresh = np.float32(slice_share), np.float32(np.sqrt(1.0 - slice_share**2))
    for index in range(count_z):
        white = generator.standard_normal((size_y, size_x), dtype=np.float32)
        white = white if previous is None else keep * previous + fresh * white
        previous = white
        field[index] = fft.irfft2(fft.rfft2(white) * filter_gain, s=(size_y, size_x))[:count_y, :count_x]
    field /= max(float(field[: min(count_z, 8)].std()), 1e-6)
    return field
