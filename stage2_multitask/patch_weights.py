"""How much a patch's class loss counts: one that misses the lesion must not teach its case's class blindly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from stage2_multitask.heads.region_labels import Regions


def held_shares(
    target: torch.Tensor,
    lesion: Sequence[int],
    pancreas: Sequence[int],
    lesion_totals: torch.Tensor,
    pancreas_totals: torch.Tensor,
) -> torch.Tensor:
    """Returns the share of its case's lesion, or of its pancreas where the case has no lesion, that each patch holds.

    Args:
        target: label maps (b, 1, [z,] y, x) of the patches.
        lesion: label values that are lesion.
        pancreas: label values that are pancreas: gland, duct and lesions.
        lesion_totals: lesion pixels or voxels (b,) of each patch's whole case, on the same spacing.
        pancreas_totals: the same of the pancreas.

    Returns:
        (b,), float32, 0 to 1 (augmentation may enlarge what a patch holds); 0 for a case with neither.
    """
    has_lesion = lesion_totals > 0
    held = torch.where(has_lesion, _count(target, lesion), _count(target, pancreas))
    totals = torch.where(has_lesion, lesion_totals, pancreas_totals)
    return (held / totals.clamp_min(1)).clamp(max=1).float()


def patch_weights(shares: torch.Tensor, *, floor: float = 0.1, full: float = 0.5) -> torch.Tensor:
    """Returns the weight of each patch in the class loss: from `floor`, linearly, to 1 once the share is `full`.

    Args:
        shares: share (b,) of lesion or pancreas that each patch holds, 0 to 1.
        floor: weight of a patch that holds none, 0 to 1.
        full: share from which on a patch shows enough, above 0.

    Raises:
        ValueError: a setting is out of its range.
    """
    if not 0 <= floor <= 1 or not 0 < full <= 1:
        raise ValueError(f"floor {floor} and full {full} are out of range; use 0 to 1, full above 0")
    return floor + (1 - floor) * (shares / full).clamp(0, 1)


def label_totals(cases: Any, regions: Regions) -> dict[str, tuple[int, int]]:
    """Returns how many voxels of lesion and of pancreas each whole case has, on the spacing of training.

    Args:
        cases: nnU-Net's dataset of preprocessed cases (`identifiers`, `load_case`).
        regions: which labels are lesion and which are pancreas.
    """
    totals = {}
    for case_id in cases.identifiers:
        label = np.asarray(cases.load_case(case_id)[1])
        totals[str(case_id)] = (
            int(np.isin(label, regions.lesion).sum()),
            int(np.isin(label, regions.foreground).sum()),
        )
    return totals


def _count(target: torch.Tensor, labels: Sequence[int]) -> torch.Tensor:
    """Returns how many pixels or voxels (b,) of each patch have one of the labels."""
    values = torch.tensor(labels, device=target.device)
    return torch.isin(target.long(), values).flatten(1).sum(dim=1)
