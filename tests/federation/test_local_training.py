"""Local training: every optimiser setting against its closed form, on losses whose gradient is known."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.backbones.backbone import Backbone
from fedprime.data.batches import Batch, Shard
from fedprime.data.micro_batches import divide_by_length
from fedprime.data.missingness.drift import Drift, DriftingShard, drift_stages
from fedprime.data.missingness.mechanisms import Split
from fedprime.experiment.build import Experiment
from fedprime.federation.local_training import ClientTraining, learning_rate_factor
from fedprime.federation.training_options import LocalTraining
from fedprime.methods import METHODS
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.head_only import HeadOnly
from fedprime.methods.method import Method, Update
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.reproducibility.seeding import torch_stream
from fedprime.reproduction.quirks import with_quirks

LABELS = ("bread", "soup", "cake")
PLAIN = LocalTraining(
    epochs=1,
    batch_size=1000,
    optimizer="sgd",
    lr=0.1,
    momentum=0.0,
    weight_decay=0.0,
    max_gradient_norm=0.0,
    schedule="constant",
)


@dataclass(frozen=True)
class Pit(HeadOnly):
    """Half the squared distance of the head's three biases from 1: they start at 0, so their gradient is -1 each."""

    name = "pit"

    def loss(self, model: PromptedModel, batch: Batch, received: Weights) -> Float[Tensor, ""]:
        return 0.5 * (model.head.bias - 1).square().sum()


@dataclass(frozen=True)
class MeanLabel(HeadOnly):
    """One more than the mean label of a batch, whatever the model says; it remembers the labels as they came."""

    name = "mean-label"
    seen: list[list[int]] = field(default_factory=list)

    def loss(self, model: PromptedModel, batch: Batch, received: Weights) -> Float[Tensor, ""]:
        self.seen.append(batch.labels.tolist())
        return 1 + batch.labels.float().mean() + 0 * model.head.bias.sum()


@dataclass(frozen=True)
class Watching(HeadOnly):
    """Remembers how many images and texts are there."""

    name = "watching"
    seen: list[list[int]] = field(default_factory=list)

    def loss(self, model: PromptedModel, batch: Batch, received: Weights) -> Float[Tensor, ""]:
        self.seen.append(batch.present.sum(dim=0).tolist())
        return 0 * model.head.bias.sum()


@pytest.fixture
def shard(small_experiment: Experiment) -> Shard:
    """Twelve samples of which everything is there."""
    samples = small_experiment.shards[0].samples
    return Shard(samples, np.arange(12), np.ones((12, 2), dtype=bool))


@pytest.fixture
def model(tiny: Backbone) -> PromptedModel:
    return HeadOnly().build(tiny, LABELS, rng=torch_stream(0, "initial weights"))


Train = Callable[..., Update]


@pytest.fixture
def train(model: PromptedModel, shard: Shard) -> Train:
    """Trains at client 0 in the first of ten rounds, where nothing else is said."""
    start = model.weights()

    def train_with(method: Method, training: LocalTraining = PLAIN, received: Weights = start, **place: int) -> Update:
        place = {"client": 0, "round_number": 0, "num_rounds": 10, "seed": 0} | place
        return ClientTraining(model, method, shard, received, training, **place).run()

    return train_with


def bias(update: Update) -> list[float]:
    return update.weights["head.bias"].tolist()


def test_a_step_of_sgd_goes_the_learning_rate_times_the_gradient(train: Train):
    assert bias(train(Pit())) == pytest.approx([0.1] * 3)


@pytest.mark.parametrize(("epochs", "batch_size", "steps"), [(1, 12, 1), (1, 5, 3), (4, 6, 8), (2, 100, 2)])
def test_there_is_a_step_for_every_batch_of_every_epoch(epochs: int, batch_size: int, steps: int, train: Train):
    # Each step of gradient descent shrinks the distance to the bottom by 1 - lr.
    update = train(Pit(), replace(PLAIN, epochs=epochs, batch_size=batch_size))
    assert bias(update) == pytest.approx([1 - 0.9**steps] * 3)


