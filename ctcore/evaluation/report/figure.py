"""How every picture of an evaluation looks and is saved: PNG to paste, SVG to print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ctcore.durable import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE_COLOUR = "#1f5fa8"
SECOND_COLOUR = "#d9480f"
GRID_COLOUR = "#d9d9d9"
DOTS_PER_INCH = 150
SIZE_INCHES = (4.8, 4.6)
FORMATS = ("png", "svg")


def save_plot(folder: Path, name: str, draw: Callable[[Axes], None]) -> None:
    """Draws one panel and writes it as `NAME.png` and `NAME.svg`, each complete or not at all.

    Args:
        folder: where to.
        name: stem of both files.
        draw: fills the panel.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Text stays text, and the same figures give the same bytes.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9}):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        FigureCanvasAgg(figure)  # draws without a display, and without pyplot's global state
        draw(figure.subplots())

        for suffix in FORMATS:
            metadata = {"Date": None} if suffix == "svg" else {"Software": None}

            def write_to(partial: Path, suffix: str = suffix, metadata: dict[str, None] = metadata) -> None:
                figure.savefig(partial, dpi=DOTS_PER_INCH, format=suffix, metadata=metadata)

            write_atomic(folder / f"{name}.{suffix}", write_to)


def frame(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Gives a panel its title, axis names and grid."""
    axes.set_title(title, fontsize=10)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(color=GRID_COLOUR, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def unit_square(axes: Axes) -> None:
    """Shows 0..1 on both axes at one scale."""
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")


def undefined(axes: Axes, reason: str) -> None:
    """Says in an empty panel why it is empty."""
    axes.text(0.5, 0.5, reason, ha="center", va="center", color="grey", transform=axes.transAxes)
