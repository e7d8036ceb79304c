"""Clients behind a line that rounds."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch

from fedprime.federation.compression import Transport
from fedprime.federation.rounds import Clients, federate
from fedprime.methods import METHODS
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.prompted_model import Weights
from fedprime.runtime.packed_clients import PackedClients, transport_of
from fedprime.settings.reading import read_settings


@dataclass(frozen=True)
class Mean(Method):
    """Plain FedAvg of whatever is there; values named "own..." do not travel."""

    name = "mean"

    def travels(self, name: str) -> bool:
        return not name.startswith("own")


@dataclass
class Adders:
    """Clients that add the same to the travelling values, whatever they get."""

    change: torch.Tensor
    got: list[Weights] = field(default_factory=list)

    def __len__(self) -> int:
        return 2

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        self.got += [state.answer(client) for client in clients]
        return [Update(client, 1, {"a": state.answer(client)["a"] + self.change}) for client in clients]


STATE = ServerState({"a": torch.tensor([[1.0, 0.003]]), "own": torch.tensor([0.123456])})


def after(transport: Transport, clients: Clients, rounds: int = 1) -> torch.Tensor:
    settings = {"rounds": rounds, "fraction": 1.0, "seed": 0}
    return list(federate(Mean(), clients, STATE, transport=transport, **settings))[-1].state.shared["a"]


def test_it_implements_the_contract_of_clients():
    assert isinstance(PackedClients(Adders(torch.zeros(1, 2)), Mean(), Transport(8)), Clients)


def test_clients_train_from_what_arrives_and_what_does_not_travel_is_not_rounded():
    adders = Adders(torch.zeros(1, 2))
    after(Transport(8), PackedClients(adders, Mean(), Transport(8)))
    assert adders.got[0]["a"].tolist() == [[1.0, 0.0]]
    assert torch.equal(adders.got[0]["own"], STATE.shared["own"])


def test_with_32_bits_the_result_is_that_of_the_clients_themselves_to_the_bit():
    change = torch.tensor([[0.1, 0.2]])
    packed = PackedClients(Adders(change), Mean(), Transport(32))
    assert torch.equal(after(Transport(32), packed, rounds=3), after(Transport(32), Adders(change), rounds=3))
    assert packed.residuals == {}


def test_changes_far_below_a_step_arrive_in_the_long_run():
    # One step of 8 bits is 1/127 here; each change is a twentieth of it.
    change = torch.tensor([[1.0, 1 / 127 / 20]])
    exact = after(Transport(32), Adders(change), rounds=100)
    rounded = after(Transport(8), PackedClients(Adders(change), Mean(), Transport(8)), rounds=100)
    assert (rounded - exact).abs().max() < 1 / 127


def test_going_on_with_what_was_held_back_gives_the_same_bits():
    change, transport = torch.tensor([[0.7, 0.0011]]), Transport(8)
    settings = {"rounds": 6, "fraction": 1.0, "seed": 0, "transport": transport}
    whole = PackedClients(Adders(change), Mean(), transport)
    expected = list(federate(Mean(), whole, STATE, **settings))[-1].state
    first = PackedClients(Adders(change), Mean(), transport)
    half = list(federate(Mean(), first, STATE, **{**settings, "rounds": 3}))[-1].state
    second = PackedClients(Adders(change), Mean(), transport)
    second.residuals.update(first.residuals)
    found = list(federate(Mean(), second, half, first_round=3, **settings))[-1].state
    assert torch.equal(found.shared["a"], expected.shared["a"])


def test_a_client_that_diverged_is_left_out_and_holds_back_nothing():
    packed = PackedClients(Adders(torch.tensor([[float("nan"), 1.0]])), Mean(), Transport(8))
    (finished,) = federate(Mean(), packed, STATE, rounds=1, fraction=1.0, seed=0, transport=Transport(8))
    assert finished.left_out == {0: "a.scale is not finite", 1: "a.scale is not finite"}
    assert packed.residuals == {}


@pytest.mark.parametrize(
    ("forge", "problem"),
    [
        (lambda sent: {"a": sent["a"]}, "a.scale is missing"),
        (lambda sent: {**sent, "a": sent["a"].float()}, r"a is (1, 2) torch.float32, expected (1, 2) torch.int8"),
        (lambda sent: {**sent, "a.scale": sent["a.scale"] + 1e38}, "a is not finite"),
        (lambda sent: {**sent, "b": sent["a"]}, "b is unknown"),
    ],
)
def test_invalid_messages_are_refused(forge: object, problem: str):
    class Forgers(PackedClients):
        def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
            first, second = super().train(round_number, clients, state)
            return [replace(first, weights=forge(first.weights)), second]  # pyright: ignore[reportCallIssue]

    forgers = Forgers(Adders(torch.tensor([[1e3, 0.0]])), Mean(), Transport(8))
    (finished,) = federate(Mean(), forgers, STATE, rounds=1, fraction=1.0, seed=0, transport=Transport(8))
    assert finished.left_out == {0: problem}


def test_with_a_centralised_method_nothing_travels_and_nothing_is_rounded():
    settings = read_settings(None, ["--transport.bits=8"])
    assert transport_of(Mean(), settings).bits == 8
    assert transport_of(METHODS["centralized-p"](), settings).bits == 32
