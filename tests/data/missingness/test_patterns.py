"""Missing masks: pure functions of (setting, owners, seed) whose rates come out as they were asked for."""

import itertools
from collections import Counter
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Bool, Int

from fedprime.data.missingness.kinds import ANY, MissingnessKind
from fedprime.data.missingness.patterns import (
    all_patterns,
    apportion,
    draw_present,
    pattern_counts,
    pattern_name,
    pattern_shares,
    what_is_left,
)
from fedprime.models.prompts import pattern_index
from fedprime.reproducibility.seeding import stream

KINDS = get_args(MissingnessKind)
THREE = ("image", "text", "readings")

examples = settings(max_examples=100, deadline=None, derandomize=True)
rates = st.floats(0, 1)
shares = st.lists(st.floats(0, 1), min_size=1, max_size=12).filter(lambda drawn: sum(drawn) > 0.01).map(np.array)


@pytest.fixture
def owners() -> Int[np.ndarray, " sample"]:
    """Twenty clients, who own 25 to 75 samples each."""
    return np.repeat(np.arange(20), np.linspace(25, 75, 20).astype(int))


def draw(
    owners: np.ndarray,
    kind: MissingnessKind = "over-all-data",
    modalities: tuple[str, ...] = ("image", "text"),
    rate: float = 0.7,
    lacking: str = ANY,
    alpha: float = 1.0,
    seed: int = 0,
    split: str = "train",
) -> Bool[np.ndarray, "sample modality"]:
    chosen = pattern_shares(modalities, rate, lacking)
    return draw_present(kind, chosen, owners, 20, alpha=alpha, seed=seed, split=split)


def shares_of(present: np.ndarray) -> dict[tuple[bool, ...], float]:
    return {pattern: count / len(present) for pattern, count in Counter(map(tuple, present.tolist())).items()}


# Patterns


@pytest.mark.parametrize("num_modalities", range(1, 7))
def test_patterns_are_all_ways_to_have_something(num_modalities: int) -> None:
    found = list(map(tuple, all_patterns(num_modalities).tolist()))
    expected = set(itertools.product([False, True], repeat=num_modalities)) - {(False,) * num_modalities}
    assert len(found) == len(expected)
    assert set(found) == expected
    assert found[-1] == (True,) * num_modalities


@pytest.mark.parametrize("num_modalities", range(1, 7))
def test_patterns_are_numbered_as_prompts_number_them(num_modalities: int) -> None:
    patterns = all_patterns(num_modalities)
    assert pattern_index(torch.from_numpy(patterns)).tolist() == list(range(len(patterns)))


def test_a_pattern_is_named_by_what_is_there() -> None:
    assert [pattern_name(pattern, THREE) for pattern in all_patterns(3)] == [
        "image",
        "text",
        "image+text",
        "readings",
        "image+readings",
        "text+readings",
        "image+text+readings",
    ]


# Shares


@pytest.mark.parametrize(
    ("modalities", "rate", "lacking", "expected"),
    [
        # image, text, image+text
        (("image", "text"), 0.7, "text", [0.7, 0, 0.3]),
        (("image", "text"), 0.7, "image", [0, 0.7, 0.3]),
        (("image", "text"), 0.7, ANY, [0.35, 0.35, 0.3]),
        (("image", "text"), 0.0, ANY, [0, 0, 1]),
        (("image", "text"), 1.0, "text", [1, 0, 0]),
        # image, text, image+text, readings, image+readings, text+readings, all
        (THREE, 0.6, ANY, [0, 0, 0.2, 0, 0.2, 0.2, 0.4]),
        (THREE, 0.6, "text", [0, 0, 0, 0, 0.6, 0, 0.4]),
        (("text",), 0.0, ANY, [1]),
    ],
)
def test_a_share_of_the_samples_lacks_what_is_asked_for(
    modalities: tuple[str, ...], rate: float, lacking: str, expected: list[float]
) -> None:
    assert pattern_shares(modalities, rate, lacking) == pytest.approx(expected)


