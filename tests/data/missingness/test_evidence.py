"""What patterns tell about the class, against the enumeration of a tiny world."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedprime.data.missingness.evidence import client_given_label, told_by_patterns
from fedprime.reproducibility.seeding import stream

CLIENTS, LABELS, PATTERNS = 3, 4, 5
examples = settings(max_examples=50, deadline=None, derandomize=True)


def posterior_by_enumeration(
    prior: np.ndarray, of_client: np.ndarray, likelihood: np.ndarray, seen: int, client: int | None
) -> list[float]:
    """Adds up the probability of every world with the pattern (and the client, where it is known), class by class."""
    weights = [0.0] * LABELS
    for label, holder, pattern in itertools.product(range(LABELS), range(CLIENTS), range(PATTERNS)):
        if pattern == seen and client in (None, holder):
            weights[label] += prior[label] * of_client[label, holder] * likelihood[holder, label, pattern]
    return [weight / sum(weights) for weight in weights]


@examples
@given(st.integers(0, 10_000), st.sampled_from([(CLIENTS, LABELS), (CLIENTS, 1), (1, LABELS), (1, 1)]))
def test_the_posterior_is_that_of_counting_all_possible_worlds(seed: int, sizes: tuple[int, int]) -> None:
    rng = stream(seed, "world")
    prior = rng.dirichlet(np.ones(LABELS))
    of_client = rng.dirichlet(np.ones(CLIENTS), size=LABELS)
    likelihood = rng.dirichlet(np.ones(PATTERNS), size=sizes)
    owners = np.array([0, 1, 2, 2, 1])
    patterns = rng.integers(0, PATTERNS, len(owners))
    full = np.broadcast_to(likelihood, (CLIENTS, LABELS, PATTERNS))

    told = told_by_patterns(likelihood, of_client, patterns, owners)
    found = prior * told / (prior * told).sum(axis=1, keepdims=True)
    for row, pattern in zip(found, patterns, strict=True):
        assert row == pytest.approx(posterior_by_enumeration(prior, of_client, full, pattern, client=None))

    # A client that knows it is one has a prior of its own: how frequent its classes are.
    told = told_by_patterns(likelihood, of_client, patterns, owners, personal=range(CLIENTS))
    for row, pattern, owner in zip(told, patterns, owners, strict=True):
        own_prior = prior * of_client[:, owner]
        expected = posterior_by_enumeration(prior, of_client, full, pattern, client=int(owner))
        assert own_prior * row / (own_prior * row).sum() == pytest.approx(expected)


def test_only_the_clients_that_are_named_are_known() -> None:
    rng = stream(0, "world")
    likelihood = rng.dirichlet(np.ones(PATTERNS), size=(CLIENTS, LABELS))
    of_client = rng.dirichlet(np.ones(CLIENTS), size=LABELS)
    patterns, owners = np.array([0, 1, 2]), np.array([0, 1, 2])
    none, one, everybody = (
        told_by_patterns(likelihood, of_client, patterns, owners, personal) for personal in ((), (1,), (0, 1, 2))
    )
    assert np.array_equal(one[[0, 2]], none[[0, 2]])
    assert np.array_equal(one[1], everybody[1])
    assert not np.array_equal(one[1], none[1])


def test_patterns_of_clients_tell_nothing_where_all_clients_hold_the_same_classes() -> None:
    rng = stream(0, "world")
    likelihood = rng.dirichlet(np.ones(PATTERNS), size=(CLIENTS, 1))
    of_client = np.tile([0.5, 0.3, 0.2], (LABELS, 1))
    told = told_by_patterns(likelihood, of_client, np.arange(PATTERNS), np.zeros(PATTERNS, dtype=np.int64))
    assert np.ptp(told, axis=1) == pytest.approx(0)


def test_the_share_of_a_class_at_a_client_is_counted() -> None:
    labels, owners = np.array([0, 0, 0, 0, 2]), np.array([1, 1, 1, 0, 0])
    assert client_given_label(labels, owners, 3, 2).tolist() == [[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]
