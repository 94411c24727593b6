"""One thread for everything that is computed: sums are then added up in one order, whatever the machine is asked to do.

Libraries split sums over as many threads as they may use, and rounding depends on where they are split.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ctcore.inference.backends.backend import ExactBackendName


@contextlib.contextmanager
def one_thread(backend: ExactBackendName) -> Iterator[None]:
    """Keeps matrix products, and PyTorch where it computes, to one thread for the length of a block.

    OpenVINO is told when its networks are made (`Execution.deterministic`).

    Args:
        backend: the library that computes the networks.
    """
    import numpy as np  # noqa: F401  # only libraries that are loaded can be told
    from threadpoolctl import threadpool_limits

    with contextlib.ExitStack() as stack:
        if backend == "torch":
            import torch

            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
        stack.enter_context(threadpool_limits(1))
        yield
