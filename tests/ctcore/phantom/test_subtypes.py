"""Three subtypes: drawn as documented, told apart in most cases but not in all."""

import numpy as np
import pytest

from ctcore.errors import RequestError
from ctcore.labels import SUBTYPE_NAMES
from ctcore.phantom.draws import Draws
from ctcore.phantom.pathology import Pathology
from ctcore.phantom.phantom import make_phantom
from ctcore.phantom.subtypes import LOOKS, draw_subtype

CASES = 600
HYPO, CYSTIC, HYPER = SUBTYPE_NAMES


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[Pathology]]:
    return {
        name: [draw_subtype(Draws(np.random.default_rng(seed)), name) for seed in range(CASES)]
        for name in SUBTYPE_NAMES
    }


@pytest.mark.parametrize("name", SUBTYPE_NAMES)
def test_draws_follow_the_table(drawn: dict[str, list[Pathology]], name: str) -> None:
    look, lesions = LOOKS[name], drawn[name]
    assert all(lesion.kind == look.kind and lesion.has_lesion for lesion in lesions)
    assert np.median([lesion.volume_ml for lesion in lesions]) == pytest.approx(look.median_ml, rel=0.15)
    mean, _, low, high = look.contrast_hu
    contrasts = [lesion.contrast_hu for lesion in lesions if not lesion.iso_attenuating]
    assert np.mean(contrasts) == pytest.approx(mean, abs=3.0)
    assert low <= min(contrasts)
    assert max(contrasts) <= high
    for share, odds in (
        (np.mean([lesion.iso_attenuating for lesion in lesions]), look.iso_share),
        (np.mean([lesion.fluid is not None for lesion in lesions]), look.fluid_odds),
        (np.mean([lesion.necrosis > 0 for lesion in lesions]), look.necrosis_odds),
        (np.mean([lesion.duct_dilated for lesion in lesions]), look.duct_odds),
    ):
        assert share == pytest.approx(odds, abs=0.06)


def test_only_cystic_lesions_hold_nodules_and_septa(drawn: dict[str, list[Pathology]]) -> None:
    nodular = [lesion.fluid is not None and lesion.fluid.solid_share > 0 for lesion in drawn[CYSTIC]]
    assert np.mean(nodular) == pytest.approx(0.35, abs=0.06)
    for name in (HYPO, HYPER):
        assert not any(lesion.fluid and (lesion.fluid.solid_share or lesion.fluid.septa) for lesion in drawn[name])


def _looks_like(lesion: Pathology) -> str:
    """What a simple reader says of a ball: cystic if enough of it is fluid, else by its HU to the gland."""
    share, level = 0.0, 0.0
    if lesion.fluid is not None:
        share = (1.0 - lesion.fluid.rim) ** 3 * (1.0 - lesion.fluid.solid_share)
        level = 8.0 + lesion.fluid.shift_hu - 100.0  # portal-venous means of bile and gland
    if share > 0.15 and level < -55.0:
        return CYSTIC
    return HYPO if share * level - (1.0 - share) * lesion.contrast_hu < 0.0 else HYPER


def test_a_simple_reader_is_right_in_most_cases_but_not_in_all(drawn: dict[str, list[Pathology]]) -> None:
    right = [np.mean([_looks_like(lesion) == name for lesion in lesions]) for name, lesions in drawn.items()]
    assert min(right) > 0.65
    assert 0.75 < np.mean(right) < 0.95


def test_impossible_subtypes_are_refused() -> None:
    with pytest.raises(RequestError, match="lesion subtype 'subtype3' is unknown: choose one of subtype0"):
        make_phantom(0, positive=True, subtype="subtype3")
    with pytest.raises(RequestError, match="a case without lesion cannot be of 'subtype1'"):
        make_phantom(0, positive=False, subtype="subtype1")
