"""Three subtypes: drawn as documented, told apart in most cases but not in all."""

import numpy as np
import pytest

from ctcore.errors import RequestError
from ctcore.geometry import to_lps
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
    """What a reader would say of a lesion without noise: by the mean HU to the gland, then by the solid part."""
    fluid = lesion.fluid
    share = 0.0 if fluid is None else (1.0 - fluid.rim) ** 3 * (1.0 - fluid.solid_share)
    mean = -lesion.contrast_hu * (1.0 - share)
    if fluid is not None:
        mean += share * (8.0 + fluid.shift_hu - 100.0)
    if lesion.contrast_hu < -8.0:
        return HYPER if mean > -25.0 else CYSTIC
    return CYSTIC if mean < -50.0 or (share > 0.3 and lesion.contrast_hu < 20.0) else HYPO if mean < 0.0 else HYPER


def test_a_reader_is_right_in_most_cases_but_not_in_all(drawn: dict[str, list[Pathology]]) -> None:
    for name, lesions in drawn.items():
        right = np.mean([_looks_like(lesion) == name for lesion in lesions])
        assert 0.70 < right < 0.97, name


def test_the_image_shows_the_subtype() -> None:
    medians = {}
    for name in SUBTYPE_NAMES:
        phantom = make_phantom(5, positive=True, subtype=name)
        assert phantom.class_name == phantom.record["class_name"] == name
        image, _ = to_lps(phantom.image)
        labels, _ = to_lps(phantom.labels)
        record = phantom.record["draws"]
        assert record["pathology.kind"] == LOOKS[name].kind
        lesion = image.array[labels.array == 1]
        medians[name] = float(np.median(lesion)) - record["hu.mean"]["pancreas"]
    assert medians[CYSTIC] < medians[HYPO] < 0.0 < medians[HYPER]


def test_impossible_subtypes_are_refused() -> None:
    with pytest.raises(RequestError, match="lesion subtype 'subtype3' is unknown: choose one of subtype0"):
        make_phantom(0, positive=True, subtype="subtype3")
    with pytest.raises(RequestError, match="a case without lesion cannot be of 'subtype1'"):
        make_phantom(0, positive=False, subtype="subtype1")
