"""Training in several processes that `torchrun` has started, one for each GPU (or on CPUs, with gloo).

Every process holds the whole network and a part of each batch; gradients are averaged. The leader, rank 0, alone writes
files and to the console. Whatever one process raises ends all of them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from ctcore.errors import TrainingError, first_line

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process."""

FAILURE_KEY = "ctcore/failure"


def is_distributed() -> bool:
    """Tells whether torchrun started this process as one of several."""
    return all(name in os.environ for name in VARIABLES) and int(os.environ["WORLD_SIZE"]) > 1


def is_leader() -> bool:
    """Tells whether this process is the one that writes files and to the console."""
    return not is_distributed() or os.environ["RANK"] == "0"


@contextlib.contextmanager
def leader_speaks() -> Iterator[None]:
    """Keeps the standard output of all processes but the leader's silent."""
    with contextlib.ExitStack() as stack:
        if not is_leader():
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))  # noqa: PTH123
        yield


@contextlib.contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """Joins torchrun's processes for a block and yields this process's device; alone, only the device.

    Args:
        device: `cpu`, `cuda` or `cuda:N`; with several processes each takes the GPU of its number on its machine.

    Raises:
        TrainingError: another process failed; its message is repeated.
    """
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    if not is_distributed():
        yield torch.device("cuda", 0) if device == "cuda" else torch.device(device)
        return
    rank, local_rank = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    if torch.device(device).type == "cuda":
        place = torch.device("cuda", local_rank)
        torch.cuda.set_device(place)
    else:
        place = torch.device(device)
    store, rank, processes = next(rendezvous("env://"))
    backend = "nccl" if place.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=processes)
    try:
        yield place
    except BaseException as error:
        first = _announce(store, rank, error)
        if backend == "gloo":  # the others hear of it at once; NCCL would wait for them here, torchrun ends them
            distributed.destroy_process_group()
        own = first.startswith(_sender(rank))
        if own or not isinstance(error, RuntimeError):  # the latter: among others, a partner that has gone
            raise
        raise TrainingError(f"training was ended by another process ({first})") from error
    distributed.destroy_process_group()


def _sender(rank: int) -> str:
    return f"process {rank}: "


def _announce(store: Any, rank: int, error: BaseException) -> str:
    """Leaves the first failure's message for the other processes; returns the first one."""
    message = _sender(rank) + first_line(error)
    with contextlib.suppress(RuntimeError):  # the store may have gone with the process that kept it
        return bytes(store.compare_set(FAILURE_KEY, "", message)).decode()
    return message


def data_parallel(network: torch.nn.Module, device: torch.device, *, parts_may_rest: bool) -> torch.nn.Module:
    """Returns a network whose gradients are averaged over the processes in every backward pass.

    Args:
        network: the network on its device.
        device: the device.
        parts_may_rest: whether weights that are trainable now may be frozen or unused later; torch then looks for them
            in every step.
    """
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    if device.type != "cuda":
        return DistributedDataParallel(network, find_unused_parameters=parts_may_rest)
    network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return DistributedDataParallel(network, device_ids=[device.index], find_unused_parameters=parts_may_rest)


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Averages over the processes the gradients of parameters that are not the data-parallel network's.

    Every process must have a gradient for the same ones.
    """
    from torch import distributed

    _, processes = rank_and_size()
    for parameter in parameters:
        if processes > 1 and parameter.grad is not None:
            distributed.all_reduce(parameter.grad)
            parameter.grad /= processes


def bare(network: Any) -> Any:
    """Returns the network inside a data-parallel one, or the network itself."""
    from torch.nn.parallel import DistributedDataParallel

    return network.module if isinstance(network, DistributedDataParallel) else network


def rank_and_size() -> tuple[int, int]:
    """Returns this process's number and the number of processes."""
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def gather(value: T) -> list[T]:
    """Returns every process's value, in the order of the ranks."""
    from torch import distributed

    _, processes = rank_and_size()
    if processes == 1:
        return [value]
    values: list[Any] = [None] * processes
    distributed.all_gather_object(values, value)
    return values


def wait_for_all() -> None:
    """Returns when every process has come here."""
    gather(None)
