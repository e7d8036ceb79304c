"""FEDAVGM-P: two rounds of server momentum, worked by hand."""

import pytest
import torch

from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.fedavgm_p import FedAvgMP
from fedprime.methods.method import ServerState, Update
from fedprime.reproducibility.seeding import torch_stream

START = ServerState({"head": torch.tensor([1.0, 2.0])})


def aggregate(method: FedAvgP, current: ServerState, *values: float) -> ServerState:
    return method.aggregate(current, [Update(0, 7, {"head": torch.tensor(values)})], torch_stream(0, "server"))


def test_the_server_moves_on_in_the_direction_that_it_came_from():
    method = FedAvgMP(server_momentum=0.5, server_lr=0.1)
    # The average moves by (4, 0): v = (4, 0), and the weights move by a tenth of it.
    first = aggregate(method, START, 5.0, 2.0)
    assert first.shared["head"].tolist() == pytest.approx([1.4, 2.0])
    # The average moves by (0, 2): v = 0.5 * (4, 0) + (0, 2) = (2, 2).
    second = aggregate(method, first, 1.4, 4.0)
    assert second.shared["head"].tolist() == pytest.approx([1.6, 2.2])
    assert second.server["momentum.head"].tolist() == pytest.approx([2.0, 2.0])


def test_without_momentum_it_is_fedavg_p():
    method = FedAvgMP(server_momentum=0.0)
    ours = aggregate(method, aggregate(method, START, 0.3, 7.0), 0.1, -1.0).shared["head"]
    theirs = aggregate(FedAvgP(), aggregate(FedAvgP(), START, 0.3, 7.0), 0.1, -1.0).shared["head"]
    assert torch.equal(ours, theirs)


def test_a_client_counts_as_its_samples_do():
    updates = [Update(0, 3, {"head": torch.tensor([5.0, 2.0])}), Update(1, 1, {"head": torch.tensor([1.0, 2.0])})]
    state = FedAvgMP().aggregate(START, updates, torch_stream(0, "server"))
    assert state.server["momentum.head"].tolist() == pytest.approx([3.0, 0.0])
