"""Splits of other names, repeated samples, frequent classes, validation samples set apart."""

import logging

import numpy as np
import pytest

from fedprime.data.sources import DataError
from fedprime.data.splits import (
    most_frequent,
    named_splits,
    set_apart,
    with_all_splits,
    with_validation,
    without_repeats,
)


def test_a_split_without_samples_is_refused():
    with pytest.raises(DataError, match="here has the splits train, test; expected train, test"):
        named_splits({"train": ["a"], "test": []}, "here")


def test_a_sample_of_several_splits_is_kept_for_the_test(caplog: pytest.LogCaptureFixture):
    splits = {"train": ["a", "b", "b", "c"], "validation": ["c", "d"], "test": ["d", "e"]}
    with caplog.at_level(logging.WARNING):
        kept = without_repeats(splits, "here")
    assert kept == {"train": ["a", "b"], "validation": ["c"], "test": ["d", "e"]}
    assert list(kept) == ["train", "validation", "test"]
    assert caplog.messages == ["here names 3 samples twice; each is used once, for test before training"]


def test_of_equally_frequent_classes_the_first_by_name_is_used():
    assert most_frequent(["b", "c", "a", "b", "d"], 3, "here") == ["b", "a", "c"]


def test_a_validation_split_of_the_data_is_kept():
    splits = {"train": np.array([0, 1]), "validation": np.array([2]), "test": np.array([3])}
    assert with_validation(splits, np.zeros(4, dtype=np.int64), 0.5) == splits


def test_every_class_gives_its_share_to_validation():
    groups = np.repeat([0, 1, 2], [40, 20, 10])
    splits = {"train": np.arange(0, 70), "test": np.array([], dtype=np.int64)}
    apart = with_validation(splits, groups, 0.1)
    assert np.bincount(groups[apart["validation"]]).tolist() == [4, 2, 1]
    assert sorted([*apart["train"], *apart["validation"]]) == list(range(70))
    again = with_validation(splits, groups, 0.1)
    assert np.array_equal(again["validation"], apart["validation"])


def test_those_set_apart_are_training_samples_only():
    splits = {"train": np.array([5, 1, 9, 7]), "test": np.array([0, 2])}
    apart = with_validation(splits, np.zeros(10, dtype=np.int64), 0.5)
    assert len(apart["validation"]) == len(apart["train"]) == 2
    assert {*apart["validation"], *apart["train"]} == {5, 1, 9, 7}


def test_a_natural_group_keeps_a_sample_to_train_on() -> None:
    samples, groups = np.arange(60), np.arange(60) % 2
    _, apart = set_apart(samples, groups, 0.2, "test")
    alone = apart[[2, 7]]
    sites = np.zeros(60, dtype=np.int64)
    sites[alone] = 1, 2  # two of one sample each
    stays, found = set_apart(samples, groups, 0.2, "test", sites)
    assert found.tolist() == [own for own in apart.tolist() if own not in alone]
    assert set(sites[stays].tolist()) == {0, 1, 2}
    splits = with_all_splits({"train": samples}, groups, 0.1, 0.2, sites)
    assert set(sites[splits["train"]].tolist()) == {0, 1, 2}
    assert sorted(np.concatenate([*splits.values()]).tolist()) == samples.tolist()
    # Where each has one sample alone, some are for other splits nonetheless.
    assert set_apart(samples, groups, 0.2, "test", samples)[1].tolist() == apart.tolist()
