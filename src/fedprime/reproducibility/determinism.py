"""The same computation gives the same bits: threads and algorithms decide the order of sums."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_MEMORY: Any = torch.utils.deterministic  # which no stub describes


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Fixes the number of threads and asks for deterministic algorithms while the block runs."""
    threads_before = torch.get_num_threads()
    mode_before = torch.get_deterministic_debug_mode()
    torch.set_num_threads(threads)
    # Read once, when a GPU is first used; without it, its matrix products refuse to be deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # As `torch.use_deterministic_algorithms`, which imports torch's compiler as well: a second and a half.
    torch.set_deterministic_debug_mode("error")
    # New memory would be filled with NaN, so that whoever reads it unset is found; nobody does, and it takes time.
    fill_before = _MEMORY.fill_uninitialized_memory
    _MEMORY.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        torch.set_deterministic_debug_mode(mode_before)
        _MEMORY.fill_uninitialized_memory = fill_before