def test_momentum_adds_a_share_of_the_step_before(train: Train):
    # 0 -> 0.1; then the velocity is 0.5 * 1 + 0.9 = 1.4.
    assert bias(train(Pit(), replace(PLAIN, epochs=2, momentum=0.5))) == pytest.approx([0.1 + 0.14] * 3)


def test_weight_decay_of_sgd_is_part_of_the_gradient(train: Train, model: PromptedModel):
    start = {**model.weights(), "head.bias": torch.full((3,), 3.0)}
    # gradient 3 - 1 = 2, decay 0.5 * 3 = 1.5
    update = train(Pit(), replace(PLAIN, weight_decay=0.5), received=start)
    assert bias(update) == pytest.approx([3 - 0.1 * (2 + 1.5)] * 3)


@pytest.mark.parametrize("start", [0.0, 0.9, -50.0])
def test_the_first_step_of_adamw_is_the_learning_rate_however_steep_it_is(
    start: float, train: Train, model: PromptedModel
):
    update = train(
        Pit(), replace(PLAIN, optimizer="adamw"), received={**model.weights(), "head.bias": torch.full((3,), start)}
    )
    assert bias(update) == pytest.approx([start + 0.1] * 3, rel=1e-5)


def test_weight_decay_of_adamw_is_apart_from_the_gradient(train: Train, model: PromptedModel):
    start = {**model.weights(), "head.bias": torch.full((3,), 3.0)}
    update = train(Pit(), replace(PLAIN, optimizer="adamw", weight_decay=0.5), received=start)
    assert bias(update) == pytest.approx([3 * (1 - 0.1 * 0.5) - 0.1] * 3)


def test_the_optimiser_starts_anew_in_every_round(train: Train):
    training = replace(PLAIN, optimizer="adamw")
    first = train(Pit(), training)
    second = train(Pit(), training, received=first.weights, round_number=1)
    # Had it gone on, the second step would have remembered the steeper first one.
    assert bias(second) == pytest.approx([0.2] * 3, rel=1e-5)


def test_a_long_gradient_is_scaled_down_to_the_limit(train: Train):
    # Three coordinates of -1 have the norm sqrt(3).
    update = train(Pit(), replace(PLAIN, max_gradient_norm=0.5))
    assert bias(update) == pytest.approx([0.1 * 0.5 / math.sqrt(3)] * 3, rel=1e-5)


def test_a_gradient_within_the_limit_is_left_as_it_is(train: Train):
    assert bias(train(Pit(), replace(PLAIN, max_gradient_norm=2.0))) == bias(train(Pit()))


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [1, 1, 1, 1]),
        ("linear", [1, 3 / 4, 1 / 2, 1 / 4]),
        ("cosine", [1, (1 + math.sqrt(0.5)) / 2, 1 / 2, (1 - math.sqrt(0.5)) / 2]),
    ],
)
def test_the_learning_rate_falls_over_the_rounds_as_the_schedule_says(
    schedule: str, factors: list[float], train: Train
):
    assert [learning_rate_factor(schedule, number, 4) for number in range(4)] == pytest.approx(factors)
    trained = [
        bias(train(Pit(), replace(PLAIN, schedule=schedule), round_number=number, num_rounds=4))[0]
        for number in range(4)
    ]
    assert trained == pytest.approx([0.1 * factor for factor in factors])


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_even_the_last_round_of_a_long_run_learns(schedule: str):
    assert learning_rate_factor(schedule, 249, 250) > 0


def test_what_the_loss_does_not_reach_stays_as_received(train: Train, model: PromptedModel):
    start = model.weights()
    update = train(Pit())
    assert all(torch.equal(update.weights[name], value) for name, value in start.items() if name != "head.bias")


def test_an_update_has_everything_that_is_trained(train: Train, model: PromptedModel):
    assert train(Pit()).weights.keys() == model.weights().keys()


def test_an_update_counts_each_sample_once_however_many_epochs_there_are(train: Train):
    update = train(Pit(), replace(PLAIN, epochs=3), client=5)
    assert (update.client, update.num_samples) == (5, 12)


def test_the_reported_loss_is_the_mean_over_samples_not_over_batches(train: Train, shard: Shard):
    update = train(MeanLabel(), replace(PLAIN, batch_size=5))
    expected = 1 + shard.samples.source.labels[:12].mean()
    assert update.metrics["loss"] == pytest.approx(expected, rel=1e-6)


