"""Shares of lesion and pancreas that patches hold, and their weights, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stage2_multitask.heads.region_labels import Regions
from stage2_multitask.patch_weights import held_shares, label_totals, patch_weights


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("dtype", [torch.int16, torch.float32])
def test_shares_by_hand(dims: int, dtype: torch.dtype) -> None:
    target = torch.zeros(5, 1, *(4,) * dims, dtype=dtype)
    flat = target.flatten(1)
    flat[0, :6], flat[0, 6:8] = 1, 2  # 2 of 8 lesion voxels
    flat[1, :5] = 1  # none of 8
    flat[2, :6] = 1  # no lesion in the case: 6 of 12 pancreas voxels
    flat[3, :9] = 2  # enlarged by augmentation: 9 of 8
    shares = held_shares(target, (2,), (1, 2), torch.tensor([8, 8, 0, 8, 0]), torch.tensor([20, 20, 12, 20, 0]))
    assert shares.tolist() == [0.25, 0.0, 0.5, 1.0, 0.0]
    assert shares.dtype == torch.float32


def test_weights_by_hand() -> None:
    shares = torch.tensor([0.0, 0.2, 0.4, 1.0])
    answer = patch_weights(shares, floor=0.2, full=0.4)
    torch.testing.assert_close(answer, torch.tensor([0.2, 0.6, 1.0, 1.0]))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=2), st.floats(0, 1), st.floats(0.01, 1))
def test_weights_rise_from_floor_to_one(pair: list[float], floor: float, full: float) -> None:
    lower, higher = patch_weights(torch.tensor(sorted(pair)), floor=floor, full=full).tolist()
    assert floor - 1e-6 <= lower <= higher + 1e-6 <= 1 + 2e-6


@pytest.mark.parametrize(("floor", "full"), [(-0.1, 0.5), (1.1, 0.5), (0.1, 0.0), (0.1, 1.5)])
def test_refused(floor: float, full: float) -> None:
    with pytest.raises(ValueError, match=f"floor {floor} and full {full} are out of range"):
        patch_weights(torch.zeros(1), floor=floor, full=full)


def test_totals_of_whole_cases() -> None:
    label = np.zeros((1, 2, 3, 4), np.int16)
    label[0, 0, 0] = [1, 2, 2, 3]

    class Cases:
        identifiers = ("p",)

        def load_case(self, case_id: str) -> tuple[object, np.ndarray, None, dict[str, object]]:
            return None, label, None, {}

    assert label_totals(Cases(), Regions(lesion=(1,), foreground=(1, 2))) == {"p": (1, 3)}
