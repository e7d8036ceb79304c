"""Processors lie like layers between the method and the network."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch

from fedprime.federation.compression import Compression
from fedprime.federation.processors import (
    ServerRound,
    UpdateProcessor,
    form_on_the_way,
    values_arrived,
    values_sent,
)
from fedprime.federation.rounds import Schedule, federate
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.prompted_model import Weights


@dataclass(frozen=True)
class Doubling(UpdateProcessor):
    """Values travel twice as large."""

    def sent(self, weights: Weights) -> Weights:
        return {name: 2 * value for name, value in weights.items()}

    def arrived(self, weights: Weights) -> Weights:
        return {name: value / 2 for name, value in weights.items()}

    def at_client(self, update: Update, received: Weights, round_number: int) -> Update:
        return Update(update.client, update.num_samples, self.sent(update.weights))

    def at_server(self, update: Update, asked: ServerRound) -> Update:
        return Update(update.client, update.num_samples, self.arrived(update.weights))


@dataclass(frozen=True)
class AddingOne(Doubling):
    """Values travel one larger."""

    def sent(self, weights: Weights) -> Weights:
        return {name: value + 1 for name, value in weights.items()}

    def arrived(self, weights: Weights) -> Weights:
        return {name: value - 1 for name, value in weights.items()}


LAYERS = [Doubling(), AddingOne()]
WEIGHTS = {"a": torch.tensor([5.0])}
ASKED = ServerRound(0, 0, (0,), Method(), ServerState(WEIGHTS))


def test_what_is_sent_passes_them_in_their_order_and_what_arrives_in_reverse_order():
    sent = values_sent(LAYERS, WEIGHTS)
    assert sent["a"].item() == 2 * 5 + 1
    assert values_arrived(LAYERS, sent)["a"].item() == 5


def test_a_processor_that_overrides_nothing_changes_nothing():
    update = Update(0, 1, WEIGHTS)
    nothing = UpdateProcessor()
    assert nothing.at_client(update, WEIGHTS, 0) is nothing.at_server(update, ASKED) is update
    assert nothing.of_round([update], ASKED) == [update]
    assert nothing.arrived(WEIGHTS) is nothing.sent(WEIGHTS) is WEIGHTS
    assert (nothing.hides_clients, nothing.hides_choice) == (False, False)


@pytest.mark.parametrize("processors", [[], [Compression(16)], [Compression(8)]], ids=["32", "16", "8"])
def test_the_form_is_that_of_what_is_sent_without_content(processors: list[UpdateProcessor]):
    weights = {"prompter.sets": torch.ones(3, 2, 4), "head.bias": torch.ones(5), "temperature": torch.tensor([2.0])}
    form, sent = form_on_the_way(processors, weights), values_sent(processors, weights)
    assert {name: (value.shape, value.dtype) for name, value in form.items()} == {
        name: (value.shape, value.dtype) for name, value in sent.items()
    }
    assert {value.device.type for value in form.values()} == {"meta"}


class Unmoved:
    """One client that sends what it got."""

    def __len__(self) -> int:
        return 1

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        return [Update(client, 1, Doubling().sent(state.answer(client))) for client in clients]


def test_what_updates_pass_is_logged_with_its_settings(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG, logger="fedprime.federation"):
        (finished,) = federate(Method(), Unmoved(), ServerState(WEIGHTS), Schedule(1), seed=0, processors=[Doubling()])
    assert finished.state.shared["a"].item() == 5
    assert "updates pass [Doubling()]" in caplog.text
