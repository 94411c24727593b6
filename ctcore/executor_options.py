"""Where work is computed, as command lines ask for it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ctcore.errors import RequestError
from ctcore.ray_cluster import RayRequest, check_ray


class ExecutorChoice(StrEnum):
    """Where work is computed."""

    LOCAL = "local"
    RAY = "ray"


Executor = Annotated[ExecutorChoice, typer.Option("--executor", help="Where it is computed: here, or on Ray.")]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        help="A Ray cluster that runs, as HOST:PORT, or 'auto'. Default: one of this machine alone.",
        show_default=False,
    ),
]
RayCpus = Annotated[int, typer.Option("--ray-cpus", min=1, help="Cores of each worker on Ray.")]
RayGpus = Annotated[float, typer.Option("--ray-gpus", min=0.0, help="GPUs of each worker on Ray; 0.5: two share one.")]


def ray_request(
    choice: ExecutorChoice, address: str | None, cpus: int, gpus: float, workers: int | None = None
) -> RayRequest | None:
    """Returns what is asked of Ray; None where work is computed here.

    Raises:
        RequestError: Ray is asked for and not installed, or its options without it.
    """
    if choice is ExecutorChoice.RAY:
        check_ray()
        return RayRequest(address, workers, cpus, gpus)
    if address is not None or gpus:
        raise RequestError("--ray-address and --ray-gpus are for Ray; add --executor ray, or leave them out")
    return None
