"""Equal to picai_eval, the reference implementation, on crafted random cases."""

import contextlib
import io
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.errors import DatasetError
from ctcore.evaluation.matching import CaseMatch, Outcome, match_case
from ctcore.evaluation.statistics.curves import auroc, average_precision

with contextlib.redirect_stdout(io.StringIO()):
    import picai_eval

SHAPE = (6, 14, 14)
CONFIDENCES = (0.1, 0.25, 0.25, 0.5, 0.5, 0.9)  # equal ones within and between cases
STUDIES = 20
CASES = 16


def boxes(rng: np.random.Generator, number: int) -> list[tuple[slice, ...]]:
    """Random boxes; they may touch, overlap and lie at the border."""
    starts = rng.integers(0, np.array(SHAPE) - 2, size=(number, 3))
    sizes = rng.integers(1, (4, 8, 8), size=(number, 3))
    return [
        tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        for start, size in zip(starts, sizes, strict=True)
    ]


def crafted_case(rng: np.random.Generator, negative: bool) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """A detection map and a label; candidates often lie on lesions, several on one, some maps are empty."""
    label = np.zeros(SHAPE, dtype=np.int32)
    lesions = [] if negative else boxes(rng, int(rng.integers(0, 4)))
    for box in lesions:
        label[box] = 1
    detection_map = np.zeros(SHAPE, dtype=np.float32)
    near = [
        tuple(
            slice(max(0, s.start + shift), s.stop + shift) for s, shift in zip(box, rng.integers(-2, 3, 3), strict=True)
        )
        for box in lesions
        for _ in range(int(rng.integers(0, 3)))
    ]
    for box in near + boxes(rng, int(rng.integers(0, 3))):
        detection_map[box] = rng.choice(CONFIDENCES)
    for z, y, x in lesions:
        if x.stop - x.start > 4 and rng.random() < 0.7:  # two or three candidates on one lesion, of any confidence
            detection_map[z, y, x] = rng.choice(CONFIDENCES)
            detection_map[z, y, x.start + 2 : x.stop] = rng.choice(CONFIDENCES)
            detection_map[:, :, x.start + 2] = 0
    return detection_map, label


def reference(maps: list[npt.NDArray[np.float32]], labels: list[npt.NDArray[np.int32]], min_overlap: float) -> Any:
    return picai_eval.evaluate(cast(Any, maps), cast(Any, labels), min_overlap=min_overlap, num_parallel_calls=1)


def decisions(match: CaseMatch) -> list[tuple[int, float, float]]:
    """What picai_eval lists for a case: (is a lesion, confidence, overlap), sorted."""
    listed = [
        (int(candidate.outcome is Outcome.HIT), candidate.confidence, candidate.overlap)
        for candidate in match.candidates
        if candidate.outcome is not Outcome.IGNORED
    ]
    return sorted(listed + [(1, 0.0, 0.0)] * match.n_missed)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("min_overlap", [0.10, 0.15, 0.5])
def test_every_decision_and_both_areas_are_equal(min_overlap: float) -> None:
    compared = refused = ignored = 0
    for study in range(STUDIES):
        rng = np.random.default_rng(study)
        maps, labels = [], []
        for _ in range(CASES):
            detection_map, label = crafted_case(rng, negative=study == 0 or bool(rng.random() < 0.3))
            try:
                match_case(detection_map, label > 0, min_overlap)
            except DatasetError:
                with pytest.raises(ValueError, match="softmax"):
                    reference([detection_map], [label], min_overlap)
                refused += 1
                continue
            maps.append(detection_map)
            labels.append(label)

        theirs = reference(maps, labels, min_overlap)
        ours = [match_case(d, label > 0, min_overlap) for d, label in zip(maps, labels, strict=True)]
        for index, match in enumerate(ours):
            expected = sorted((int(t), float(c), float(o)) for t, c, o in theirs.lesion_results[index])
            found = decisions(match)
            assert [item[:2] for item in found] == [item[:2] for item in expected]
            # picai_eval smooths the overlap by 1e-8
            assert [item[2] for item in found] == pytest.approx([item[2] for item in expected], abs=1e-8)
            assert match.detection_max == theirs.case_pred[index]
            assert (match.n_lesions > 0) == bool(theirs.case_target[index])
            ignored += match.count(Outcome.IGNORED)
        compared += len(ours)

        area = auroc([match.detection_max for match in ours], [match.n_lesions > 0 for match in ours])
        precision = average_precision([finding for match in ours for finding in match.findings])
        if study == 0:
            assert area is None
            assert precision is None
        else:
            assert area == pytest.approx(theirs.auroc, abs=1e-12)
            assert precision == pytest.approx(theirs.AP, abs=1e-12)
    assert compared >= 200
    assert refused >= 5
    assert ignored >= (20 if min_overlap < 0.5 else 0)
