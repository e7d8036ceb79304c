"""Who holds which samples: every sample of every split is one client's, as the kind of division says."""

import logging

import numpy as np
import pytest

from fedprime.data.partition import PartitionError
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.data.sources import DataError
from fedprime.experiment import partitioning
from fedprime.experiment.partitioning import (
    Partition,
    PartitionKind,
    label_groups,
    partition,
    split_of,
    usable_splits,
    what_is_there,
)


@pytest.fixture
def world() -> BuiltinWorld:
    return BuiltinWorld(300, num_classes=3, num_sites=4, num_validation=20, num_test=100)


@pytest.fixture
def small_world() -> BuiltinWorld:
    return BuiltinWorld(10, num_validation=2, num_test=3)


def splits_of(divided: Partition) -> list[partitioning.Split]:
    return [divided.train, divided.validation, divided.test]


@pytest.mark.parametrize("kind", ["even", "labels", "site"])
def test_every_sample_of_every_split_has_an_owner(kind: PartitionKind, world: BuiltinWorld):
    divided = partition(world, 4, kind=kind)
    assert [len(split) for split in splits_of(divided)] == [180, 20, 100]
    assert set(divided.train.owners) == {0, 1, 2, 3}
    assert set(divided.test.owners) <= {0, 1, 2, 3}


def test_a_client_has_the_same_share_of_a_class_in_every_split(world: BuiltinWorld):
    divided = partition(world, 5)
    for label in range(3):
        train, test = (
            np.bincount(split.owners[split.labels == label], minlength=5) for split in (divided.train, divided.test)
        )
        # Each is off the share that both have by less than one sample.
        assert (np.abs(train / train.sum() - test / test.sum()) < 1 / train.sum() + 1 / test.sum()).all()


def test_a_site_without_a_training_sample_is_named(world: BuiltinWorld, monkeypatch: pytest.MonkeyPatch):
    train = world.splits["train"]
    monkeypatch.setattr(world, "splits", {**world.splits, "train": train[world.sites[train] != 2]})
    monkeypatch.setattr(world, "site_names", ("mill", "farm", "port", "inn"), raising=False)
    with pytest.raises(
        PartitionError, match=r"clients 2 \(of the data: port\) own no training sample, for .* \(data.split\)"
    ):
        partition(world, 4, kind="site")


def test_a_site_belongs_to_the_same_client_in_every_split(world: BuiltinWorld):
    divided = partition(world, 3, kind="site")
    for site in range(4):
        assert len({owner for split in splits_of(divided) for owner in split.owners[split.sites == site]}) == 1


def test_more_clients_than_training_samples_are_refused(small_world: BuiltinWorld):
    with pytest.raises(PartitionError, match="5 samples cannot be divided among 6 clients; ask for fewer clients"):
        partition(small_world, 6)


def test_samples_that_have_none_of_the_modalities_in_use_are_nobodys(world: BuiltinWorld):
    world.there[[0, 7], 1] = False
    divided = partition(world, 2, kind="even", modalities=("text",))
    assert len(divided.train) == 178
    assert not {0, 7} & set(divided.train.indices.tolist())


def test_a_modality_that_the_data_lacks_is_named(world: BuiltinWorld):
    with pytest.raises(DataError, match="the data has no smell, only image, text, readings"):
        what_is_there(world, ("image", "smell"))


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


def test_samples_of_several_labels_are_divided_among_clients_by_the_rarest_one(films: BuiltinWorld):
    films.splits = {name: np.arange(6) for name in ("train", "validation", "test")}
    divided = partition(films, 2, alpha=5.0, min_samples=1)
    assert set(divided.train.owners) == {0, 1}
    assert divided.train.labels.tolist() == [1, 1, 2, 2, 0, 3]


def test_sites_are_numbered_from_nought(world: BuiltinWorld):
    world.sites = world.sites * 10 + 7
    split = split_of("train", np.arange(200), np.arange(200) % 5, world)
    assert np.array_equal(split.sites, (world.sites[:200] - 7) // 10)


# Which samples can be used


def test_samples_of_which_nothing_is_there_are_left_out_and_counted(
    small_world: BuiltinWorld, caplog: pytest.LogCaptureFixture
):
    small_world.there[[1, 8, 9], :2] = False
    small_world.there[3, 0] = False
    with caplog.at_level(logging.WARNING, logger=partitioning.__name__):
        splits = usable_splits(small_world, ("image", "text"))
    assert {name: own.tolist() for name, own in splits.items()} == {
        "train": [0, 2, 3, 4],
        "validation": [5, 6],
        "test": [7],
    }
    assert caplog.messages[0] == (
        "left out, because nothing of them is there: 1 of train, 2 of test samples (sample 1 of the data, sample 8 of "
        "the data, sample 9 of the data)"
    )
    assert caplog.messages[1].startswith("no training sample is of dish-01, dish-02, dish-07: what is measured")


def test_a_split_without_a_usable_sample_is_named(small_world: BuiltinWorld):
    small_world.there[5:7, 1] = False
    with pytest.raises(DataError, match="the data has no validation sample with any of text; it needs some of each of"):
        usable_splits(small_world, ("text",))


def test_training_samples_of_a_single_class_are_refused(small_world: BuiltinWorld):
    small_world.labels[:5] = 2
    with pytest.raises(DataError, match="all training samples are of one class, dish-02; there is nothing to learn"):
        usable_splits(small_world, ("text",))
    assert np.unique(small_world.labels[5:]).size > 0
