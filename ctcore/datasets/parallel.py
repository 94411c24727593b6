"""One function on many cases, over processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from ctcore.errors import RequestError
from ctcore.orphans import end_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")


def over_cases(
    items: Sequence[Item],
    function: Callable[[Item], Result],
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Item, Result]]:
    """Yields every item with what `function` makes of it, as they finish; a process holds one at a time.

    Args:
        items: the cases.
        function: what to do with each; picklable where `workers` exceeds 1.
        workers: processes; up to 1, the work is done in this one.
        progress: called with cases done and in all.

    Raises:
        RequestError: a process was killed from outside.
        Whatever `function` raises first; what has not begun then is not done.
    """
    finished = _alone(items, function) if workers <= 1 else _pooled(items, function, workers)
    for done, pair in enumerate(finished, 1):
        if progress:
            progress(done, len(items))
        yield pair


def _alone(items: Sequence[Item], function: Callable[[Item], Result]) -> Iterator[tuple[Item, Result]]:
    from threadpoolctl import threadpool_limits

    for item in items:
        with threadpool_limits(1):  # sums in the order that the workers take
            result = function(item)
        yield item, result


def _begin_worker() -> None:
    """Makes a worker one of several: it computes with one thread, and leaves stopping to the command that started it.

    Matrix products on all processors would take them from the other workers: twice the time with two. Ctrl-C reaches
    every process; the command lets its workers finish what they have begun. A command that was killed cannot, and its
    workers would wait for ever, or write beside the next command.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()


def _pooled(items: Sequence[Item], function: Callable[[Item], Result], workers: int) -> Iterator[tuple[Item, Result]]:
    with ProcessPoolExecutor(workers, initializer=_begin_worker) as pool:
        futures = {pool.submit(function, item): item for item in items}
        try:
            for future in as_completed(list(futures)):
                yield futures.pop(future), future.result()
        except BrokenProcessPool as error:
            raise RequestError(
                f"one of {workers} workers was killed, most likely for want of memory; ask for fewer"
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
