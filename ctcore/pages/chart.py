"""Curves over what is counted (epochs, cases) as a drawing inside a page: text stays text, no script is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ctcore.pages.pieces import text

COLOURS, DASHES = 7, 5
"""Styles of the style sheet. Their numbers have no common divisor: 35 curves differ in one or the other."""
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 520, 250, 58, 14, 18, 40
_RIGHT_END, _FLOOR = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
_MARK_WIDTH = 70
"""Room that a mark's name needs to the right of it."""


@dataclass(frozen=True)
class Curve:
    """A curve.

    Attributes:
        name: what it shows.
        x: rising.
        y: one for each of `x`; None where there is none: a gap.
        style: number of its colour and dash.
        ringed: the `x` whose point gets a ring.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    style: int
    ringed: float | None = None

    @property
    def points(self) -> list[tuple[float, float]]:
        """The points that are there."""
        return [(x, y) for x, y in zip(self.x, self.y, strict=True) if y is not None]

    @property
    def runs(self) -> list[list[tuple[float, float]]]:
        """The points between the gaps."""
        found: list[list[tuple[float, float]]] = [[]]
        for x, y in zip(self.x, self.y, strict=True):
            if y is None:
                found.append([])
            else:
                found[-1].append((x, y))
        return [run for run in found if run]


@dataclass(frozen=True)
class Mark:
    """A place that is marked on all curves.

    Attributes:
        x: where.
        name: what is there.
        kind: `best`, or `event` for what happened to the training.
    """

    x: float
    name: str
    kind: str = "event"


@dataclass(frozen=True)
class Chart:
    """Curves in one pair of axes.

    Attributes:
        title: what they show.
        x_label, y_label: names of the axes, with their units.
        curves: those without any point are left out.
        marks: places that are marked.
        limits: lower and upper end of the y-axis; by the curves if not given.
    """

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    marks: Sequence[Mark] = field(default=())
    limits: tuple[float, float] | None = None


def chart_html(chart: Chart) -> str:
    """Returns a chart with title and key as HTML; nothing where no curve has a point."""
    curves = [curve for curve in chart.curves if curve.points]
    if not curves:
        return ""
    y = [y for curve in curves for _, y in curve.points]
    axes = _Axes(_ends([x for curve in curves for x in curve.x]), chart.limits or _padded(_ends(y)))
    told = "; ".join(f"{curve.name}: {_from_to(curve)}" for curve in curves)
    drawing = "".join(
        [
            axes.grid(),
            *(axes.mark(mark) for mark in chart.marks),
            *(axes.curve(curve) for curve in curves),
            f'<text x="{(_LEFT + _RIGHT_END) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{text(chart.x_label)}</text>',
            f'<text transform="translate(13 {(_TOP + _FLOOR) / 2}) rotate(-90)" text-anchor="middle">'
            f"{text(chart.y_label)}</text>",
        ]
    )
    key = "".join(
        f'<li><svg viewBox="0 0 34 8" aria-hidden="true"><path class="{_style(curve)}" d="M0 4H34"/></svg>'
        f"{text(curve.name)}</li>"
        for curve in curves
    )
    return (
        f'<figure><h3>{text(chart.title)}</h3><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        f"<title>{text(f'{chart.title}. {told}')}</title>{drawing}</svg>"
        f'<figcaption><ul class="key">{key}</ul></figcaption></figure>'
    )


class _Axes:
    """Where values lie in the drawing."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._x = x if x[0] < x[1] else (x[0] - 0.5, x[1] + 0.5)
        self._y = y

    def _at(self, x: float, y: float) -> tuple[float, float]:
        (left, right), (low, high) = self._x, self._y
        return (
            _LEFT + (_RIGHT_END - _LEFT) * (x - left) / (right - left),
            _FLOOR - (_FLOOR - _TOP) * (y - low) / (high - low),
        )

    def grid(self) -> str:
        """Returns lines and numbers at round values."""
        parts = []
        for value in _ticks(self._x, whole=True):
            x, _ = self._at(value, self._y[0])
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_FLOOR}"/>'
                f'<text x="{x:.1f}" y="{_FLOOR + 16}" text-anchor="middle">{value:g}</text>'
            )
        for value in _ticks(self._y):
            _, y = self._at(self._x[0], value)
            parts.append(
                f'<line x1="{_LEFT}" x2="{_RIGHT_END}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
            )
        return "".join(parts)

    def mark(self, mark: Mark) -> str:
        """Returns a line over the whole height with its name; nothing of a mark beyond the curves."""
        if not self._x[0] <= mark.x <= self._x[1]:
            return ""
        x, _ = self._at(mark.x, self._y[0])
        beside = f'x="{x + 4:.1f}"' if x + _MARK_WIDTH < _RIGHT_END else f'x="{x - 4:.1f}" text-anchor="end"'
        return (
            f'<line class="{text(mark.kind)}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_FLOOR}"/>'
            f'<text {beside} y="{_TOP - 5}">{text(mark.name)}</text>'
        )

    def curve(self, curve: Curve) -> str:
        """Returns a line for each run of points, a dot for a point between gaps, and the ring."""
        parts = []
        for run in curve.runs:
            places = [self._at(*point) for point in run]
            if len(places) == 1:
                x, y = places[0]
                parts.append(f'<circle class="{_style(curve)}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>')
            else:
                way = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
                parts.append(f'<path class="{_style(curve)}" d="M{way}"/>')
        for point in curve.points:
            if point[0] == curve.ringed:
                x, y = self._at(*point)
                colour = f"curve c{curve.style % COLOURS}"
                parts.append(f'<path class="{colour}" d="M{x - 5:.1f} {y:.1f}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0"/>')
        return "".join(parts)


def _style(curve: Curve) -> str:
    return f"curve c{curve.style % COLOURS} d{curve.style % DASHES}"


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _padded(ends: tuple[float, float]) -> tuple[float, float]:
    """Returns an axis around values: wider than they reach, and not empty where all are the same."""
    low, high = ends
    margin = 0.05 * (high - low)
    if margin <= 1e-9 * max(abs(low), abs(high)):
        margin = 0.1 * abs(high) or 0.5
    return low - margin, high + margin


def _ticks(ends: tuple[float, float], *, whole: bool = False) -> list[float]:
    """Returns the round values of an axis, about five."""
    from matplotlib.ticker import MaxNLocator

    low, high = ends
    found = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10], integer=whole, min_n_ticks=1).tick_values(low, high)
    inside = [float(value) for value in found if low <= value <= high]
    step = float(found[1] - found[0]) if len(found) > 1 else 1.0
    digits = max(0, 2 - math.floor(math.log10(step)))  # of 0.30000000000000004
    return [round(value, digits) for value in inside]


def _from_to(curve: Curve) -> str:
    (first, *_), (last, *_) = (curve.points[0][1:], curve.points[-1][1:])
    return f"{len(curve.points)} values, from {first:.4g} to {last:.4g}"
