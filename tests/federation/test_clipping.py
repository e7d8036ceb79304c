"""Updates that move too far are scaled down, worked by hand."""

import pytest
import torch

from fedprime.federation.clipping import Clipping
from fedprime.federation.processors import ServerRound
from fedprime.methods.method import Method, ServerState, Update

#: Client 1 gets an answer of its own.
ASKED = ServerRound(0, 0, (0, 1), Method(), ServerState({"a": torch.ones(2)}, {1: {"a": torch.zeros(2)}}))


def clipped(client: int, *values: float) -> Update:
    return Clipping(1.0).at_server(Update(client, 5, {"a": torch.tensor(values)}), ASKED)


def test_a_change_that_is_too_long_keeps_its_direction_and_gets_the_norm():
    # It moved by (3, 4), of length 5.
    assert clipped(0, 4.0, 5.0).weights["a"].tolist() == pytest.approx([1.6, 1.8])


def test_a_change_is_measured_from_what_its_client_was_sent():
    assert clipped(1, 3.0, 4.0).weights["a"].tolist() == pytest.approx([0.6, 0.8])


def test_a_change_within_the_norm_stays_the_update_that_it_was():
    update = Update(0, 5, {"a": torch.tensor([1.1, 0.9])})
    assert Clipping(1.0).at_server(update, ASKED) is update
