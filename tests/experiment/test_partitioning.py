"""From settings to who holds which sample and what is missing of it."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprime.data.batches import EmbeddedSamples
from fedprime.data.missingness.drift import Drift
from fedprime.data.missingness.logistic import ByLabel, ByObserved
from fedprime.data.missingness.mechanisms import BySite, MechanismKind, OverClients, Split
from fedprime.data.partition import PartitionError
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.experiment.partitioning import (
    build_mechanism,
    draw_owners,
    label_groups,
    scenario_shares,
    split_of,
    training_shards,
)
from fedprime.settings.reading import check_settings
from fedprime.settings.settings import Settings

MODALITIES = ("image", "text")


def embed(modality: str, values: Sequence[object]) -> list[Tensor]:
    return [torch.zeros(1, len(modality)) for _ in values]


@pytest.fixture
def world() -> BuiltinWorld:
    return BuiltinWorld(300, num_classes=3, num_sites=4)


@pytest.fixture
def splits() -> dict[str, np.ndarray]:
    return {"train": np.arange(200), "test": np.arange(200, 300)}


def settings_with(**sections: dict[str, Any]) -> Settings:
    return check_settings({"partition": {"num_clients": 5}} | sections)


@pytest.fixture
def train(world: BuiltinWorld) -> Split:
    return split_of("train", np.arange(200), np.arange(200) % 5, world)


# Owners


@pytest.mark.parametrize("kind", ["even", "labels", "site"])
def test_every_sample_of_every_split_has_an_owner(kind: str, world: BuiltinWorld, splits: dict[str, np.ndarray]):
    partition = settings_with(partition={"kind": kind, "num_clients": 4}).partition
    owners = draw_owners(world, splits, partition, seed=0)
    assert {name: len(own) for name, own in owners.items()} == {"train": 200, "test": 100}
    assert set(owners["train"]) == {0, 1, 2, 3}
    assert set(owners["test"]) <= {0, 1, 2, 3}


def test_a_client_has_the_same_share_of_a_class_in_every_split(world: BuiltinWorld, splits: dict[str, np.ndarray]):
    owners = draw_owners(world, splits, settings_with().partition, seed=0)
    for label in range(3):
        train, test = (
            np.bincount(owners[name][world.labels[own] == label], minlength=5) for name, own in splits.items()
        )
        # Each is off the share that both have by less than one sample.
        assert (np.abs(train / train.sum() - test / test.sum()) < 1 / train.sum() + 1 / test.sum()).all()


def test_a_site_belongs_to_the_same_client_in_every_split(world: BuiltinWorld, splits: dict[str, np.ndarray]):
    partition = settings_with(partition={"kind": "site", "num_clients": 3}).partition
    owners = draw_owners(world, splits, partition, seed=0)
    for site in range(4):
        of_site = np.concatenate([owners[name][world.sites[own] == site] for name, own in splits.items()])
        assert len(set(of_site)) == 1


def test_more_clients_than_training_samples_are_refused(world: BuiltinWorld):
    splits = {"train": np.arange(4), "test": np.arange(4, 300)}
    with pytest.raises(PartitionError, match="4 samples cannot be divided among 5 clients; ask for fewer clients"):
        draw_owners(world, splits, settings_with().partition, seed=0)


@pytest.fixture
def films(world: BuiltinWorld) -> BuiltinWorld:
    """Six samples of two labels each, of which one is in every sample, and one sample without any label."""
    world.task = "several_labels"
    world.label_names = ("drama", "crime", "war")
    world.labels = np.array([[1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1], [1, 0, 0], [0, 0, 0]], dtype=np.float32)
    world.splits = {"train": np.arange(6)}
    return world


def test_with_several_labels_a_sample_is_divided_by_its_rarest_one(films: BuiltinWorld):
    # drama 5 times, crime 3, war 2
    groups, names = label_groups(films)
    assert [names[group] for group in groups] == ["crime", "crime", "war", "war", "drama", "no label"]


def test_what_is_rare_is_decided_by_the_training_samples_alone(films: BuiltinWorld):
    films.splits = {"train": np.array([3]), "test": np.array([0, 1, 2, 4, 5])}
    assert label_groups(films)[0].tolist()[2:4] == [1, 0]


def test_samples_of_several_labels_are_divided_among_clients(films: BuiltinWorld):
    partition = settings_with(partition={"num_clients": 2, "alpha": 5.0, "min_samples": 1}).partition
    owners = draw_owners(films, {"train": np.arange(6)}, partition, seed=0)["train"]
    assert set(owners) == {0, 1}
    assert split_of("train", np.arange(6), owners, films).labels.tolist() == [1, 1, 2, 2, 0, 3]


# What is missing


def test_each_kind_has_its_mechanism(world: BuiltinWorld, train: Split):
    expected = {"by-label": ByLabel, "by-observed": ByObserved, "by-site": BySite, "drift": Drift}
    for kind in get_args(MechanismKind):
        mechanism = build_mechanism(settings_with(missing={"kind": kind}), MODALITIES, world, train)
        assert type(mechanism) is expected.get(kind, OverClients)


def test_groups_are_natural_sites_where_clients_are(world: BuiltinWorld, train: Split):
    missing = {"kind": "by-site", "groups": 2}
    dealt = build_mechanism(settings_with(missing=missing), MODALITIES, world, train)
    partition = {"kind": "site", "num_clients": 3}
    natural = build_mechanism(settings_with(missing=missing, partition=partition), MODALITIES, world, train)
    assert [name for name, _ in (dealt.strata(train) or (), natural.strata(train) or ())] == ["group", "site"]


@pytest.mark.parametrize("kind", get_args(MechanismKind))
def test_shards_hold_all_training_samples_as_the_mechanism_says(kind: str, world: BuiltinWorld, train: Split):
    mechanism = build_mechanism(settings_with(missing={"kind": kind}), MODALITIES, world, train)
    shards = training_shards(EmbeddedSamples(world, MODALITIES, embed), mechanism, train, 5)
    expected = mechanism.draw(train)
    for client, shard in enumerate(shards):
        assert shard.indices.tolist() == list(range(client, 200, 5))
        # With drift, it is the last round that the mechanism tells about.
        assert np.array_equal(shard.at(9, 10).present, expected[shard.indices])


def test_sites_are_numbered_from_nought(world: BuiltinWorld):
    world.sites = world.sites * 10 + 7
    split = split_of("train", np.arange(200), np.arange(200) % 5, world)
    assert np.array_equal(split.sites, (world.sites[:200] - 7) // 10)


# Test scenarios


def test_scenarios_of_two_modalities_are_those_of_the_paper():
    # image, text, image+text
    assert {name: shares.tolist() for name, shares in scenario_shares(MODALITIES, 0.5).items()} == {
        "miss both": [0.25, 0.25, 0.5],
        "full": [0, 0, 1],
        "image only": [1, 0, 0],
        "text only": [0, 1, 0],
    }


def test_a_single_modality_is_there_in_the_only_scenario():
    assert list(scenario_shares(("text",), 0.5)) == ["full"]
