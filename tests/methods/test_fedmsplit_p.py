"""FEDMSPLIT-P: attention over the clients' blocks, worked by hand."""

import math

import pytest
import torch

from fedprime.methods.fedmsplit_p import FedMSplitP
from fedprime.methods.method import ServerState, Update
from fedprime.reproducibility.seeding import torch_stream


def aggregate(current: ServerState, *updates: Update) -> ServerState:
    return FedMSplitP().aggregate(current, updates, torch_stream(0, "server"))


def update(client: int, *values: float, num_samples: int = 1) -> Update:
    return Update(client, num_samples, {"block": torch.tensor(values)})


@pytest.fixture
def start() -> ServerState:
    return ServerState({"block": torch.zeros(4)})


def test_a_mix_is_weighted_by_the_softmax_of_scaled_dot_products(start: ServerState):
    state = aggregate(start, update(0, 2.0, 0.0, 0.0, 0.0), update(1, 0.0, 2.0, 0.0, 0.0))
    # Products are 4 with itself and 0 with the other, scaled by the square root of 4 values.
    own = math.exp(2) / (math.exp(2) + 1)
    assert state.answer(0)["block"].tolist() == pytest.approx([2 * own, 2 * (1 - own), 0, 0])
    assert state.answer(1)["block"].tolist() == pytest.approx([2 * (1 - own), 2 * own, 0, 0])


def test_clients_whose_blocks_point_the_same_way_learn_more_from_each_other(start: ServerState):
    state = aggregate(
        start, update(0, 3.0, 0.0, 0.0, 0.0), update(1, 3.0, 1.0, 0.0, 0.0), update(2, 0.0, 0.0, 3.0, 0.0)
    )
    mix = state.answer(0)["block"]
    assert mix[1] > 0.3
    assert mix[2] < 0.1


def test_every_block_is_mixed_on_its_own(start: ServerState):
    alike, different = torch.tensor([1.0, 1.0]), torch.tensor([5.0, 0.0])
    first = Update(0, 1, {"alike": alike, "block": different})
    second = Update(1, 1, {"alike": alike, "block": different.flip(0)})
    answer = aggregate(start, first, second).answer(0)
    assert torch.allclose(answer["alike"], alike)
    assert answer["block"][0] > 4.9


def test_everybody_else_gets_the_mean_weighted_by_samples(start: ServerState):
    state = aggregate(start, update(0, 4.0, 0.0, 0.0, 0.0, num_samples=3), update(1, 0.0, 4.0, 0.0, 0.0))
    assert state.answer(7)["block"].tolist() == pytest.approx([3.0, 1.0, 0.0, 0.0])


def test_a_client_that_did_not_take_part_keeps_its_mix(start: ServerState):
    before = ServerState(start.shared, {5: {"block": torch.full((4,), 9.0)}})
    state = aggregate(before, update(0, 1.0, 0.0, 0.0, 0.0))
    assert state.answer(5)["block"].tolist() == [9.0] * 4


def test_a_client_alone_gets_its_own_back(start: ServerState):
    assert aggregate(start, update(2, 1.0, -2.0, 3.0, 0.5)).answer(2)["block"].tolist() == [1.0, -2.0, 3.0, 0.5]
