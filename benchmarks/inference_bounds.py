"""What inference must reach, and where each bound applies."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.bounds import Bound
from benchmarks.inference_parity import RANDOM, same_windows_bound

TIMED_SLICES = 250
"""Speed is asked for of such a CT, with one network a stage and without mirrors."""
LARGE_SLICES = 800
"""Memory is compared on such a CT."""

LEAST_EXACT, LEAST_GUIDED, LEAST_OF_PEAK = 9.0, 25.0, 0.75
"""With a CPU that multiplies bfloat16 numbers."""
LEAST_FP32 = 2.0
"""With one that does not."""
LEAST_GPU, LEAST_CASES_A_SECOND = 10.0, 1.0
MOST_BEYOND_SECONDS = 1.5
MOST_MEMORY_RATIO, MOST_GIB = 0.30, 6.0
MOST_COLD_SECONDS, MOST_START_UP_SECONDS = 90.0, 5.0
LARGE_CARD = "H200"


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        slices: of the CT.
        device: `cpu` or `cuda`.
        folds: networks a stage.
        tta: whether inputs are mirrored.
    """

    slices: int
    device: str
    folds: int
    tta: bool

    @property
    def timed(self) -> bool:
        """Whether the bounds on speed apply."""
        return self.slices == TIMED_SLICES and self.folds == 1 and not self.tta

    def as_dict(self) -> dict[str, Any]:
        """Returns it as JSON types."""
        return asdict(self)


def bounds_of(request: Request, figures: dict[str, Any]) -> list[Bound]:
    """Returns the bounds that apply to a request, beside their figures."""
    bounds = [
        Bound("memory", "peak (GiB)", figures["peak_gib"]["ours"], "at most", MOST_GIB),
        Bound("start", "first result, cold cache (s)", figures["cold_cache_seconds"], "at most", MOST_COLD_SECONDS),
        Bound(
            "start",
            "until the first window, warm cache (s)",
            figures["start_up_seconds"],
            "at most",
            MOST_START_UP_SECONDS,
        ),
        Bound("fair", "windows of both flows equal", _same_windows(figures["windows"]), "equal to", True),
        *same_windows_bound(RANDOM, figures["parity"]),
    ]
    if request.slices == LARGE_SLICES:
        ratio = figures["peak_memory_ratio"]
        bounds.append(Bound("memory", "peak against the reference's", ratio, "at most", MOST_MEMORY_RATIO))
    return [*bounds, *_speed(request.device, figures)] if request.timed else bounds


def _speed(device: str, figures: dict[str, Any]) -> list[Bound]:
    """Returns the bounds on speed, which depend on what computes."""
    exact, guided = figures["speedup_exact"], figures["speedup_guided"]
    if device.startswith("cuda"):
        bounds = [Bound("speed", "against the reference", max(exact, guided), "at least", LEAST_GPU)]
        if LARGE_CARD in card_name():
            rate = figures["cases_a_second"]
            bounds.append(Bound("speed", "cases a second", rate, "at least", LEAST_CASES_A_SECOND))
        return bounds
    beyond = min(figures["seconds_beyond_network"].values())
    bounds = [Bound("speed", "seconds beyond the networks", beyond, "at most", MOST_BEYOND_SECONDS)]
    if figures["precision"] != "bf16":
        modes = (("exact", exact), ("anatomy-guided", guided))
        return [
            *(Bound("speed", f"{mode} windows, float32", value, "at least", LEAST_FP32) for mode, value in modes),
            *bounds,
        ]
    return [
        Bound("speed", "exact windows", exact, "at least", LEAST_EXACT),
        Bound("speed", "anatomy-guided windows", guided, "at least", LEAST_GUIDED),
        Bound("speed", "network of the matrix peak", figures["fraction_of_matrix_peak"], "at least", LEAST_OF_PEAK),
        *bounds,
    ]


def card_name() -> str:
    """Returns the GPU's name, empty where there is none."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def _same_windows(windows: dict[str, list[int]]) -> bool:
    """Tells whether exact windows are as many as the reference's, in both stages."""
    return windows["exact"] == windows["reference"]