def test_an_epoch_sees_every_sample_once(train: Train, shard: Shard):
    method = MeanLabel()
    train(method, replace(PLAIN, batch_size=5))
    assert [len(labels) for labels in method.seen] == [5, 5, 2]
    assert sorted(itertools.chain(*method.seen)) == sorted(shard.samples.source.labels[:12])


@pytest.mark.parametrize(
    "place", [{"client": 1}, {"round_number": 1}, {"seed": 1}], ids=lambda place: next(iter(place))
)
def test_samples_come_in_another_order_for_every(place: dict[str, int], train: Train):
    here, there = MeanLabel(), MeanLabel()
    train(here, replace(PLAIN, batch_size=1))
    train(there, replace(PLAIN, batch_size=1), **place)
    assert here.seen != there.seen


def test_samples_come_in_another_order_in_every_epoch(train: Train):
    method = MeanLabel()
    train(method, replace(PLAIN, epochs=2))
    assert method.seen[0] != method.seen[1]


def test_received_weights_are_not_changed(train: Train, model: PromptedModel):
    received = model.weights()
    before = {name: value.clone() for name, value in received.items()}
    train(METHODS["head-only"](), received=received)
    assert all(torch.equal(received[name], value) for name, value in before.items())


def test_the_method_is_told_what_was_received(train: Train, model: PromptedModel):
    told: list[Weights] = []

    @dataclass(frozen=True)
    class Listener(Pit):
        def loss(self, model: PromptedModel, batch: Batch, received: Weights) -> Float[Tensor, ""]:
            told.append(received)
            return super().loss(model, batch, received)

    received = {name: value + 1 for name, value in model.weights().items()}
    train(Listener(), replace(PLAIN, epochs=2), received=received)
    assert len(told) == 2
    assert all(torch.equal(each[name], value) for each in told for name, value in received.items())


def test_what_the_model_held_before_has_no_influence(train: Train, model: PromptedModel):
    received = model.weights()
    first = train(HeadOnly(), received=received)
    model.load_weights({name: torch.full_like(value, math.nan) for name, value in received.items()})
    second = train(HeadOnly(), received=received)
    assert all(torch.equal(second.weights[name], value) for name, value in first.weights.items())


@pytest.mark.parametrize(("name", "optimizer"), [("fedprime", "sgd"), *((name, "adamw") for name in METHODS)])
def test_a_few_epochs_lower_the_loss_and_leave_the_backbone_alone(
    name: str, optimizer: str, tiny: Backbone, shard: Shard
):
    method = METHODS[name](num_prompts=4)
    model = method.build(tiny, LABELS, rng=torch_stream(0, "initial weights"))
    before = {key: value.clone() for key, value in tiny.model.state_dict().items()}
    training = replace(PLAIN, epochs=5, batch_size=4, optimizer=optimizer, lr=0.01 if optimizer == "adamw" else 0.1)
    batch = next(shard.batches(12))
    loss_at_start = method.loss(model, batch, model.weights()).item()
    place = {"client": 0, "round_number": 0, "num_rounds": 1, "seed": 0}
    update = ClientTraining(model, method, shard, method.initial_state(model, 4).shared, training, **place).run()
    model.load_weights(update.weights)
    assert method.loss(model, batch, update.weights).item() < 0.8 * loss_at_start
    assert all(torch.equal(value, before[key]) for key, value in tiny.model.state_dict().items())


def test_where_missingness_drifts_a_client_trains_on_what_there_is_in_the_round(model: PromptedModel, shard: Shard):
    drift = Drift(drift_stages(("image", "text"), 0.5), seed=0)
    nothing = np.zeros(12, dtype=np.int64)
    numbers = drift.numbers(Split("train", shard.indices, nothing, nothing, nothing))
    drifting = DriftingShard.begin(shard.samples, shard.indices, drift, numbers)
    method = Watching()
    for number in (0, 1, 2):
        received = model.weights()
        ClientTraining(
            model, method, drifting, received, PLAIN, client=0, round_number=number, num_rounds=3, seed=0
        ).run()
    # Half of twelve lack the image at first, the text in the end, and half of those each in between.
    assert method.seen == [[6, 12], [9, 9], [12, 6]]


