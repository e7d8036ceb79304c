"""SCAFFOLD-P: two clients that pull a single value apart, worked by hand; what travels, and what stays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.backbones.backbone import Backbone
from fedprime.data.batches import Batch, Shard
from fedprime.experiment.build import Experiment
from fedprime.federation.local_training import ClientTraining
from fedprime.federation.rounds import Schedule, federate
from fedprime.federation.training_options import LocalTraining
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.method import ServerState, Update
from fedprime.methods.scaffold_p import CONTROL, OWN_CONTROL, ScaffoldP
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.reproducibility.seeding import torch_stream
from fedprime.runtime.in_process import InProcessClients

BIAS = "head.bias"
#: Two steps of 0.1 in every round.
TRAINING = LocalTraining(
    epochs=2,
    batch_size=1000,
    optimizer="sgd",
    lr=0.1,
    momentum=0.0,
    weight_decay=0.0,
    max_gradient_norm=0.0,
    schedule="constant",
)


@dataclass(frozen=True)
class Pulled(ScaffoldP):
    """SCAFFOLD-P whose loss is linear in the biases of the head, so that their gradient is known: (g, g, g)."""

    gradient: float = 1.0

    def loss(self, model: PromptedModel, batch: Batch, received: Weights) -> Float[Tensor, ""]:
        return self.gradient * model.head.bias.sum()


@pytest.fixture
def shard(small_experiment: Experiment) -> Shard:
    return small_experiment.shards[0]


@pytest.fixture
def model(tiny: Backbone) -> PromptedModel:
    return ScaffoldP(num_prompts=2).build(tiny, ("a", "b", "c"), rng=torch_stream(0, "initial weights"))


def trained(model: PromptedModel, shard: Shard, gradient: float, received: Weights, client: int) -> Update:
    method = Pulled(num_prompts=2, gradient=gradient)
    place = {"client": client, "round_number": 0, "num_rounds": 2, "seed": 0}
    update = ClientTraining(model, method, shard, received, TRAINING, **place).run()
    return replace(update, num_samples=5)


def first(weights: Weights, name: str) -> float:
    return weights[name][0].item()


def sent(update: Update) -> Update:
    return replace(update, weights=ScaffoldP().travelling(update.weights))


def test_two_rounds_of_two_clients_out_of_four(model: PromptedModel, shard: Shard):
    method = ScaffoldP(num_prompts=2)
    state = method.initial_state(model, 4)
    # Gradients of 1 and 3, two steps of 0.1 from x = 0: y = -0.2 and -0.6; c_i = (x - y) / 0.2 = 1 and 3.
    updates = [trained(model, shard, gradient, state.shared, client) for client, gradient in ((0, 1.0), (1, 3.0))]
    assert [first(update.weights, BIAS) for update in updates] == pytest.approx([-0.2, -0.6])
    assert [first(update.weights, OWN_CONTROL + BIAS) for update in updates] == pytest.approx([1, 3])
    state = method.aggregate(state, [sent(update) for update in updates], torch_stream(0, "server"))
    # x = -0.4. The mean change of the control variates is 2, and half of the clients took part: c = 1.
    assert first(state.shared, BIAS) == pytest.approx(-0.4)
    assert first(state.shared, CONTROL + BIAS) == pytest.approx(1)
    # In the next round client 0 takes steps of 0.1 * (1 - 1 + 1), and client 1 of 0.1 * (3 - 3 + 1): both the same way.
    kept = [{name: value for name, value in update.weights.items() if not method.travels(name)} for update in updates]
    updates = [
        trained(model, shard, gradient, {**state.shared, **kept[client]}, client)
        for client, gradient in ((0, 1.0), (1, 3.0))
    ]
    assert [first(update.weights, BIAS) for update in updates] == pytest.approx([-0.6, -0.6])
    # c_i - c + (x - y) / 0.2 = c_i - 1 + 1: they stay, and c with them.
    assert [first(update.weights, OWN_CONTROL + BIAS) for update in updates] == pytest.approx([1, 3])
    assert [first(update.weights, CONTROL + BIAS) for update in updates] == pytest.approx([1, 1])


def test_the_servers_learning_rate_moves_the_weights_and_not_the_control_variate():
    current = ServerState(
        {"a": torch.tensor([1.0]), f"{CONTROL}a": torch.tensor([2.0])}, server={"number of clients": torch.tensor(2)}
    )
    update = Update(0, 3, {"a": torch.tensor([3.0]), f"{CONTROL}a": torch.tensor([6.0])})
    state = ScaffoldP(server_lr=0.5).aggregate(current, [update], torch_stream(0, "server"))
    # 1 + 0.5 * 2; one client of two: 2 + 4 / 2.
    assert (state.shared["a"].item(), state.shared[f"{CONTROL}a"].item()) == pytest.approx((2.0, 4.0))


def test_in_the_first_round_the_weights_are_those_of_fedavg_p_to_the_bit(model: PromptedModel, shard: Shard):
    start, place = model.weights(), {"client": 0, "round_number": 0, "num_rounds": 2, "seed": 0}
    plain = ClientTraining(model, FedAvgP(num_prompts=2), shard, start, TRAINING, **place).run()
    method = ScaffoldP(num_prompts=2)
    model.load_weights(start)
    ours = ClientTraining(model, method, shard, method.initial_state(model, 4).shared, TRAINING, **place).run()
    assert all(torch.equal(ours.weights[name], value) for name, value in plain.weights.items())


def test_control_variates_of_clients_never_travel_and_the_servers_does_both_ways(small_experiment: Experiment):
    method = ScaffoldP(num_prompts=2)
    model = method.build(small_experiment.model.backbone, small_experiment.model.label_names)
    inside = InProcessClients(method, model, small_experiment.shards, TRAINING, num_rounds=2, seed=0)
    names: list[set[str]] = []

    class Watched:
        def __len__(self) -> int:
            return len(inside)

        def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
            assert state.server == {}
            updates = inside.train(round_number, clients, state)
            names.extend([set(state.shared), *(set(update.weights) for update in updates)])
            return updates

    state = method.initial_state(model, 4)
    *_, last = federate(method, Watched(), state, Schedule(2, 0.5), seed=0)
    travelling = {*model.weights(), *(CONTROL + name for name in model.weights())}
    assert all(found == travelling for found in names)
    assert inside.kept[last.asked[0]].keys() == {OWN_CONTROL + name for name in model.weights()}


def test_a_head_that_is_not_trained_stays_and_so_do_its_control_variates(model: PromptedModel, shard: Shard):
    method = ScaffoldP(num_prompts=2)
    start = method.initial_state(model, 4).shared
    place = {"client": 0, "round_number": 0, "num_rounds": 2, "seed": 0}
    update = ClientTraining(model, method, shard, start, replace(TRAINING, head_lr=0.0), **place).run()
    assert torch.equal(update.weights[BIAS], start[BIAS])
    assert not update.weights[OWN_CONTROL + BIAS].any()
    assert update.weights[f"{OWN_CONTROL}prompter.sets"].any()
