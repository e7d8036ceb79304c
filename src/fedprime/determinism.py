"""The same computation gives the same bits: threads and algorithms decide the order of sums."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["reproducible"]


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Fixes the number of threads and asks for deterministic algorithms while the block runs.

    Args:
        threads: CPU threads of a computation.
    """
    threads_before = torch.get_num_threads()
    deterministic_before = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        torch.use_deterministic_algorithms(deterministic_before)