def trained_values(method: Method, experiment: Experiment, shard: Shard) -> Weights:
    model = method.build(experiment.model.backbone, experiment.source.label_names, rng=torch_stream(0, "weights"))
    training = replace(PLAIN, lr=0.5)
    return (
        ClientTraining(model, method, shard, model.weights(), training, client=0, round_number=0, num_rounds=1, seed=0)
        .run()
        .weights
    )


@pytest.mark.parametrize("name", ["fedprime", "fedprox-p", "pfpt", "head-only"])
def test_a_step_in_micro_batches_gives_the_weights_of_a_step_on_the_whole_batch(
    name: str, small_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, mixed = METHODS[name](), small_experiment.shards[0]
    expected = trained_values(method, small_experiment, mixed)
    parts: list[int] = []

    def divide(batch: Batch, dim: int) -> list[Batch]:
        found = divide_by_length(batch, dim, most_values=60 * dim)
        parts.append(len(found))
        return found

    monkeypatch.setattr("fedprime.federation.local_training.divide_by_length", divide)
    found = trained_values(method, small_experiment, mixed)
    assert parts[0] >= 3
    for key, value in expected.items():
        assert (found[key] - value).abs().max() < 1e-5, key


def test_a_batch_whose_samples_vote_for_their_prompts_is_not_divided(
    small_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, mixed = with_quirks(METHODS["fedprime"](), ["batch_vote"]), small_experiment.shards[0]
    expected = trained_values(method, small_experiment, mixed)
    monkeypatch.setattr(
        "fedprime.federation.local_training.divide_by_length", lambda batch, dim: divide_by_length(batch, dim, 1)
    )
    found = trained_values(method, small_experiment, mixed)
    assert all(torch.equal(found[key], value) for key, value in expected.items())


@dataclass(frozen=True)
class Slopes(FedAvgP):
    """A slope of -1 for each bias of the head and of 1 for each number of the prompts."""

    name = "slopes"

    def loss(self, model: PromptedModel, batch: Batch, received: Weights) -> Float[Tensor, ""]:
        values = dict(model.named_parameters())
        return values["prompter.sets"].sum() - values["head.bias"].sum()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("head_lr", [0.0, 0.02])
def test_the_head_learns_at_its_own_rate(optimizer: str, head_lr: float, tiny: Backbone, shard: Shard):
    method = Slopes(num_prompts=2)
    model = method.build(tiny, LABELS, rng=torch_stream(0, "initial weights"))
    start = model.weights()
    training = replace(PLAIN, optimizer=optimizer, lr=0.1, head_lr=head_lr, schedule="linear")
    update = ClientTraining(
        model, method, shard, start, training, client=0, round_number=5, num_rounds=10, seed=0
    ).run()
    # In the middle of the run, both rates have fallen to a half.
    moved = {name: update.weights[name] - value for name, value in start.items()}
    assert torch.allclose(moved["prompter.sets"], torch.tensor(-0.05), atol=1e-6)
    assert torch.allclose(moved["head.bias"], torch.tensor(head_lr / 2), atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_rate_of_the_head_that_is_the_same_changes_no_bit(optimizer: str, tiny: Backbone, shard: Shard):
    method = FedAvgP(num_prompts=2)
    model = method.build(tiny, LABELS, rng=torch_stream(0, "initial weights"))
    start, place = model.weights(), {"client": 0, "round_number": 0, "num_rounds": 10, "seed": 0}
    training = replace(PLAIN, optimizer=optimizer, lr=0.01, batch_size=4)
    plain = ClientTraining(model, method, shard, start, training, **place).run()
    same = ClientTraining(model, method, shard, start, replace(training, head_lr=0.01), **place).run()
    other = ClientTraining(model, method, shard, start, replace(training, head_lr=0.02), **place).run()
    assert all(torch.equal(value, same.weights[name]) for name, value in plain.weights.items())
    assert not torch.equal(plain.weights["head.weight"], other.weights["head.weight"])
