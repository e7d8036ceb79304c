"""Clients in one process: isolated from each other and from the server."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.data.batches import Batch
from fedprime.experiment.build import Experiment
from fedprime.federation.clients import Clients
from fedprime.federation.rounds import Schedule, federate
from fedprime.federation.start import start_rounds
from fedprime.methods.closed_form import ClosedForm
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.method import Method, ServerState
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.runtime import in_process
from fedprime.runtime.in_process import InProcessClients
from private_head import PrivateHead


@dataclass(frozen=True)
class OneDiverges(PrivateHead):
    """A client with `num_samples` samples has a loss that is not a number in its first round."""

    name = "one-diverges"
    num_samples: int = 0

    def loss(self, model: PromptedModel, batch: Batch, received: Weights) -> Float[Tensor, ""]:
        factor = math.nan if len(batch) == self.num_samples else 1.0
        return super().loss(model, batch, received) * factor


@dataclass(frozen=True)
class Failing(FedAvgP):
    """FEDAVG-P that fails at clients with one of these numbers of samples."""

    name = "failing"
    sizes: tuple[int, ...] = ()
    error: type[Exception] = ZeroDivisionError

    def loss(self, model: PromptedModel, batch: Batch, received: Weights) -> Float[Tensor, ""]:
        if len(batch) in self.sizes:
            raise self.error
        return super().loss(model, batch, received)


def clients_of(
    experiment: Experiment, method: Method | None = None, stacked_clients: Literal["auto"] | int = "auto"
) -> InProcessClients:
    method = method or experiment.method
    model = method.build(experiment.model.backbone, experiment.model.label_names)
    # One batch per client and round.
    training = replace(experiment.settings.training, batch_size=1000)
    return InProcessClients(
        method, model, experiment.shards, training, num_rounds=3, seed=0, stacked_clients=stacked_clients
    )


@pytest.fixture
def state(small_experiment: Experiment) -> ServerState:
    return ServerState(small_experiment.model.weights())


@pytest.fixture
def clients(small_experiment: Experiment) -> InProcessClients:
    return clients_of(small_experiment)


def pattern_state(experiment: Experiment) -> ServerState:
    return ServerState(FedAvgP().build(experiment.model.backbone, experiment.model.label_names).weights())


def copied(weights: Weights) -> Weights:
    return {name: value.clone() for name, value in weights.items()}


def same(here: Weights, there: Weights) -> bool:
    return here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in here)


def test_clients_in_one_process_keep_the_protocol(clients: InProcessClients):
    assert isinstance(clients, Clients)
    assert len(clients) == 4


def test_only_those_who_are_asked_answer(clients: InProcessClients, state: ServerState):
    assert [update.client for update in clients.train(0, (1, 3), state)] == [1, 3]


def test_an_update_counts_the_samples_of_its_client(
    clients: InProcessClients, state: ServerState, small_experiment: Experiment
):
    updates = clients.train(0, (0, 1, 2, 3), state)
    assert [update.num_samples for update in updates] == [len(shard) for shard in small_experiment.shards]


def test_training_at_one_client_never_changes_what_another_sends(
    clients: InProcessClients, state: ServerState, small_experiment: Experiment
):
    (alone,) = clients_of(small_experiment).train(0, (2,), state)
    _, _, after_others = clients.train(0, (0, 1, 2), state)
    assert same(alone.weights, after_others.weights)
    assert alone.metrics == after_others.metrics


def test_training_never_changes_what_the_server_holds(clients: InProcessClients, state: ServerState):
    before = copied(state.shared)
    clients.train(0, (0, 1, 2, 3), state)
    assert same(state.shared, before)


def test_no_client_shares_memory_with_another_or_with_the_server(clients: InProcessClients, state: ServerState):
    holders = [state.shared, *(update.weights for update in clients.train(0, (0, 1, 2), state))]
    places = [value.data_ptr() for weights in holders for value in weights.values()]
    assert len(places) == len(set(places))


def test_what_a_client_sent_stays_as_it_was_while_others_train(clients: InProcessClients, state: ServerState):
    (first,) = clients.train(0, (0,), state)
    before = copied(first.weights)
    clients.train(0, (1, 2), state)
    assert same(first.weights, before)


def test_the_order_in_which_clients_train_does_not_matter(
    clients: InProcessClients, state: ServerState, small_experiment: Experiment
):
    forwards = clients.train(0, (0, 1, 2), state)
    backwards = clients_of(small_experiment).train(0, (2, 1, 0), state)
    assert all(same(here.weights, there.weights) for here, there in zip(forwards, backwards[::-1], strict=True))


def test_training_does_change_something(clients: InProcessClients, state: ServerState):
    here, there = clients.train(0, (0, 1), state)
    assert not same(here.weights, state.shared)
    assert not same(here.weights, there.weights)


def test_a_client_starts_from_its_own_answer(small_experiment: Experiment):
    shared = pattern_state(small_experiment).shared
    personal = ServerState(shared, {1: {"head.bias": torch.full((3,), 5.0)}})
    clients = clients_of(small_experiment, FedAvgP())
    here, there = clients.train(0, (0, 1), personal)
    # A step of AdamW moves each value by the learning rate, 0.01.
    assert here.weights["head.bias"].abs().max() < 0.1
    assert (there.weights["head.bias"] - 5).abs().max() < 0.1


def test_what_does_not_travel_is_not_sent(small_experiment: Experiment):
    clients = clients_of(small_experiment, PrivateHead())
    (update,) = clients.train(0, (0,), pattern_state(small_experiment))
    assert not any(name.startswith("head") for name in update.weights)


def test_what_does_not_travel_is_kept_at_each_client_and_used_in_the_next_round(small_experiment: Experiment):
    clients = clients_of(small_experiment, PrivateHead())
    state = pattern_state(small_experiment)
    clients.train(0, (0, 1), state)
    assert clients.kept.keys() == {0, 1}
    assert clients.kept[0].keys() == {"head.weight", "head.bias"}
    first = copied(clients.kept[0])
    clients.train(1, (0,), state)
    # Started from what was kept, not from the server's zeros: twice as far.
    assert clients.kept[0]["head.bias"].abs().max() > 1.5 * first["head.bias"].abs().max()


def test_a_client_that_diverges_is_left_out_and_the_round_goes_on(small_experiment: Experiment):
    sizes = [len(shard) for shard in small_experiment.shards]
    method = OneDiverges(num_samples=sizes[0])
    clients = clients_of(small_experiment, method)
    (finished,) = federate(method, clients, pattern_state(small_experiment), Schedule(1), seed=0)
    diverged = {client for client, size in enumerate(sizes) if size == sizes[0]}
    assert finished.left_out.keys() == diverged
    assert finished.updates
    assert math.isfinite(finished.loss)


def test_a_client_that_fails_is_absent_and_its_failure_is_logged(
    small_experiment: Experiment, caplog: pytest.LogCaptureFixture
):
    sizes = [len(shard) for shard in small_experiment.shards]
    clients = clients_of(small_experiment, Failing(sizes=(sizes[0],)))
    answered = [update.client for update in clients.train(5, (0, 1, 2, 3), pattern_state(small_experiment))]
    assert answered == [client for client, size in enumerate(sizes) if size != sizes[0]]
    assert "round 5: client 0 failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_when_every_client_fails_the_program_is_at_fault(small_experiment: Experiment):
    sizes = tuple(len(shard) for shard in small_experiment.shards)
    clients = clients_of(small_experiment, Failing(sizes=sizes))
    with pytest.raises(ZeroDivisionError):
        clients.train(0, (0, 1, 2, 3), pattern_state(small_experiment))


def test_memory_that_runs_out_is_no_fault_of_a_client(small_experiment: Experiment):
    clients = clients_of(small_experiment, Failing(sizes=(len(small_experiment.shards[0]),), error=MemoryError))
    with pytest.raises(MemoryError):
        clients.train(0, (0, 1, 2, 3), pattern_state(small_experiment))


def test_a_client_that_diverged_starts_its_next_round_as_if_it_had_not_trained(small_experiment: Experiment):
    sizes = [len(shard) for shard in small_experiment.shards]
    state = pattern_state(small_experiment)
    diverging = clients_of(small_experiment, OneDiverges(num_samples=sizes[0]))
    diverging.train(0, (0,), state)
    healthy = clients_of(small_experiment, PrivateHead())
    healthy.kept.update(diverging.kept)
    (update,) = healthy.train(1, (0,), state)
    assert all(value.isfinite().all() for value in update.weights.values())


def test_clients_come_to_the_same_bits_together_and_one_after_the_other(
    small_experiment: Experiment, state: ServerState
):
    one_by_one = clients_of(small_experiment, stacked_clients=1).train(1, range(4), state)
    together = clients_of(small_experiment).train(1, range(4), state)
    assert [update.client for update in together] == [0, 1, 2, 3]
    for ours, theirs in zip(together, one_by_one, strict=True):
        assert same(ours.weights, theirs.weights)
        assert ours.metrics == theirs.metrics


@pytest.mark.parametrize("most", [2, 3])
def test_as_many_as_asked_train_together_whatever_the_processor(
    small_experiment: Experiment, state: ServerState, most: int
):
    one_by_one = clients_of(small_experiment, stacked_clients=1).train(1, range(4), state)
    together = clients_of(small_experiment, stacked_clients=most).train(1, range(4), state)
    for ours, theirs in zip(together, one_by_one, strict=True):
        for name, value in theirs.weights.items():
            torch.testing.assert_close(ours.weights[name], value, rtol=0, atol=1e-6)


def test_sums_that_do_not_fit_into_memory_together_come_to_the_same_bits(
    small_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
):
    method = ClosedForm()
    model = method.build(small_experiment.model.backbone, small_experiment.model.label_names)
    first = ServerState(model.weights())

    def started() -> tuple[ServerState, InProcessClients]:
        validation = {client: small_experiment.validation_of(client) for client in range(len(small_experiment.shards))}
        clients = InProcessClients(
            *(method, model, small_experiment.shards, small_experiment.settings.training),
            num_rounds=0,
            seed=0,
            validation=validation,
        )
        schedule = Schedule(0, start=start_rounds(method, model.task))
        *_, last = federate(method, clients, first, schedule, seed=0, first_round=-len(schedule.start))
        return last.state, clients

    together, _ = started()
    monkeypatch.setattr(in_process, "_memory_bytes", lambda: 0)
    anew, clients = started()
    assert same(anew.shared, together.shared)
    assert same(anew.server, together.server)
    updates = clients.train(-len(start_rounds(method, model.task)), [0, 1], first)
    held = [dict(update.weights) for update in updates]
    assert not same(held[0], held[1])
    # Of all clients, what one measured is held: whoever is looked at again measures again, and finds the same.
    name = "sums.second.summary"
    assert updates[1].weights[name] is updates[1].weights[name]
    assert updates[0].weights[name] is not held[0][name]
    assert all(same(dict(update.weights), own) for update, own in zip(updates, held, strict=True))
