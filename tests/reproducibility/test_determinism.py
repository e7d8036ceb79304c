"""Fixed threads and deterministic algorithms, and everything as before afterwards."""

from typing import Any

import pytest
import torch

from fedprime.reproducibility.determinism import reproducible


def state() -> tuple[int, bool, bool]:
    memory: Any = torch.utils.deterministic
    return torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory


def test_threads_and_algorithms_are_fixed_inside_and_as_before_outside():
    before = state()
    with reproducible(2):
        assert state() == (2, True, False)
    assert state() == before


def test_they_are_as_before_after_an_error():
    before = state()
    with pytest.raises(ZeroDivisionError), reproducible(2):
        raise ZeroDivisionError
    assert state() == before
