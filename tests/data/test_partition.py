"""Partitions: every sample has one owner, and what cannot be divided is refused in clear words."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Int

from fedprime.data.missingness.patterns import apportion
from fedprime.data.partition import (
    PartitionError,
    draw_label_shares,
    partition_by_shares,
    partition_by_site,
    partition_evenly,
)
from fedprime.reproducibility.seeding import stream

examples = settings(max_examples=60, deadline=None, derandomize=True)


@pytest.fixture
def labels() -> Int[np.ndarray, " sample"]:
    """Of 600 samples, in 6 classes of unequal size."""
    return stream(0, "labels").choice(6, size=600, p=[0.4, 0.2, 0.2, 0.1, 0.05, 0.05])


# Evenly


@examples
@given(st.integers(1, 300), st.integers(1, 30), st.integers(0, 100))
def test_even_parts_hold_every_sample_once_and_differ_by_at_most_one(
    num_samples: int, num_clients: int, seed: int
) -> None:
    owners = partition_evenly(num_samples, num_clients, seed=seed, split="train")
    sizes = np.bincount(owners, minlength=num_clients)
    assert owners.shape == (num_samples,)
    assert len(sizes) == num_clients
    assert sizes.max() - sizes.min() <= 1


def test_one_client_holds_everything() -> None:
    assert partition_evenly(5, 1, seed=0, split="train").tolist() == [0] * 5


def test_even_parts_are_drawn_by_seed_and_split_alone() -> None:
    owners = partition_evenly(100, 5, seed=0, split="train")
    assert np.array_equal(owners, partition_evenly(100, 5, seed=0, split="train"))
    assert not np.array_equal(owners, partition_evenly(100, 5, seed=1, split="train"))
    assert not np.array_equal(owners, partition_evenly(100, 5, seed=0, split="test"))


def test_even_parts_do_not_depend_on_the_order_of_samples() -> None:
    owners = partition_evenly(4000, 2, seed=0, split="train")
    # Of the first half, the number that one client owns is within four standard errors of a half.
    assert abs((owners[:2000] == 0).sum() - 1000) < 4 * np.sqrt(2000 * 0.25)


# By site


def test_a_client_gets_all_samples_of_its_site_and_no_other() -> None:
    sites = np.array([7, 30, 7, 12, 30, 30])
    assert partition_by_site(sites, 3).tolist() == [0, 2, 0, 1, 2, 2]


def test_with_fewer_clients_than_sites_sites_take_turns() -> None:
    sites = np.array([0, 1, 2, 3, 4, 4])
    assert partition_by_site(sites, 2).tolist() == [0, 1, 0, 1, 0, 0]


@examples
@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.data())
def test_a_site_is_never_divided_and_no_client_is_left_without(sites: list[int], data: st.DataObject) -> None:
    num_clients = data.draw(st.integers(1, len(set(sites))))
    owners = partition_by_site(np.array(sites), num_clients)
    assert len(set(zip(sites, owners.tolist(), strict=True))) == len(set(sites))
    assert set(owners.tolist()) == set(range(num_clients))


def test_clients_of_one_site_divide_its_samples_evenly() -> None:
    sites = np.repeat([4, 2, 9], [10, 7, 5])
    owners = partition_by_site(sites, 7)
    # Sites in order 2, 4, 9: clients 0, 3, 6 are of the first, 1 and 4 of the second, 2 and 5 of the third.
    assert np.bincount(owners[sites == 2], minlength=7).tolist() == [3, 0, 0, 2, 0, 0, 2]
    assert np.bincount(owners[sites == 4], minlength=7).tolist() == [0, 5, 0, 0, 5, 0, 0]
    assert np.bincount(owners[sites == 9], minlength=7).tolist() == [0, 0, 3, 0, 0, 2, 0]


def test_a_site_with_fewer_samples_than_clients_is_refused() -> None:
    with pytest.raises(PartitionError, match="a site of 1 sample is too small for 2 clients; ask for fewer clients"):
        partition_by_site(np.array([0, 0, 0, 1]), 4)


# Shares of labels


@pytest.mark.parametrize("alpha", [0.05, 1.0, 100.0])
def test_shares_of_every_label_add_up(labels: np.ndarray, alpha: float) -> None:
    shares = draw_label_shares(labels, 6, 5, alpha, 1, seed=0)
    assert shares.shape == (6, 5)
    assert shares.min() >= 0
    assert shares.sum(axis=1) == pytest.approx(np.ones(6))


def test_shares_are_drawn_by_seed_alone(labels: np.ndarray) -> None:
    shares = draw_label_shares(labels, 6, 5, 1.0, 10, seed=0)
    assert np.array_equal(shares, draw_label_shares(labels, 6, 5, 1.0, 10, seed=0))
    assert not np.array_equal(shares, draw_label_shares(labels, 6, 5, 1.0, 10, seed=1))


def test_a_small_alpha_gives_a_client_few_labels_and_a_large_one_gives_all_the_same_mix(labels: np.ndarray) -> None:
    few = draw_label_shares(labels, 6, 5, 0.05, 1, seed=0)
    all_alike = draw_label_shares(labels, 6, 5, 1000.0, 1, seed=0)
    assert few.max(axis=1).mean() > 0.8
    assert np.abs(all_alike - 1 / 5).max() < 0.05


def test_shares_scatter_as_a_dirichlet_distribution_does() -> None:
    labels = np.arange(2000) % 1000
    shares = draw_label_shares(labels, 1000, 4, 0.5, 1, seed=0)
    # A share of Dirichlet(0.5, 0.5, 0.5, 0.5) has mean 1/4 and variance 1/4 * 3/4 / (2 + 1) = 1/16.
    assert shares.mean(axis=0) == pytest.approx([0.25] * 4, abs=4 * 0.25 / np.sqrt(1000))
    assert shares.var(axis=0) == pytest.approx([1 / 16] * 4, rel=0.15)


@pytest.mark.parametrize("seed", range(10))
def test_every_client_gets_the_samples_that_it_was_promised(labels: np.ndarray, seed: int) -> None:
    shares = draw_label_shares(labels, 6, 8, 0.3, 20, seed=seed)
    owners = partition_by_shares(labels, shares, seed=seed, split="train")
    assert np.bincount(owners, minlength=8).min() >= 20


def test_labels_that_no_sample_has_get_shares_too(labels: np.ndarray) -> None:
    shares = draw_label_shares(labels, 9, 5, 1.0, 1, seed=0)
    assert shares.shape == (9, 5)
    owners = partition_by_shares(np.array([8, 8, 7]), shares, seed=0, split="test")
    assert ((owners >= 0) & (owners < 5)).all()


@pytest.mark.parametrize(
    ("num_clients", "alpha", "min_samples", "message"),
    [
        (5, 0.0, 1, "alpha is 0.0; the concentration of a Dirichlet distribution is above 0"),
        (5, -1.0, 1, "alpha is -1.0"),
        (50, 1.0, 13, "600 samples are too few for 50 clients with at least 13 each; ask for fewer clients or a lower"),
        (20, 0.01, 25, "no division of 600 samples among 20 clients at alpha 0.01 .*; raise alpha, lower the minimum"),
    ],
)
def test_impossible_shares_are_refused(
    labels: np.ndarray, num_clients: int, alpha: float, min_samples: int, message: str
) -> None:
    with pytest.raises(PartitionError, match=message):
        draw_label_shares(labels, 6, num_clients, alpha, min_samples, seed=0)


# By shares of labels


def test_every_label_is_divided_by_its_own_shares(labels: np.ndarray) -> None:
    shares = np.array([[1, 0, 0], [0, 0.5, 0.5], [0.2, 0.3, 0.5], [0, 0, 1], [0.4, 0.4, 0.2], [1 / 3, 1 / 3, 1 / 3]])
    owners = partition_by_shares(labels, shares, seed=0, split="train")
    for label in range(6):
        own = Counter(owners[labels == label].tolist())
        expected = apportion(shares[label], int((labels == label).sum()))
        assert [own[client] for client in range(3)] == expected.tolist()


@examples
@given(st.lists(st.integers(0, 4), max_size=80), st.integers(1, 6), st.integers(0, 50))
def test_every_sample_is_owned_once(labels: list[int], num_clients: int, seed: int) -> None:
    shares = stream(seed, "shares").dirichlet(np.full(num_clients, 0.5), size=5)
    owners = partition_by_shares(np.array(labels, dtype=np.int64), shares, seed=seed, split="train")
    assert owners.shape == (len(labels),)
    assert ((owners >= 0) & (owners < num_clients)).all()


def test_who_gets_which_sample_of_a_label_is_drawn_by_seed_and_split(labels: np.ndarray) -> None:
    shares = np.full((6, 3), 1 / 3)
    owners = partition_by_shares(labels, shares, seed=0, split="train")
    assert np.array_equal(owners, partition_by_shares(labels, shares, seed=0, split="train"))
    assert not np.array_equal(owners, partition_by_shares(labels, shares, seed=1, split="train"))
    assert not np.array_equal(owners, partition_by_shares(labels, shares, seed=0, split="test"))


def test_a_label_without_shares_is_refused(labels: np.ndarray) -> None:
    with pytest.raises(PartitionError, match=r"label 5, but there are shares of 5 labels only"):
        partition_by_shares(labels, np.full((5, 3), 1 / 3), seed=0, split="train")
