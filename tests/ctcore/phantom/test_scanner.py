"""Stored arrays tell the truth about where things are, and the scan covers what it must."""

from dataclasses import replace

import numpy as np
import pytest

from ctcore.phantom.body import draw_habitus
from ctcore.phantom.draws import Draws
from ctcore.phantom.scanner import FLIPS, OUTSIDE_FIELD_HU, Acquisition, Scan, degrade, draw_scan, stored

EXTENT = (-45.0, 40.0)


def drawn(seed: int, **options: object) -> Scan:
    draws = Draws(np.random.default_rng(seed))
    habitus = draw_habitus(draws, wide=options["domain"] == "wide")
    return draw_scan(draws, habitus, EXTENT, options.pop("must_show", None), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", sorted(FLIPS))
def test_a_voxel_stays_where_it_is_in_every_orientation(orientation: str) -> None:
    scan = drawn(0, size="demo", domain="clinical")
    array = np.zeros(scan.shape, dtype=np.uint8)
    array[5, 9, 14] = 1
    volume = stored(array, scan, orientation)
    place = volume.geometry.index_to_physical(np.argwhere(volume.array == 1)[0])
    np.testing.assert_allclose(place, np.array([scan.x[14], scan.y[9], scan.z[5]]) + scan.shift, atol=1e-6)
    signs = np.diag(volume.geometry.matrix)
    assert "".join(n if s > 0 else p for n, p, s in zip("LPS", "RAI", signs, strict=True)) == orientation


def test_the_gland_is_covered_in_the_clinical_domain_and_cropped_at_times_in_the_wide_one() -> None:
    clinical = [drawn(seed, size="demo", domain="clinical") for seed in range(60)]
    assert all(scan.z[0] < EXTENT[0] and scan.z[-1] > EXTENT[1] for scan in clinical)
    wide = [drawn(seed, size="demo", domain="wide") for seed in range(120)]
    cut = [scan for scan in wide if scan.z[-1] < EXTENT[1]]
    assert 3 < len(cut) < 60


def test_what_must_be_shown_is_covered() -> None:
    for seed in range(60):
        scan = drawn(seed, size="demo", domain="wide", must_show=(20.0, 38.0))
        assert scan.z[0] <= 20.0
        assert scan.z[-1] >= 38.0 - scan.step / 2


def test_sizes_and_orientations_have_the_stated_shares() -> None:
    scans = [drawn(seed, size="demo", domain="clinical") for seed in range(400)]
    shares = {name: np.mean([scan.orientation == name for scan in scans]) for name in FLIPS}
    assert shares["LPS"] == pytest.approx(0.80, abs=0.07)
    assert shares["RAS"] == pytest.approx(0.175, abs=0.07)
    assert all(scan.shape[1:] == (176, 176) for scan in scans)
    assert {scan.thickness for scan in scans} >= {1.0, 2.0, 3.0, 5.0}
    clinical = drawn(0, size="clinical", domain="clinical")
    assert clinical.shape[1:] == (512, 512)
    assert 0.6 < clinical.pixel < 0.95


def test_a_round_field_of_view_is_padded_outside() -> None:
    seed = next(seed for seed in range(50) if drawn(seed, size="demo", domain="clinical").circular)
    scan = drawn(seed, size="demo", domain="clinical")
    draws = Draws(np.random.default_rng(1))
    habitus = draw_habitus(draws, wide=False)
    image = degrade(np.full((4, *scan.shape[1:]), -1000.0, dtype=np.float32), _first_slices(scan), habitus, draws)
    assert image.dtype == np.int16
    assert image[0, 0, 0] == OUTSIDE_FIELD_HU
    assert image[0, 88, 88] > OUTSIDE_FIELD_HU


def _first_slices(scan: Scan) -> Scan:
    return replace(scan, z=scan.z[:4], table=None)


def test_an_acquisition_changes_what_it_names_alone() -> None:
    scan = drawn(0, size="demo", domain="clinical")
    same = Acquisition().of(scan)
    assert (same.noise, same.thickness) == (scan.noise, scan.thickness)
    assert same.z is scan.z
    other = Acquisition(noise_factor=3, thickness_mm=10).of(scan)
    assert other.noise == 3 * scan.noise
    assert (other.thickness, other.step) == (10, 10)
    assert other.z[0] == scan.z[0]
    assert scan.z[-1] - 10 < other.z[-1] <= scan.z[-1]
    np.testing.assert_array_equal(other.x, scan.x)
