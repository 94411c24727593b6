"""The benchmark of the evidence: one phantom, and its arithmetic by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.evidence import Bench, Localised, Measured, summary
from benchmarks.forgetting import likeness, shown
from ctcore.files import read, read_ct
from ctcore.labels import PanoramaLabel
from ctcore.phantom.cohort import write_cohort
from ctcore.volume import Geometry
from pipeline.bundle import DEMO_BUNDLE

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
def test_the_shipped_models_evidence_lies_on_a_phantoms_lesion_and_goes_with_its_weights(tmp_path: Path) -> None:
    write_cohort(tmp_path, 1, 9_201_001, positive_fraction=1.0, around_mm=30.0)
    (image,), (label,) = ((tmp_path / name).glob("*.nii.gz") for name in ("imagesTr", "labelsTr"))
    ct, labels = read_ct(image), read(label)
    assert (labels.array == PanoramaLabel.LESION).any()
    bench = Bench(DEMO_BUNDLE, 1)
    bench.add(ct, labels)
    measured = bench.measured
    assert measured.again == [True]
    assert measured.localised["HiResCAM"].ratio[0] > 2
    assert measured.left["head, encoder"][0][0] < 0.5
    assert all(len(values) == 1 and np.isfinite(values).all() for values in measured.lost.values())


def test_where_evidence_lies_by_hand() -> None:
    density = np.array([[[3.0, 1.0, -5.0, 0.0, 1.0]]], np.float32)
    lesion = np.array([[[False, True, True, False, False]]])
    localised = Localised()
    localised.add(density, lesion, Geometry((1, 1, 5), (4.0, 1.0, 1.0)))
    assert localised.ratio == pytest.approx([(1 / 2) / (4 / 3)])
    assert localised.distance_mm == [4.0]
    localised.add(density[..., ::-1], lesion, Geometry((1, 1, 5), (12.0, 1.0, 1.0)))
    figures = list(localised.figures().values())
    assert figures == pytest.approx([0, (0.375 + 0.0) / 2, 0, 0.5])


def test_likeness_of_what_is_the_same_and_what_is_not() -> None:
    one = np.zeros((20, 20, 20), np.float32)
    one[4:8, 4:8, 4:8] = 1
    assert likeness(one, one) == pytest.approx((1, 1))
    correlation, similarity = likeness(one, one[::-1])
    assert abs(correlation) < 0.1
    assert similarity < 0.1  # over all voxels it would be above 0.8
    assert shown(2 * one).shape == (10, 10, 10)
    assert shown(2 * one).max() == 1


def test_the_summary() -> None:
    measured = Measured(predict_seconds=[1.0], explain_seconds=[0.5], again=[True])
    for localised in measured.localised.values():
        localised.ratio, localised.distance_mm = [2.0, 0.5], [0.0, 9.0]
    for name, values in measured.lost.items():
        values.append(3.0 if name == "HiResCAM" else 1.0)
    measured.left["head, encoder"] = [(0.6, 0.1), (0.2, 0.2), (0.1, 0.9)]
    figures, bounds = summary(measured)
    assert figures["Grad-CAM: peak inside the lesion (share of cases)"] == 0.5
    assert figures["random head, encoder: rank correlation, median"] == 0.2
    assert [bound.reached for bound in bounds] == [False, True, True, True, True, True]
