"""Hidden states are computed once for each sample, pattern and layer."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprime.data.embeddings.hidden_states import HiddenStates


class Sums:
    """Adds up what is present of a sample, times the layer, and remembers how many samples it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, embedded: Mapping[str, Sequence[Tensor | None]], layer: int) -> list[Tensor]:
        columns = list(zip(*embedded.values(), strict=True))
        self.asked.append(len(columns))
        return [layer * torch.stack([part for part in parts if part is not None]).sum(dim=0) for parts in columns]


@pytest.fixture
def sums() -> Sums:
    return Sums()


def embedded(*rows: tuple[float | None, float | None]) -> dict[str, list[Tensor | None]]:
    columns = zip(*rows, strict=True)
    return {
        name: [None if value is None else torch.tensor([[float(value)]]) for value in column]
        for name, column in zip(("image", "text"), columns, strict=True)
    }


def numbers(states: Sequence[Tensor]) -> list[float]:
    return [float(state) for state in states]


def test_a_sample_has_a_state_for_each_pattern_that_is_computed_once(sums: Sums):
    states = HiddenStates(sums)
    rows = embedded((1, 10), (2, None), (1, None), (None, 30))
    indices = np.array([0, 1, 0, 2])
    for _ in range(2):
        assert numbers(states.of(indices, rows, 2)) == [22, 4, 2, 60]
    assert sums.asked == [1, 2, 1]  # image and text, image alone, text alone
    assert numbers(states.of(np.array([1, 2]), embedded((2, 20), (None, 30)), 2)) == [44, 60]
    assert sums.asked == [1, 2, 1, 1]


def test_a_sample_that_comes_twice_in_a_batch_is_computed_once(sums: Sums):
    assert numbers(HiddenStates(sums).of(np.array([4, 4]), embedded((1, 10), (1, 10)), 1)) == [11, 11]
    assert sums.asked == [1]


def test_another_layer_has_other_states(sums: Sums):
    states = HiddenStates(sums)
    found = [numbers(states.of(np.array([0]), embedded((1, 10)), layer)) for layer in (1, 3, 1)]
    assert found == [[11], [33], [11]]