@examples
@given(rates, st.integers(2, 6), st.data())
def test_shares_of_any_number_of_modalities_add_up_and_lack_at_the_rate(
    rate: float, num_modalities: int, data: st.DataObject
) -> None:
    modalities = tuple(f"modality {index}" for index in range(num_modalities))
    lacking = data.draw(st.sampled_from([*modalities, ANY]))
    found = pattern_shares(modalities, rate, lacking)
    patterns = all_patterns(num_modalities)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    assert found[~patterns.all(axis=1)].sum() == pytest.approx(rate)
    for column, modality in enumerate(modalities):
        expected = rate / num_modalities if lacking == ANY else rate * (lacking == modality)
        assert found[~patterns[:, column]].sum() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("modalities", "rate", "lacking", "message"),
    [
        (("image", "text"), 1.2, ANY, "rate is 1.2.*between 0 and 1"),
        (("image", "text"), -0.1, ANY, "rate is -0.1.*between 0 and 1"),
        (("image", "text"), float("nan"), ANY, "rate is nan.*between 0 and 1"),
        (("image", "text"), 0.5, "sound", "cannot lack 'sound'; choose one of image, text or any"),
        (("text",), 0.5, "text", "only text cannot lack it"),
        (("text",), 0.5, ANY, "only text cannot lack it"),
    ],
)
def test_impossible_rates_are_refused(modalities: tuple[str, ...], rate: float, lacking: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pattern_shares(modalities, rate, lacking)


# Dividing a whole number


@pytest.mark.parametrize(
    ("parts", "total", "expected"),
    [
        # Exact parts 4.7, 3.3, 2.0: one is left, for the largest remainder.
        ([0.47, 0.33, 0.2], 10, [5, 3, 2]),
        # Exact parts 0.6, 0.6, 0.8: two are left; of equal remainders the first is served first.
        ([0.3, 0.3, 0.4], 2, [1, 0, 1]),
        # 0.29 * 100 is 29 exactly, but 28.999999999999996 in floating point.
        ([0.29, 0.71], 100, [29, 71]),
        # Weights need not add up to 1.
        ([2, 1, 1], 8, [4, 2, 2]),
        ([0.5, 0.5], 0, [0, 0]),
    ],
)
def test_the_largest_remainders_are_rounded_up(parts: list[float], total: int, expected: list[int]) -> None:
    assert apportion(np.array(parts, dtype=float), total).tolist() == expected


@examples
@given(shares, st.integers(0, 5000))
def test_parts_add_up_and_are_less_than_one_off(parts: np.ndarray, total: int) -> None:
    found = apportion(parts, total)
    assert found.sum() == total
    assert found.min() >= 0
    assert np.abs(found - parts / parts.sum() * total).max() < 1 + 1e-6
    assert (found[parts == 0] == 0).all()


# Masks


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("modalities", [("image", "text"), THREE])
def test_the_same_setting_and_seed_give_the_same_mask(
    owners: np.ndarray, kind: MissingnessKind, modalities: tuple[str, ...]
) -> None:
    np.random.seed(1)  # noqa: NPY002 - must not matter
    mask = draw(owners, kind, modalities)
    np.random.seed(2)  # noqa: NPY002
    draw(owners, kind, modalities, seed=9)
    assert np.array_equal(draw(owners, kind, modalities), mask)


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_another_mask(owners: np.ndarray, kind: MissingnessKind) -> None:
    assert not np.array_equal(draw(owners, kind, seed=0), draw(owners, kind, seed=1))


@pytest.mark.parametrize("kind", ["over-all-data", "client-mixes"])
def test_another_split_gives_another_mask(owners: np.ndarray, kind: MissingnessKind) -> None:
    assert not np.array_equal(draw(owners, kind, split="train"), draw(owners, kind, split="test"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_modalities", range(1, 7))
def test_every_sample_keeps_something(owners: np.ndarray, kind: MissingnessKind, num_modalities: int) -> None:
    modalities = tuple(f"modality {index}" for index in range(num_modalities))
    mask = draw(owners, kind, modalities, rate=1.0 if num_modalities > 1 else 0.0)
    assert mask.shape == (len(owners), num_modalities)
    assert mask.any(axis=1).all()


@examples
@given(rates, st.sampled_from(["image", "text", "readings", ANY]), st.integers(1, 400), st.integers(0, 1000))
def test_rates_over_all_data_are_met_up_to_one_sample(rate: float, lacking: str, num_samples: int, seed: int) -> None:
    chosen = pattern_shares(THREE, rate, lacking)
    one_owner = np.zeros(num_samples, dtype=np.int64)
    mask = draw_present("over-all-data", chosen, one_owner, 1, alpha=1.0, seed=seed, split="train")
    for pattern, share in zip(all_patterns(3), chosen, strict=True):
        assert abs((mask == pattern).all(axis=1).sum() - share * num_samples) < 1 + 1e-6


def test_seventy_percent_of_a_thousand_samples_are_seven_hundred() -> None:
    mask = draw(np.arange(1000) % 20)
    assert shares_of(mask) == {(True, False): 0.35, (False, True): 0.35, (True, True): 0.3}


def test_over_all_data_a_pattern_does_not_depend_on_the_place_of_a_sample() -> None:
    first, second = np.split(draw(np.arange(2000) % 20), 2)
    # Half of 2,000 samples: the number without text is within four standard errors of its mean.
    assert abs((~first[:, 1]).sum() - (~second[:, 1]).sum()) < 4 * np.sqrt(2 * 1000 * 0.35 * 0.65)


def test_with_client_mixes_clients_differ(owners: np.ndarray) -> None:
    mask = draw(owners, "client-mixes", alpha=0.3)
    complete = [mask[owners == client].all(axis=1).mean() for client in range(20)]
    assert min(complete) < 0.05
    assert max(complete) > 0.5


def test_client_mixes_scatter_around_the_shares() -> None:
    owners = np.repeat(np.arange(400), 50)
    chosen = pattern_shares(THREE, 0.7)
    mask = draw_present("client-mixes", chosen, owners, 400, alpha=0.5, seed=0, split="train")
    found = pattern_counts(mask, owners, 400).sum(axis=0) / len(owners)
    # The variance of a Dirichlet share is mean * (1 - mean) / (concentration + 1), here of 4 possible patterns.
    standard_error = np.sqrt(chosen * (1 - chosen) / (0.5 * 4 + 1) / 400)
    assert (np.abs(found - chosen) <= 4 * standard_error).all()


def test_a_large_alpha_gives_every_client_the_same_mix(owners: np.ndarray) -> None:
    mask = draw(owners, "client-mixes", alpha=1e6)
    for client in range(20):
        own = mask[owners == client]
        assert abs((~own[:, 0]).sum() - 0.35 * len(own)) < 1.1
        assert abs((~own[:, 1]).sum() - 0.35 * len(own)) < 1.1


@pytest.mark.parametrize("alpha", [1e-3, 1e-9])
def test_a_small_alpha_gives_every_client_one_pattern(owners: np.ndarray, alpha: float) -> None:
    mask = draw(owners, "client-mixes", THREE, alpha=alpha)
    used = [len(np.unique(mask[owners == client], axis=0)) for client in range(20)]
    assert np.mean(used) < 1.2
    assert len(np.unique(mask, axis=0)) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_patterns_that_have_no_share_do_not_occur(owners: np.ndarray, kind: MissingnessKind) -> None:
    mask = draw(owners, kind, THREE, rate=1.0, lacking="text", alpha=0.1)
    assert shares_of(mask) == {(True, False, True): 1.0}


@pytest.mark.parametrize("kind", ["client-mixes", "absent-sensors"])
def test_what_a_client_lacks_is_the_same_in_every_split(owners: np.ndarray, kind: MissingnessKind) -> None:
    # At this alpha a client has one pattern, which says what its mix is.
    train = draw(owners, kind, alpha=1e-9, split="train")
    test = draw(owners[::-1].copy(), kind, alpha=1e-9, split="test")[::-1]
    assert np.array_equal(train, test)


def test_absent_sensors_are_absent_in_all_samples_of_a_client(owners: np.ndarray) -> None:
    mask = draw(owners, "absent-sensors")
    of_client = [np.unique(mask[owners == client], axis=0) for client in range(20)]
    assert {len(patterns) for patterns in of_client} == {1}
    # 35 % of 20 clients are 7.
    assert Counter(tuple(patterns[0].tolist()) for patterns in of_client) == {
        (True, False): 7,
        (False, True): 7,
        (True, True): 6,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_clients_without_samples_are_no_trouble(kind: MissingnessKind) -> None:
    owners = np.array([3, 3, 17])
    assert draw(owners, kind).shape == (3, 2)
    assert draw(owners[:0], kind).shape == (0, 2)


@pytest.mark.parametrize("alpha", [0.0, -1.0])
def test_a_concentration_that_is_not_positive_is_refused(owners: np.ndarray, alpha: float) -> None:
    with pytest.raises(ValueError, match=f"alpha is {alpha}"):
        draw(owners, "client-mixes", alpha=alpha)


# Counting


def test_counts_are_those_of_counting_one_by_one(owners: np.ndarray) -> None:
    mask = draw(owners, "client-mixes", THREE)
    expected = np.zeros((20, 7), dtype=int)
    for owner, present in zip(owners, mask.tolist(), strict=True):
        expected[owner, all_patterns(3).tolist().index(present)] += 1
    assert np.array_equal(pattern_counts(mask, owners, 20), expected)


def test_a_client_without_samples_counts_nothing() -> None:
    counts = pattern_counts(np.array([[True, True], [False, True]]), np.array([2, 2]), 4)
    assert counts.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 1], [0, 0, 0]]


# What is really missing


@examples
@given(st.integers(1, 4), st.integers(0, 1000))
def test_on_top_of_real_holes_something_is_left_of_every_sample(num_modalities: int, seed: int):
    rng = stream(seed, "holes")
    drawn, there = (
        all_patterns(num_modalities)[rng.integers(0, 2**num_modalities - 1, 30)] for _ in ("drawn", "there")
    )
    left = what_is_left(drawn, there)
    assert left.any(axis=1).all()
    assert not (left & ~there).any()
    for row in range(30):
        both = drawn[row] & there[row]
        assert left[row].tolist() == (both if both.any() else there[row]).tolist()


def test_of_what_was_not_asked_for_nothing_is_left():
    nothing, everything = np.array([[False, False]]), np.array([[True, True]])
    assert what_is_left(nothing, everything).tolist() == [[False, False]]
