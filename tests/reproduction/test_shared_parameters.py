"""Clients that hold the same parameters: sequential training on one model, done by hand beside."""

from dataclasses import replace

import pytest
import torch

from fedprime.experiment.build import Experiment
from fedprime.federation.clients import Clients
from fedprime.federation.local_training import ClientTraining
from fedprime.federation.rounds import Schedule, federate
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.fedmsplit_p import FedMSplitP
from fedprime.methods.fedprime import FedPrime
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.reproducibility.seeding import torch_stream
from fedprime.reproduction.quirks import with_quirks
from fedprime.reproduction.shared_parameters import SharedParameterClients
from fedprime.runtime.in_process import InProcessClients
from private_head import PrivateHead

NUM_ROUNDS = 3


def built(experiment: Experiment, method: Method) -> PromptedModel:
    rng = torch_stream(0, "initial weights")
    return method.build(experiment.model.backbone, experiment.model.label_names, rng=rng)


def isolated_clients(experiment: Experiment, method: Method) -> InProcessClients:
    training = replace(experiment.settings.training, batch_size=1000)
    model = built(experiment, method)
    return InProcessClients(method, model, experiment.shards, training, num_rounds=NUM_ROUNDS, seed=0)


def clients_of(experiment: Experiment, method: Method) -> SharedParameterClients:
    return SharedParameterClients(isolated_clients(experiment, method))


def trained_by_hand(
    experiment: Experiment, method: Method, client: int, round_number: int, received: Weights
) -> Update:
    return ClientTraining(
        built(experiment, method),
        method,
        experiment.shards[client],
        received,
        replace(experiment.settings.training, batch_size=1000),
        client=client,
        round_number=round_number,
        num_rounds=NUM_ROUNDS,
        seed=0,
    ).run()


def same(here: Weights, there: Weights) -> bool:
    return here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in here)


def test_they_keep_the_protocol(small_experiment: Experiment):
    assert isinstance(clients_of(small_experiment, FedAvgP()), Clients)


def test_in_the_first_round_clients_are_isolated(small_experiment: Experiment):
    state = ServerState(built(small_experiment, FedAvgP()).weights())
    updates = clients_of(small_experiment, FedAvgP()).train(0, (0, 1), state)
    isolated = isolated_clients(small_experiment, FedAvgP()).train(0, (0, 1), state)
    assert all(same(here.weights, there.weights) for here, there in zip(updates, isolated, strict=True))


def test_then_they_train_one_after_the_other_on_one_model(small_experiment: Experiment):
    state = ServerState(built(small_experiment, FedAvgP()).weights())
    updates = clients_of(small_experiment, FedAvgP()).train(1, (0, 2), state)
    first = trained_by_hand(small_experiment, FedAvgP(), 0, 1, state.shared)
    second = trained_by_hand(small_experiment, FedAvgP(), 2, 1, first.weights)
    assert [update.client for update in updates] == [0, 2]
    assert all(same(update.weights, second.weights) for update in updates)
    assert [update.metrics for update in updates] == [first.metrics, second.metrics]
    assert [update.num_samples for update in updates] == [first.num_samples, second.num_samples]


@pytest.mark.parametrize(
    "method", [FedAvgP(), FedMSplitP(), FedPrime(num_prompts=4, pool_size=4)], ids=lambda method: method.name
)
def test_a_round_begins_with_what_the_last_client_left(method: Method, small_experiment: Experiment):
    quirky = with_quirks(method, ["shared_parameters"])
    state = ServerState(built(small_experiment, method).weights())
    rounds = list(federate(quirky, clients_of(small_experiment, quirky), state, Schedule(NUM_ROUNDS, 0.5), seed=0))
    left = rounds[0].state.shared
    for finished in rounds[1:]:
        for client in finished.asked:
            left = trained_by_hand(small_experiment, method, client, finished.number, left).weights
        for name, value in finished.state.shared.items():
            if name == "prompter.pools.inter":
                # Alignment gives identical pools back, in an order of its own: one prompt beside another is none.
                assert sorted(value.tolist()) == sorted(left[name].tolist())
                left[name] = value
            elif method.name == "fedmsplit-p":
                torch.testing.assert_close(value, left[name])
            else:
                assert torch.equal(value, left[name]), name


def test_the_server_keeps_what_it_holds(small_experiment: Experiment):
    state = ServerState(built(small_experiment, FedAvgP()).weights())
    before = {name: value.clone() for name, value in state.shared.items()}
    clients_of(small_experiment, FedAvgP()).train(1, (0, 1, 2, 3), state)
    assert same(state.shared, before)


def test_what_does_not_travel_is_not_shared(small_experiment: Experiment):
    method = PrivateHead()
    clients = isolated_clients(small_experiment, method)
    state = ServerState(built(small_experiment, method).weights())
    SharedParameterClients(clients).train(1, (0, 1), state)
    # The second client starts from the body that the first one left, and from a head that nobody has trained.
    first = trained_by_hand(small_experiment, method, 0, 1, state.shared)
    second = trained_by_hand(small_experiment, method, 1, 1, state.shared | method.travelling(first.weights))
    assert torch.equal(clients.kept[0]["head.weight"], first.weights["head.weight"])
    assert torch.equal(clients.kept[1]["head.weight"], second.weights["head.weight"])


def test_a_client_that_fails_fails_all_since_it_leaves_the_model_half_trained(small_experiment: Experiment):
    clients = clients_of(small_experiment, FedAvgP())
    state = ServerState({"head.bias": torch.zeros(3)})  # not a model: training fails
    with pytest.raises(ValueError, match="these weights are not of this model"):
        clients.train(1, (0, 1), state)
