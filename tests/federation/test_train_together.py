"""Clients side by side come to what each comes to by itself, which is what is expected, whatever the method."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedprime.backbones.backbone import Backbone, Tokens
from fedprime.backbones.together import keeps_bits
from fedprime.data.batches import Shard
from fedprime.experiment.build import Experiment
from fedprime.federation import train_together as module
from fedprime.federation.local_training import ClientTraining
from fedprime.federation.train_together import train_together
from fedprime.federation.training_options import LocalTraining
from fedprime.methods import METHODS
from fedprime.methods.method import Method, Update
from fedprime.models.prompted_model import PromptedModel
from fedprime.reproducibility.determinism import reproducible
from fedprime.reproducibility.seeding import torch_stream
from fedprime.reproduction.quirks import with_quirks

pytestmark = pytest.mark.without_shape_checks

LABELS = ("bread", "soup", "cake")
#: Clients with as many samples: several steps, a last step of fewer samples than are joined, and one step alone.
SIZES = (11, 16, 6, 19)
OPTIONS = LocalTraining(batch_size=8, lr=0.05)
PLACE = {"round_number": 1, "num_rounds": 4, "seed": 0}
CENTRALISED = {"centralized-p", "centralized-pools"}


@pytest.fixture(autouse=True)
def same_order_of_sums():
    with reproducible(1):
        yield


@pytest.fixture
def shards(small_experiment: Experiment) -> list[Shard]:
    whole = Shard.joined(small_experiment.shards)
    bounds = np.cumsum((0, *SIZES))
    return [whole.rows(np.arange(start, stop) % len(whole)) for start, stop in itertools.pairwise(bounds)]


def start_of(model: PromptedModel, method: Method):
    return method.initial_state(model, len(SIZES)).shared


def one_by_one(method: Method, model: PromptedModel, shards: Sequence[Shard], options: LocalTraining) -> list[Update]:
    start, other = start_of(model, method), model.copy()
    return [
        ClientTraining(other, method, shard, start, options, client=client, **PLACE).run()
        for client, shard in enumerate(shards)
    ]


def side_by_side(
    method: Method, model: PromptedModel, shards: Sequence[Shard], options: LocalTraining, most_values: int = 2**18
) -> list[Update]:
    start = start_of(model, method)
    trainings = [
        ClientTraining(model.copy(), method, shard, start, options, client=client, **PLACE)
        for client, shard in enumerate(shards)
    ]
    return train_together(trainings, model.backbone, most_values=most_values)


def assert_alike(
    method: Method, backbone: Backbone, shards: Sequence[Shard], options: LocalTraining = OPTIONS, **room: int
) -> None:
    """Clients that train in one pass come to what each comes to by itself."""
    model = method.build(backbone, LABELS, rng=torch_stream(0, "initial weights"))
    expected = one_by_one(method, model, shards, options)
    assert_same(side_by_side(method, model, shards, options, **room), expected, to_the_bit=keeps_bits(backbone))


def assert_same(found: Sequence[Update], expected: Sequence[Update], *, to_the_bit: bool) -> None:
    assert [update.client for update in found] == [update.client for update in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.num_samples == theirs.num_samples
        assert ours.metrics == pytest.approx(theirs.metrics, rel=0 if to_the_bit else 1e-5)
        assert ours.weights.keys() == theirs.weights.keys()
        for name, value in theirs.weights.items():
            tolerance = 0 if to_the_bit else 1e-6
            torch.testing.assert_close(ours.weights[name], value, rtol=0, atol=tolerance, msg=name)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in CENTRALISED])
def test_each_client_comes_to_the_weights_that_it_comes_to_alone(name: str, tiny: Backbone, shards: list[Shard]):
    assert_alike(METHODS[name](num_prompts=4), tiny, shards)


@pytest.mark.parametrize(
    ("own", "options"),
    [
        ({"readout": "blocks", "start": "closed-form", "prior_aware": True}, OPTIONS),
        ({"prompt_layer": 1, "deep_prompts": 2}, OPTIONS),
        ({"standardised_queries": True, "context_weight": 0.5}, OPTIONS),
        ({"head": "paper"}, replace(OPTIONS, optimizer="sgd", momentum=0.9, weight_decay=0.01)),
        ({}, replace(OPTIONS, epochs=2, head_lr=0.01, max_gradient_norm=0.01)),
        ({}, replace(OPTIONS, head_lr=0.0, max_gradient_norm=0.0)),
    ],
)
def test_whatever_is_trained_and_however(own: dict, options: LocalTraining, tiny: Backbone, shards: list[Shard]):
    assert_alike(METHODS["fedprime"](num_prompts=4, **own), tiny, shards, options)


@pytest.mark.parametrize("most_values", [1, 20_000])
def test_how_many_there_is_room_for_changes_nothing(most_values: int, tiny: Backbone, shards: list[Shard]):
    assert_alike(METHODS["fedprime"](num_prompts=4), tiny, shards, most_values=most_values)


@pytest.mark.parametrize("quirk", ["batch_vote", "placeholder_input"])
def test_departures_of_research_code_come_to_the_same(quirk: str, tiny: Backbone, shards: list[Shard]):
    assert_alike(with_quirks(METHODS["fedprime"](num_prompts=4), (quirk,)), tiny, shards)


class Counting:
    """Notes how many batches go through the backbone at once."""

    def __init__(self, inside: Backbone) -> None:
        self.inside, self.runs = inside, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inside, name)

    def encode(self, tokens: Tokens):
        self.runs.append(1)
        return self.inside.encode(tokens)

    def encode_together(self, batches: Sequence[Tokens]):
        self.runs.append(len(batches))
        return self.inside.encode_together(batches)


def test_those_with_most_steps_go_first_small_batches_alone_and_who_is_through_drops_out(
    tiny: Backbone, shards: list[Shard]
):
    method, counting = METHODS["fedprime"](num_prompts=4), Counting(tiny)
    model = method.build(counting, LABELS, rng=torch_stream(0, "initial weights"))
    side_by_side(method, model, shards, OPTIONS)
    # Steps of 8, 3 samples; 8, 8; 6; and 8, 8, 3, of which those of 3 stand alone.
    assert counting.runs == [4, 2, 1, 1]


def test_a_backbone_that_cannot_join_batches_takes_them_one_by_one(
    tiny: Backbone, shards: list[Shard], monkeypatch: pytest.MonkeyPatch
):
    method, counting = METHODS["fedprime"](num_prompts=4), Counting(tiny)
    monkeypatch.setattr(module, "JoiningBackbone", type(None))
    model = method.build(counting, LABELS, rng=torch_stream(0, "initial weights"))
    expected = one_by_one(method, model, shards, OPTIONS)
    counting.runs.clear()
    found = side_by_side(method, model, shards, OPTIONS)
    assert set(counting.runs) == {1}
    assert_same(found, expected, to_the_bit=True)
