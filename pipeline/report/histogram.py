"""How the scores of a cohort are spread, as a drawing inside the page."""

from __future__ import annotations

from collections.abc import Sequence

from ctcore.detection.calibration import OperatingPoint
from ctcore.pages.pieces import text

BINS = 20
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 760, 170, 40, 28, 22


def histogram(scores: Sequence[float], points: Sequence[OperatingPoint]) -> str:
    """Returns the drawing; nothing without scores.

    Args:
        scores: of the cases, 0 to 1.
        points: thresholds that are marked.
    """
    if not scores:
        return ""
    counts = [0] * BINS
    for score in scores:
        counts[min(int(min(max(score, 0.0), 1.0) * BINS), BINS - 1)] += 1
    highest, wide, high = max(counts), _WIDTH - _LEFT, _HEIGHT - _BOTTOM - _TOP
    bars = []
    for number, count in enumerate(counts):
        if count:
            tall = high * count / highest
            x, y = _LEFT + wide * number / BINS + 1, _TOP + high - tall
            low, up = number / BINS, (number + 1) / BINS
            bars.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide / BINS - 2:.1f}" height="{tall:.1f}">'
                f"<title>{count} of {len(scores)} cases score {low:.2f} to {up:.2f}</title></rect>"
            )
    marks = []
    for point in points:
        x = _LEFT + wide * min(max(point.threshold, 0.0), 1.0)
        marks.append(
            f'<line class="point" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + high}"></line>'
            f'<text x="{x + 4:.1f}" y="{_TOP - 8}">{text(point.name)}</text>'
        )
    floor = _TOP + high
    ticks = "".join(
        f'<text x="{_LEFT + wide * tick:.1f}" y="{floor + 18}" text-anchor="middle">{tick:.2g}</text>'
        for tick in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    label = f"Histogram of {len(scores)} scores: " + ", ".join(
        f"{count} from {number / BINS:.2f}" for number, count in enumerate(counts) if count
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH + 20} {_HEIGHT}" role="img" aria-label="{text(label)}">'
        f'<text x="4" y="{_TOP + 10}">{highest}</text>'
        f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{floor}" y2="{floor}"></line>'
        f"{''.join(bars)}{''.join(marks)}{ticks}</svg>"
    )
