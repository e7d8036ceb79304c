"""Simulated hostile clients: what they send, worked by hand, and that honest ones are left alone."""

from typing import Literal

import pytest
import torch

from fedprime.experiment.build import Experiment
from fedprime.methods.method import Update
from fedprime.runtime.attacks import Attack, LabelFlippedShard, draw_hostile

Kind = Literal["sign-flip", "scaling", "noise"]


RECEIVED = {"head": torch.tensor([1.0, 1.0])}
#: Client 1 is hostile. Everybody moved from what was received by (3, 4).
TRAINED = {client: Update(client, 7, {"head": torch.tensor([4.0, 5.0])}) for client in (0, 1)}


def attack(kind: Kind, strength: float) -> Attack:
    return Attack(kind, strength, frozenset({1}), seed=0)


@pytest.mark.parametrize(("kind", "forged"), [("sign-flip", [-5.0, -7.0]), ("scaling", [7.0, 9.0])])
def test_a_hostile_client_sends_what_the_attack_says(kind: Kind, forged: list[float]):
    assert attack(kind, 2.0).at_client(TRAINED[1], RECEIVED, 0).weights["head"].tolist() == forged


@pytest.mark.parametrize("kind", ["sign-flip", "scaling", "noise"])
def test_an_honest_client_sends_what_it_trained(kind: Kind):
    assert attack(kind, 2.0).at_client(TRAINED[0], RECEIVED, 0) is TRAINED[0]


def test_noise_is_about_as_long_as_asked_for_and_new_in_every_round():
    honest = Update(1, 7, {"head": torch.ones(10_000)})  # a change of length 100
    received = {"head": torch.zeros(10_000)}
    first, second = (attack("noise", 3.0).at_client(honest, received, number).weights["head"] for number in (0, 1))
    assert first.norm().item() == pytest.approx(3 * 100, rel=0.05)
    assert not torch.equal(first, second)


def test_as_many_are_hostile_as_asked_for_and_more_of_them_include_the_fewer():
    few, many = draw_hostile(20, 0.1, seed=0), draw_hostile(20, 0.3, seed=0)
    assert (len(few), len(many)) == (2, 6)
    assert set(few) < set(many)
    assert draw_hostile(20, 0.0, seed=0) == ()


def test_flipped_labels_are_the_mirrored_classes_in_the_same_order(small_experiment: Experiment):
    shard = small_experiment.shards[0]
    honest = torch.cat([batch.labels for batch in shard.batches(4)])
    flipped = torch.cat([batch.labels for batch in LabelFlippedShard.of(shard).at(0, 3).batches(4)])
    assert torch.equal(flipped, 2 - honest)  # three classes
