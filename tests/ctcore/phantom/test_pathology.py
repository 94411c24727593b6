"""What is drawn for the gland follows the stated distributions."""

import numpy as np
import pytest

from ctcore.phantom.draws import Draws
from ctcore.phantom.pathology import NON_PDAC_KINDS, Pathology, draw_pathology

CASES = 1500


@pytest.fixture(scope="module")
def carcinomas() -> list[Pathology]:
    return [draw_pathology(Draws(np.random.default_rng(seed)), positive=True) for seed in range(CASES)]


def test_lesion_volumes_have_the_measured_quartiles(carcinomas: list[Pathology]) -> None:
    quartiles = np.percentile([case.volume_ml for case in carcinomas], [25, 50, 75])
    np.testing.assert_allclose(quartiles, [3.3, 6.6, 13.0], rtol=0.15)


def test_volumes_may_be_asked_for() -> None:
    drawn = [
        draw_pathology(Draws(np.random.default_rng(seed)), positive=True, lesion_ml=(10.0, 1000.0)).volume_ml
        for seed in range(CASES)
    ]
    quartiles = np.percentile(drawn, [0, 25, 50, 75, 100])
    np.testing.assert_allclose(quartiles, [10.0, 10**1.5, 100.0, 10**2.5, 1000.0], rtol=0.15)


def test_one_carcinoma_in_ten_has_no_contrast(carcinomas: list[Pathology]) -> None:
    iso = [case for case in carcinomas if case.iso_attenuating]
    assert len(iso) / CASES == pytest.approx(0.10, abs=0.025)
    assert max(abs(case.contrast_hu) for case in iso) <= 8.0
    assert min(case.contrast_hu for case in carcinomas if not case.iso_attenuating) >= 8.0
    assert np.mean([case.duct_dilated for case in iso]) > 0.85


def test_two_of_three_lie_in_the_head_and_most_dilate_the_duct(carcinomas: list[Pathology]) -> None:
    assert np.mean([case.position < 3.0 for case in carcinomas]) == pytest.approx(0.65, abs=0.04)
    assert 0.58 < np.mean([case.duct_dilated for case in carcinomas]) < 0.74


def test_other_cases_are_no_carcinomas_and_come_in_the_stated_shares() -> None:
    kinds: list[str] = [
        draw_pathology(Draws(np.random.default_rng(seed)), positive=False).kind for seed in range(CASES)
    ]
    assert "carcinoma" not in kinds
    for kind, share in NON_PDAC_KINDS.items():
        assert kinds.count(kind) / CASES == pytest.approx(share, abs=0.04)
