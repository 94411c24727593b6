"""Curves lie where their values say."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from ctcore.pages.chart import COLOURS, DASHES, Chart, Curve, Mark, chart_html

HOSTILE = "</svg><script>alert(1)</script>\"'&"


def drawn(*curves: Curve, marks: tuple[Mark, ...] = (), limits: tuple[float, float] | None = (0.0, 1.0)) -> str:
    html = chart_html(Chart("Dice", "epoch", "share", curves, marks, limits))
    if html:
        ElementTree.fromstring(html)
    return html


def ways(html: str) -> list[str]:
    """Returns the ways of the curves themselves, not those of the key."""
    return re.findall(r'<path class="curve c\d d\d" d="(M[^H"]*)"', html)


def test_values_are_places() -> None:
    html = drawn(Curve("lesion", [0, 1, 2], [0.0, 0.5, 1.0], 0))
    # 520 x 250, of which 58 and 14 on the sides, 18 above and 40 below are free: x 58..506, y 210..18
    assert ways(html) == ["M58.0 210.0L282.0 114.0L506.0 18.0"]
    assert "<title>Dice. lesion: 3 values, from 0 to 1</title>" in html


def test_gaps_stay_gaps_and_single_points_are_dots() -> None:
    html = drawn(Curve("lesion", [0, 1, 2, 3, 4], [0.0, 0.0, None, 1.0, None], 0))
    assert ways(html) == ["M58.0 210.0L170.0 210.0"]
    assert re.findall(r'<circle class="curve c0 d0" cx="([\d.]+)" cy="([\d.]+)"', html) == [("394.0", "18.0")]


def test_one_epoch_is_a_dot_in_the_middle() -> None:
    html = drawn(Curve("lesion", [7], [0.25], 3), limits=None)
    assert re.findall(r'<circle class="curve c3 d3" cx="([\d.]+)" cy="([\d.]+)"', html) == [("282.0", "114.0")]
    assert ">7</text>" in html


def test_nothing_without_points() -> None:
    assert drawn() == ""
    assert drawn(Curve("lesion", [0, 1], [None, None], 0)) == ""


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ([0.3, 0.1], ["0.1", "0.15", "0.2", "0.25", "0.3"]),
        ([1e-9, 5e-9], ["1e-09", "2e-09", "3e-09", "4e-09", "5e-09"]),
        ([-2e6, 2e6], ["-2e+06", "-1e+06", "0", "1e+06", "2e+06"]),
        ([3.0, 3.0], ["2.7", "2.8", "2.9", "3", "3.1", "3.2"]),
        ([0.0, 0.0], ["-0.4", "-0.2", "0", "0.2", "0.4"]),
    ],
)
def test_ticks_are_round(values: list[float], numbers: list[str]) -> None:
    html = drawn(Curve("loss", [0, 1], values, 0), limits=None)
    assert re.findall(r'text-anchor="end">([^<]+)<', html) == numbers


def test_epochs_are_whole() -> None:
    html = drawn(Curve("loss", [0, 1], [0.0, 1.0], 0))
    assert re.findall(r'y="226" text-anchor="middle">([^<]+)<', html) == ["0", "1"]


def test_every_one_of_35_curves_has_its_own_look() -> None:
    curves = [Curve(str(number), [0, 1], [0.0, 1.0], number) for number in range(COLOURS * DASHES)]
    looks = re.findall(r'<path class="(curve c\d d\d)" d="M0 4H34"', drawn(*curves))
    assert len(set(looks)) == len(looks) == 35


def test_marks_and_rings() -> None:
    curve = Curve("fold 0", [0, 1, 2], [0.0, 0.5, 1.0], 1, ringed=1)
    html = drawn(curve, marks=(Mark(1, "best", "best"), Mark(2, "continued"), Mark(9, "beyond")))
    assert '<line class="best" x1="282.0" x2="282.0" y1="18" y2="210"/><text x="286.0" y="13">best</text>' in html
    assert '<text x="502.0" text-anchor="end" y="13">continued</text>' in html  # else it would leave the drawing
    assert "beyond" not in html
    assert '<path class="curve c1" d="M277.0 114.0a5 5' in html


def test_names_are_text() -> None:
    html = chart_html(Chart(HOSTILE, HOSTILE, HOSTILE, [Curve(HOSTILE, [0], [1.0], 0)], [Mark(0, HOSTILE, HOSTILE)]))
    ElementTree.fromstring(html)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 8
