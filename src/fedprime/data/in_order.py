"""Work done in threads whose results come in the order of what they are of, whichever thread was faster."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def num_cores() -> int:
    """Returns how many cores this process may use: in a container or a job of a cluster, not all of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(function: Callable[[_Item], _Result], items: Iterable[_Item], num_threads: int = 1) -> Iterator[_Result]:
    """Yields a function's result of each item, in their order; little more is begun than is being worked on.

    Args:
        function: What each item is given to, in several threads at a time.
        items: Taken one by one, in the thread that asks for results.
        num_threads: How many threads; with one, everything is done in that of the caller.
    """
    if num_threads < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(num_threads) as threads:
        begun: deque[Future[_Result]] = deque()
        try:
            for item in items:
                begun.append(threads.submit(function, item))
                if len(begun) > num_threads + 1:  # one that waits keeps a thread from waiting
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()
