"""Painting tissues on working grids: a canvas for the whole body and a finer layer for the labelled structures."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from ctcore.phantom.draws import Draws
from ctcore.phantom.frame import Frame, Window
from ctcore.phantom.shapes import Patch
from ctcore.phantom.texture import cloud, grain
from ctcore.phantom.tissues import AIR_HU, TISSUES, Palette

FINE_GRAIN_MM = 1.4
COARSE_GRAIN_MM = 22.0


class Painter(ABC):
    """What a canvas and a layer share: a grid, a patient's attenuations, and the random fields of all tissues.

    Attributes:
        frame: The working grid.
        palette: The patient's attenuations.
        coarse: (z, y, x) slow random field of unit variance.
        fine: (z, y, x) fine random field of unit variance.
    """

    def __init__(self, frame: Frame, palette: Palette, draws: Draws, name: str) -> None:
        self.frame = frame
        self.palette = palette
        generator = draws.stream(f"texture.{name}")
        self.coarse = cloud(generator, frame.shape, frame.spacing, COARSE_GRAIN_MM)
        self.fine = grain(generator, frame.shape, FINE_GRAIN_MM / frame.spacing)

    def tissue(self, name: str, window: Window, *, shift: float = 0.0) -> np.ndarray:
        """HU of a tissue with its texture in a window; `shift` is added to its mean."""
        tissue, factor = TISSUES[name], self.palette.texture
        field = self.fine[window] * np.float32(tissue.fine * factor)
        field += self.coarse[window] * np.float32(tissue.coarse * factor)
        field += np.float32(self.palette[name] + shift)
        return field

    def occupancy(self, distance: np.ndarray) -> np.ndarray:
        """Share of each node's cell inside a surface at signed `distance` mm (linear over one cell)."""
        share = np.float32(0.5) - distance * np.float32(1.0 / self.frame.spacing)
        return np.clip(share, 0.0, 1.0, out=share)

    @abstractmethod
    def blend(self, window: Window, share: np.ndarray, hu: np.ndarray | float) -> None:
        """Puts `hu` over what is there, with opacity `share`."""

    def paint(self, patch: Patch | None, tissue: str, *, shift: float = 0.0) -> None:
        """Paints a shape with a tissue; a shape that misses the grid (None) changes nothing."""
        if patch is not None:
            share = self.occupancy(patch.distance)
            self.blend(patch.window, share, self.tissue(tissue, patch.window, shift=shift))


class Canvas(Painter):
    """HU of the whole body on a working grid, painted organ after organ; later organs cover earlier ones.

    Attributes:
        hu: (z, y, x) float32 HU.
    """

    def __init__(self, frame: Frame, palette: Palette, draws: Draws) -> None:
        super().__init__(frame, palette, draws, "canvas")
        self.hu = np.full(frame.shape, AIR_HU, dtype=np.float32)

    def blend(self, window: Window, share: np.ndarray, hu: np.ndarray | float) -> None:
        """Puts `hu` over what is there, with opacity `share`."""
        part = self.hu[window]
        part += share * (np.asarray(hu, dtype=np.float32) - part)


class Layer(Painter):
    """A finer transparent layer over a canvas: premultiplied HU, opacity, and the occupancy of every label.

    Attributes:
        opacity: (z, y, x) float32, 0 to 1.
        paint_hu: (z, y, x) float32, HU times opacity.
        labels: Label value -> (z, y, x) float32 occupancy; together at most 1.
    """

    def __init__(self, frame: Frame, palette: Palette, draws: Draws, labels: tuple[int, ...]) -> None:
        super().__init__(frame, palette, draws, "layer")
        self.opacity = np.zeros(frame.shape, dtype=np.float32)
        self.paint_hu = np.zeros(frame.shape, dtype=np.float32)
        self.labels: dict[int, np.ndarray] = {label: np.zeros(frame.shape, dtype=np.float32) for label in labels}

    def blend(self, window: Window, share: np.ndarray, hu: np.ndarray | float) -> None:
        """Covers the layer in a window with `hu`, with opacity `share`."""
        rest = np.float32(1.0) - share
        for array, value in ((self.opacity, np.float32(1.0)), (self.paint_hu, np.asarray(hu, dtype=np.float32))):
            part = array[window]
            part *= rest
            part += share * value

    def mark(self, window: Window, share: np.ndarray, label: int) -> None:
        """Gives `share` of every node's cell in a window to a label (0: the background), taking it from the others."""
        rest = np.float32(1.0) - share
        for value, array in self.labels.items():
            part = array[window]
            part *= rest
            if value == label:
                part += share
