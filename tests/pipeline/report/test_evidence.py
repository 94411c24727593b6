"""What the classifier's answer rests on, on the page of a case and in its picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex

from ctcore.files import read_ct
from ctcore.quality.reference import Limits
from pipeline.bundle import Bundle
from pipeline.case import process_case
from pipeline.clock import Clock
from pipeline.evidence_record import EvidenceRecord
from pipeline.records import FusionRecord, QualityRecord
from pipeline.report.case_page import case_html
from pipeline.report.colours import EVIDENCE, EVIDENCE_MAP
from pipeline.report.evidence_figure import draw_evidence
from pipeline.stages import Stages
from tests.pipeline.report.test_figure import colours
from tests.pipeline.report.test_page import case

FUSION = FusionRecord(rule="mean", terms={"p_lesion": 0.9, "detection_max": 0.25})


def evidence(**changes: Any) -> EvidenceRecord:
    """Evidence of which half is in the candidate."""
    values: dict[str, Any] = {
        "class_name": "PDAC",
        "supporting": 3.5,
        "opposing": 1.25,
        "scale": 2.0,
        "candidate_share": 0.5,
        "pancreas_share": 0.3,
        "elsewhere_share": 0.2,
        "candidate_volume_share": 0.01,
        "pancreas_volume_share": 0.04,
        "peak_lps_mm": (1.0, -20.4, 300.0),
    }
    return EvidenceRecord(**(values | changes))


def test_classifier_and_map_stand_side_by_side() -> None:
    quality = QualityRecord(
        slice_spacing_mm=2.5, head_map_difference=0.65, limits={"head_map_difference": Limits(high=0.5)}
    )
    page = case_html(case("a", fusion=FUSION, quality=quality))
    section = page[page.index("Classifier, detection map and folds") :]
    assert section.index("0.900") < section.index("0.250")
    assert "0.65, usually at most 0.5: the classifier says more" in section
    other = FusionRecord(rule="mean", terms={"p_lesion": 0.25, "detection_max": 0.5})
    assert "<td>0.25: the map says more</td>" in case_html(case("a", fusion=other))
    only_map = FusionRecord(rule="map", terms={"detection_max": 0.25})
    assert "Classifier, detection map and folds" not in case_html(case("a", fusion=only_map))


def test_folds_are_shown_with_their_range() -> None:
    folds = ({"non-PDAC": 0.1, "PDAC": 0.9}, {"non-PDAC": 0.3, "PDAC": 0.7}, {"non-PDAC": 0.2, "PDAC": 0.8})
    page = case_html(case("a", fusion=FUSION, fold_classes=folds))
    assert "<td>range</td><td>0.100 to 0.300 (by 0.200)</td><td>0.700 to 0.900 (by 0.200)</td>" in page
    assert "<td>3</td>" in page
    assert "<td>range</td>" not in case_html(case("a", fusion=FUSION))
    assert "<td>range</td>" not in case_html(case("a", fusion=FUSION, fold_classes=folds[:1]))


def test_evidence_is_shown_with_what_it_is_not() -> None:
    page = case_html(case("a b", evidence=evidence(class_name="<b>"), notice="Demo"))
    assert 'src="../evidence/a%20b.png"' in page
    for words in (
        "make its classifier say &lt;b&gt; and no other class",
        "not what is ill",
        "3.50 speak for it, 1.25 against it",
        "peak of 2.00 a ml at LPS mm 1, -20, 300",
        "0.950",  # of the region is neither
    ):
        assert words in page
    assert "<b>Warning:</b> Demo." in page


def test_a_case_without_evidence() -> None:
    title = "What the classifier draws its answer from"
    assert title not in case_html(case("a"))
    assert "The evidence could not be computed." in case_html(case("a", flags=("no_evidence",)))
    nothing = evidence(
        supporting=0, scale=0, candidate_share=None, pancreas_share=None, elsewhere_share=None, peak_lps_mm=None
    )
    assert "Nothing speaks for PDAC." in case_html(case("a", evidence=nothing))
    without = case_html(case("a", evidence=evidence(), flags=("no_picture",)))
    assert "evidence/a.png" not in without


def test_the_legend_is_the_scale_of_the_picture() -> None:
    scale = matplotlib.colormaps[EVIDENCE_MAP]
    assert [to_hex(scale(value)) for value in np.linspace(0, 1, len(EVIDENCE))] == list(EVIDENCE)


@pytest.mark.parametrize("lesion", [False, True])
def test_the_picture_shows_the_evidence(
    tmp_path: Path, make_ct: Callable[..., Path], bundle: Bundle, stages: Stages, lesion: bool
) -> None:
    ct = read_ct(make_ct(tmp_path / "case.nii.gz", lesion=lesion))
    result = process_case(ct, stages, bundle, Clock(), evidence=True)
    assert result.evidence is not None
    draw_evidence(result, result.evidence, tmp_path / "evidence.png")
    rgb = colours(tmp_path / "evidence.png")
    assert rgb.shape[1] == 900
    yellow = (rgb[..., 0] > 0.6) & (rgb[..., 1] > 0.6) & (rgb[..., 2] < 0.5)
    assert (int(yellow.sum()) > 1000) == lesion
