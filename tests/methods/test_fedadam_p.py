"""FEDADAM-P: two rounds of the server's Adam, worked by hand."""

import pytest
import torch

from fedprime.methods.fedadam_p import FedAdamP
from fedprime.methods.method import ServerState, Update
from fedprime.reproducibility.seeding import torch_stream

START = ServerState({"head": torch.tensor([1.0])})


def aggregate(method: FedAdamP, current: ServerState, value: float) -> ServerState:
    return method.aggregate(current, [Update(0, 7, {"head": torch.tensor([value])})], torch_stream(0, "server"))


def test_the_server_takes_steps_of_adam_without_correction_of_bias():
    method = FedAdamP(server_lr=0.1, beta_1=0.5, beta_2=0.75, tau=2.0)
    # d = 4: m = 0.5 * 4 = 2, v = 0.75 * 2^2 + 0.25 * 4^2 = 7, a step of 0.1 * 2 / (sqrt(7) + 2) = 0.0430501.
    first = aggregate(method, START, 5.0)
    assert first.shared["head"].item() == pytest.approx(1.0430501, abs=1e-6)
    assert (first.server["mean.head"].item(), first.server["square.head"].item()) == pytest.approx((2.0, 7.0))
    # d = -2: m = 0.5 * 2 + 0.5 * -2 = 0, v = 0.75 * 7 + 0.25 * 4 = 6.25: no step.
    second = aggregate(method, first, first.shared["head"].item() - 2)
    assert second.shared["head"].item() == first.shared["head"].item()
    assert (second.server["mean.head"].item(), second.server["square.head"].item()) == pytest.approx((0, 6.25))
    # d = 1: m = 0.5, v = 0.75 * 6.25 + 0.25 = 4.9375, a step of 0.05 / (2.2220486 + 2) = 0.0118426.
    third = aggregate(method, second, second.shared["head"].item() + 1)
    assert third.shared["head"].item() - second.shared["head"].item() == pytest.approx(0.0118426, abs=1e-6)


def test_steps_are_about_as_long_whatever_the_size_of_the_changes():
    method = FedAdamP(server_lr=0.03, tau=1e-9, beta_2=0.0, beta_1=0.0)
    for change in (1e-4, 1.0, 100.0):
        assert aggregate(method, START, 1 + change).shared["head"].item() == pytest.approx(1.03, abs=1e-6)


def test_what_nobody_changes_stays():
    assert aggregate(FedAdamP(), START, 1.0).shared["head"].item() == 1.0
