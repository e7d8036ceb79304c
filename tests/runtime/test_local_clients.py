"""The clients of this process: who trains, who is hostile among them, what becomes of what they send."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch

from fedprime.experiment.build import Experiment
from fedprime.federation.clients import Clients, KeepingClients
from fedprime.federation.compression import Compression
from fedprime.federation.processors import ServerRound, UpdateProcessor
from fedprime.federation.rounds import Round, Schedule, federate
from fedprime.methods.method import ServerState, Update
from fedprime.models.prompted_model import Weights
from fedprime.runtime.attacks import draw_hostile
from fedprime.runtime.local_clients import LocalClients, local_clients
from fedprime.settings.reading import read_settings
from plain_method import Mean


def updates_of(experiment: Experiment, flags: tuple[str, ...]) -> list[Weights]:
    """What two clients send in the second round, by what the settings say of hostile ones."""
    settings = read_settings(None, flags)
    experiment = replace(experiment, settings=settings, method=settings.method)
    weights = experiment.model.weights()
    clients = local_clients(experiment, dict(enumerate(experiment.holders)), settings)
    assert isinstance(clients, Clients)
    assert len(clients) == 4
    updates = [update.weights for update in clients.train(1, (0, 1), ServerState(weights))]
    experiment.model.load_weights(weights)
    return updates


@pytest.mark.parametrize("kind", ["sign-flip", "label-flip"])
def test_who_is_hostile_sends_something_else_and_the_others_what_they_would(
    kind: str, small_experiment: Experiment, small_flags: tuple[str, ...]
):
    honest = updates_of(small_experiment, small_flags)
    attack = (*small_flags, f"--attack.kind={kind}", "--attack.share=0.5")
    forged = updates_of(small_experiment, attack)
    hostile = draw_hostile(4, 0.5, seed=0)
    for client in (0, 1):
        is_same = all(torch.equal(honest[client][name], forged[client][name]) for name in honest[client])
        assert is_same == (client not in hostile)


def test_with_shared_parameters_all_send_what_the_last_one_left(
    small_experiment: Experiment, small_flags: tuple[str, ...]
):
    first, second = updates_of(small_experiment, (*small_flags, "--method.reference_quirks", "shared_parameters"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_rounded_values_are_sent_with_their_steps(small_experiment: Experiment, small_flags: tuple[str, ...]):
    first, _ = updates_of(small_experiment, (*small_flags, "--transport.bits=8"))
    assert first["head.bias"].dtype == torch.int8
    assert first["head.bias.scale"].dtype == torch.float32


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


def behind(processors: Sequence[UpdateProcessor], adders: Adders) -> LocalClients:
    return LocalClients(adders, Mean(), processors, {})


def rounds(
    clients: Clients,
    processors: Sequence[UpdateProcessor] = (),
    num_rounds: int = 1,
    state: ServerState = STATE,
    first_round: int = 0,
) -> list[Round]:
    schedule = Schedule(num_rounds)
    return list(federate(Mean(), clients, state, schedule, seed=0, processors=processors, first_round=first_round))


def test_clients_behind_processors_are_clients_that_keep():
    assert isinstance(behind([], Adders(torch.zeros(1, 2))), KeepingClients)


def test_clients_train_from_what_arrives_and_what_does_not_travel_is_not_rounded():
    adders = Adders(torch.zeros(1, 2))
    rounds(behind([Compression(8)], adders), [Compression(8)])
    assert adders.got[0]["a"].tolist() == [[1.0, 0.0]]
    assert torch.equal(adders.got[0]["own"], STATE.shared["own"])


def test_behind_no_processors_the_result_is_that_of_the_clients_themselves_to_the_bit():
    adders = Adders(torch.tensor([[0.1, 0.2]]))
    packed = behind([], adders)
    ours, theirs = rounds(packed, num_rounds=3), rounds(adders, num_rounds=3)
    assert torch.equal(ours[-1].state.shared["a"], theirs[-1].state.shared["a"])
    assert packed.residuals == {}


def test_changes_far_below_a_step_arrive_in_the_long_run():
    # One step of 8 bits is 1/127 here; each change is a twentieth of it.
    adders = Adders(torch.tensor([[1.0, 1 / 127 / 20]]))
    exact = rounds(adders, num_rounds=100)[-1].state.shared["a"]
    rounded = rounds(behind([Compression(8)], adders), [Compression(8)], 100)[-1].state.shared["a"]
    assert (rounded - exact).abs().max() < 1 / 127


def test_going_on_with_what_was_held_back_gives_the_same_bits():
    adders, server = Adders(torch.tensor([[0.7, 0.0011]])), [Compression(8)]
    expected = rounds(behind([Compression(8)], adders), server, 6)[-1].state.shared["a"]
    first, second = behind([Compression(8)], adders), behind([Compression(8)], adders)
    half = rounds(first, server, 3)[-1].state
    second.residuals.update(first.residuals)
    assert first.residuals.keys() == {0, 1}
    assert torch.equal(rounds(second, server, 6, half, first_round=3)[-1].state.shared["a"], expected)


def test_a_client_that_diverged_is_left_out():
    clients = behind([Compression(8)], Adders(torch.tensor([[float("nan"), 1.0]])))
    (finished,) = rounds(clients, [Compression(8)])
    assert finished.left_out == {0: "a.scale is not finite", 1: "a.scale is not finite"}


@dataclass(frozen=True)
class Doubling(UpdateProcessor):
    """Updates travel twice as large."""

    def at_client(self, update: Update, received: Weights, round_number: int) -> Update:
        return replace(update, weights={name: 2 * value for name, value in update.weights.items()})

    def at_server(self, update: Update, asked: ServerRound) -> Update:
        return replace(update, weights={name: value / 2 for name, value in update.weights.items()})


@dataclass(frozen=True)
class AddingOne(UpdateProcessor):
    """Updates travel one larger."""

    def at_client(self, update: Update, received: Weights, round_number: int) -> Update:
        return replace(update, weights={name: value + 1 for name, value in update.weights.items()})

    def at_server(self, update: Update, asked: ServerRound) -> Update:
        return replace(update, weights={name: value - 1 for name, value in update.weights.items()})


def test_an_update_passes_processors_in_their_order_and_at_the_server_in_reverse_order():
    layers, adders = [Doubling(), AddingOne()], Adders(torch.tensor([[1.0, 2.0]]))
    sent, _ = behind(layers, adders).train(0, (0, 1), STATE)
    assert sent.weights["a"].tolist() == [[2 * 2.0 + 1, pytest.approx(2 * 2.003 + 1)]]
    (finished,) = rounds(behind(layers, adders), layers)
    assert finished.state.shared["a"].tolist() == [[2.0, pytest.approx(2.003)]]
