from pathlib import Path
from typing import Any

import pytest

from benchmarks.inference_parity import main
from benchmarks.trained_parity import GUIDED, WayResult, compare, half_bounds
from ctcore.files import write
from ctcore.volume import Geometry, Volume


def test_random_weights_blend_as_nnunet_s_windows_do(plans: Path, tmp_path: Path) -> None:
    assert main(["--plans", str(plans), "--parts", "random", "--output", str(tmp_path)]) == 0


@pytest.mark.parametrize(("parts", "message"), [("random", "needs --plans"), ("else", "'else' is unknown")])
def test_a_part_without_its_data_is_refused(
    parts: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--parts", parts, "--output", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def way(folder: Path, scores: list[float], candidates: list[int], voxels: int) -> WayResult:
    """A way whose segmentations hold so many voxels of label 1."""
    records: list[dict[str, Any]] = []
    for number, (score, count) in enumerate(zip(scores, candidates, strict=True)):
        records.append({"case_id": f"case{number}", "score": score, "candidates": [{}] * count})
        volume = Volume(_labels(voxels), Geometry((2, 5, 10), (1.0, 1.0, 1.0)))
        write(volume, folder / "segmentations" / f"case{number}.nii.gz")
    return WayResult(folder, records, 0.9, 0.5)


def _labels(voxels: int) -> Any:
    import numpy as np

    return (np.arange(100) < voxels).astype(np.uint8).reshape(2, 5, 10)


def test_ways_are_compared_case_by_case(tmp_path: Path) -> None:
    exact = way(tmp_path / "exact", [0.5, 0.2, 0.8], [1, 2, 0], voxels=40)
    other = way(tmp_path / "other", [0.5, 0.21, 0.78], [1, 1, 0], voxels=60)
    found = compare(exact, other)
    assert found["score_difference_median"] == pytest.approx(0.01)
    assert found["score_difference_largest"] == pytest.approx(0.02)
    assert found["equal_candidate_counts"] == pytest.approx(2 / 3)
    assert found["dice_mean"] == pytest.approx(2 * 40 / 100)
    assert found["auroc_loss"] == 0
    assert not any(bound.reached for bound in half_bounds("bf16", found))
    assert all(bound.reached for bound in half_bounds(GUIDED, compare(exact, exact)))
