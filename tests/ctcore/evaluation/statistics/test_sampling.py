"""Samples keep the study's strata and patients."""

import numpy as np
import pytest

from ctcore.errors import DatasetError
from ctcore.evaluation.statistics import sampling
from ctcore.evaluation.statistics.sampling import Design

STRATA = np.array([1, 0, 0, 1, 0, 0, 0])
PATIENTS = ["a", "b", "c", "c", "d", "b", "e"]  # c has a negative and a positive case


def test_every_replicate_has_the_studys_numbers() -> None:
    drawn = np.concatenate(list(Design.of(STRATA).draws(300, 7)))
    assert drawn.shape == (300, 7)
    assert (drawn[:, STRATA == 1].sum(axis=1) == 2).all()
    assert (drawn[:, STRATA == 0].sum(axis=1) == 5).all()
    assert len(np.unique(drawn, axis=0)) > 100
    assert drawn.mean(axis=0) == pytest.approx(np.ones(7), abs=0.2)


def test_a_patient_is_drawn_whole_with_the_highest_stratum() -> None:
    design = Design.of(STRATA, PATIENTS)
    assert design.n_units == 5
    drawn = np.concatenate(list(design.draws(300, 7)))
    assert (drawn[:, 2] == drawn[:, 3]).all()
    assert (drawn[:, 1] == drawn[:, 5]).all()
    assert (drawn[:, 0] + drawn[:, 3] == 2).all()  # patients a and c
    assert (drawn[:, [1, 4, 6]].sum(axis=1) == 3).all()  # patients b, d and e


def test_the_seed_decides() -> None:
    first, again, other = (np.concatenate(list(Design.of(STRATA).draws(50, seed))) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_blocks_cover_all_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(Design.of(STRATA).draws(10, 0)))
    monkeypatch.setattr(sampling, "MAX_ELEMENTS", 3 * 7)
    blocks = list(Design.of(STRATA).draws(10, 0))
    assert [block.shape for block in blocks] == [(3, 7), (3, 7), (3, 7), (1, 7)]
    assert np.concatenate(blocks).sum() == whole.sum()
    assert not list(Design.of(STRATA).draws(0, 0))


def test_a_jackknife_leaves_each_patient_out_once() -> None:
    negative, positive = Design.of(STRATA, PATIENTS).deletions(100, 0)
    assert positive.shape == (2, 7)
    assert negative.shape == (3, 7)
    left_out = [frozenset(np.flatnonzero(row == 0).tolist()) for row in (*positive, *negative)]
    assert set(left_out) == {frozenset({0}), frozenset({2, 3}), frozenset({1, 5}), frozenset({4}), frozenset({6})}


def test_a_jackknife_of_parts_covers_every_stratum() -> None:
    for kept, members in zip(Design.of(np.arange(25) % 2).deletions(4, 0), ([0, 12], [1, 13]), strict=True):
        assert kept.shape == (4, 25)
        assert ((1 - kept).sum(axis=0) == (np.arange(25) % 2 == members[0] % 2)).all()
        assert set((1 - kept).sum(axis=1).tolist()) <= {3, 4}


def test_lengths_must_agree() -> None:
    with pytest.raises(DatasetError, match=r"shape \(7,\) and 2 groups"):
        Design.of(STRATA, ["a", "b"])
    with pytest.raises(DatasetError, match=r"shape \(1, 7\)"):
        Design.of(STRATA[None])
