"""Mechanisms: what they all keep to, and those that look at clients or groups."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from jaxtyping import Float, Int
from scipy import stats

from fedprime.data.missingness.drift import Drift, drift_stages
from fedprime.data.missingness.kinds import ANY, MechanismKind, MissingnessKind
from fedprime.data.missingness.logistic import ByLabel, ByObserved
from fedprime.data.missingness.mechanisms import BySite, Mechanism, OverClients, Split, deal_groups, patterns_at, spread
from fedprime.data.missingness.patterns import (
    all_patterns,
    draw_present,
    pattern_counts,
    pattern_numbers,
    pattern_shares,
)
from fedprime.data.sources import Task
from fedprime.reproducibility.seeding import stream

NUM_CLIENTS, NUM_LABELS, NUM_SITES = 6, 4, 5
THREE = ("image", "text", "readings")


class Numbers:
    """A data set whose values are random numbers."""

    label_names = tuple("abcd")
    task: Task = "one_class"

    def __init__(self, modalities: tuple[str, ...], num_samples: int = 1200) -> None:
        self.modalities = modalities
        rng = stream(0, "numbers")
        self.labels: Int[np.ndarray, " sample"] = rng.integers(0, NUM_LABELS, num_samples)
        self.sites: Int[np.ndarray, " sample"] = rng.integers(0, NUM_SITES, num_samples)
        self.owners: Int[np.ndarray, " sample"] = rng.integers(0, NUM_CLIENTS, num_samples)
        self.there = np.ones((num_samples, len(modalities)), dtype=bool)
        self.splits = {"train": np.arange(num_samples)}
        self.values = rng.standard_normal((num_samples, len(modalities)))

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        return {modality: self.values[index, self.modalities.index(modality)] for modality in modalities}

    def split(self, name: str, indices: Int[np.ndarray, " sample"]) -> Split:
        owners, labels, sites = (numbers[indices] for numbers in (self.owners, self.labels, self.sites))
        return Split(name, indices, owners, labels, sites, self.there[indices])


def over_clients(kind: MissingnessKind) -> Callable[..., Mechanism]:
    def build(shares: np.ndarray, seed: int, **_: object) -> Mechanism:
        return OverClients(kind, shares, NUM_CLIENTS, 1.0, seed=seed)

    return build


def by_site(shares: np.ndarray, seed: int, **_: object) -> Mechanism:
    groups = deal_groups(NUM_CLIENTS, 3, seed=seed)
    return BySite(shares, 3, 1.0, seed=seed, group_of_client=groups)


def by_natural_site(shares: np.ndarray, seed: int, **_: object) -> Mechanism:
    return BySite(shares, NUM_SITES, 1.0, seed=seed)


def by_label(shares: np.ndarray, seed: int, train: Split, **_: object) -> Mechanism:
    return ByLabel(shares, train.labels, NUM_LABELS, 2.0, seed=seed)


def by_observed(shares: np.ndarray, seed: int, train: Split, data: Numbers, **_: object) -> Mechanism:
    return ByObserved(shares, data, data.modalities, train, 2.0, seed=seed)


def drift(seed: int, data: Numbers, rate: float, lacking: str, **_: object) -> Mechanism:
    return Drift(drift_stages(data.modalities, rate, lacking), seed=seed)


BUILDERS: dict[str, Callable[..., Mechanism]] = {kind: over_clients(kind) for kind in get_args(MissingnessKind)} | {
    "by-site": by_site,
    "by-site, natural": by_natural_site,
    "by-label": by_label,
    "by-observed": by_observed,
    "drift": drift,
}
kinds = pytest.mark.parametrize("kind", BUILDERS)


def built(
    kind: str, modalities: tuple[str, ...] = THREE, rate: float = 0.7, lacking: str = ANY, seed: int = 0
) -> tuple[Mechanism, Split, Split]:
    """A mechanism with training and test samples."""
    data = Numbers(modalities)
    train, test = data.split("train", np.arange(800)), data.split("test", np.arange(800, 1200))
    shares = pattern_shares(modalities, rate, lacking)
    mechanism = BUILDERS[kind](shares=shares, seed=seed, train=train, data=data, rate=rate, lacking=lacking)
    return mechanism, train, test


# What every mechanism keeps to


@kinds
def test_real_holes_stay_and_every_sample_keeps_something(kind: str) -> None:
    mechanism, train, test = built(kind)
    rng = stream(1, "holes")
    for split in (train, test):
        there = all_patterns(3)[rng.integers(0, 7, len(split))]
        left = mechanism.draw(replace(split, there=there))
        assert not (left & ~there).any()
        assert left.any(axis=1).all()
        assert (left.sum(axis=1) < there.sum(axis=1)).any()


@kinds
def test_without_real_holes_it_does_not_matter_whether_their_absence_is_told(kind: str) -> None:
    mechanism, train, _ = built(kind)
    assert np.array_equal(mechanism.draw(train), mechanism.draw(replace(train, there=None)))


def test_every_kind_has_a_mechanism_that_is_tested() -> None:
    assert set(get_args(MechanismKind)) == {kind.partition(",")[0] for kind in BUILDERS}


@kinds
@pytest.mark.parametrize("modalities", [("image", "text"), THREE])
def test_the_same_setting_and_seed_draw_the_same(kind: str, modalities: tuple[str, ...]) -> None:
    mechanism, train, test = built(kind, modalities)
    again, _, _ = built(kind, modalities)
    expected = mechanism.draw(train)
    again.draw(test)  # what was drawn before does not matter
    assert np.array_equal(again.draw(train), expected)
    assert np.array_equal(mechanism.draw(train), expected)


@kinds
def test_another_seed_draws_something_else(kind: str) -> None:
    mechanism, train, _ = built(kind)
    assert not np.array_equal(mechanism.draw(train), built(kind, seed=1)[0].draw(train))


@kinds
@pytest.mark.parametrize("num_modalities", range(1, 6))
def test_every_sample_keeps_something(kind: str, num_modalities: int) -> None:
    modalities = tuple(f"modality {index}" for index in range(num_modalities))
    mechanism, train, test = built(kind, modalities, rate=1.0 if num_modalities > 1 else 0.0)
    for split in (train, test):
        present = mechanism.draw(split)
        assert present.shape == (len(split), num_modalities)
        assert present.any(axis=1).all()


@kinds
def test_at_rate_nothing_is_lacking_and_at_rate_one_everybody_lacks_something(kind: str) -> None:
    mechanism, train, test = built(kind, rate=0.0)
    assert mechanism.draw(train).all()
    assert mechanism.draw(test).all()
    mechanism, train, test = built(kind, rate=1.0)
    assert not mechanism.draw(train).all(axis=1).any()
    assert not mechanism.draw(test).all(axis=1).any()


@kinds
def test_only_what_may_be_lacking_is_lacking(kind: str) -> None:
    mechanism, train, _ = built(kind, rate=0.4, lacking="text")
    assert np.unique(mechanism.draw(train), axis=0).tolist() == [[True, False, True], [True, True, True]]


@kinds
def test_no_samples_are_no_trouble(kind: str) -> None:
    mechanism, train, _ = built(kind)
    nothing = Split("test", *(numbers[:0] for numbers in (train.indices, train.owners, train.labels, train.sites)))
    assert mechanism.draw(nothing).shape == (0, 3)


@kinds
def test_probabilities_of_patterns_add_up_and_come_true(kind: str) -> None:
    mechanism, train, _ = built(kind)
    likelihood = mechanism.likelihood()
    if likelihood is None:
        return
    likelihood = np.broadcast_to(likelihood, (NUM_CLIENTS, NUM_LABELS, 7))
    assert likelihood.sum(axis=-1) == pytest.approx(1)
    # Over clients and classes as they come: counts scatter by no more than independent draws would.
    expected = likelihood[train.owners, train.labels].sum(axis=0)
    found = pattern_counts(mechanism.draw(train), np.zeros(len(train), dtype=np.int64), 1)[0]
    assert (np.abs(found - expected) <= 4 * np.sqrt(expected) + 1e-9).all()


@kinds
def test_strata_are_numbered_for_every_sample(kind: str) -> None:
    mechanism, train, _ = built(kind)
    strata = mechanism.strata(train)
    expected = {"by-label": "label", "by-site": "group", "by-site, natural": "site"}
    assert (strata[0] if strata else None) == expected.get(kind)
    if strata:
        assert strata[1].shape == (len(train),)


# Over clients


@pytest.mark.parametrize("kind", get_args(MissingnessKind))
def test_over_clients_masks_are_those_of_before_there_were_mechanisms(kind: MissingnessKind) -> None:
    mechanism, train, test = built(kind)
    for split in (train, test):
        expected = draw_present(
            kind, pattern_shares(THREE, 0.7), split.owners, NUM_CLIENTS, alpha=1.0, seed=0, split=split.name
        )
        assert np.array_equal(mechanism.draw(split), expected)


def test_over_all_data_patterns_tell_nothing() -> None:
    assert built("over-all-data")[0].likelihood() is None


# By site


@pytest.mark.parametrize("natural", [False, True])
def test_in_each_group_the_mix_is_met_up_to_one_sample_in_every_split(natural: bool) -> None:
    mechanism, train, test = built("by-site, natural" if natural else "by-site")
    mixes: list[list[np.ndarray]] = []
    for split in (train, test):
        name, groups = mechanism.strata(split) or ("", np.empty(0))
        assert name == ("site" if natural else "group")
        counts = pattern_counts(mechanism.draw(split), groups, int(groups.max()) + 1)
        mixes.append([counts / counts.sum(axis=1, keepdims=True), 1 / counts.sum(axis=1, keepdims=True)])
    (first, first_sample), (second, second_sample) = mixes
    # Each is off the mix that both share by less than one of its own samples.
    assert (np.abs(first - second) < first_sample + second_sample).all()
    # Groups differ.
    assert np.ptp(first[:, -1]) > 0.2


def test_natural_sites_are_those_of_the_samples_and_tell_nothing_more() -> None:
    mechanism, train, _ = built("by-site, natural")
    _, groups = mechanism.strata(train) or ("", np.empty(0))
    assert np.array_equal(groups, train.sites)
    assert mechanism.likelihood() is None


def test_clients_of_a_group_share_a_mix() -> None:
    groups = np.array([0, 1, 1, 0])
    likelihood = BySite(pattern_shares(THREE, 0.7), 2, 1.0, seed=0, group_of_client=groups).likelihood()
    assert likelihood is not None
    mixes = likelihood[:, 0]
    assert np.array_equal(mixes[0], mixes[3])
    assert np.array_equal(mixes[1], mixes[2])
    assert not np.array_equal(mixes[0], mixes[1])


def test_mixes_of_groups_scatter_around_the_shares() -> None:
    shares = pattern_shares(THREE, 0.7)
    likelihood = BySite(shares, 2000, 0.5, seed=0, group_of_client=np.arange(2000)).likelihood()
    assert likelihood is not None
    # The variance of a Dirichlet share is mean * (1 - mean) / (concentration + 1), here of 4 possible patterns.
    variance = shares * (1 - shares) / (0.5 * 4 + 1)
    assert (np.abs(likelihood[:, 0].mean(axis=0) - shares) <= 4 * np.sqrt(variance / 2000)).all()
    assert likelihood[:, 0].var(axis=0) == pytest.approx(variance, rel=0.15)


@pytest.mark.parametrize(("num_clients", "num_groups"), [(20, 4), (20, 3), (5, 5), (7, 1)])
def test_groups_are_of_equal_size_up_to_one(num_clients: int, num_groups: int) -> None:
    sizes = np.bincount(deal_groups(num_clients, num_groups, seed=0), minlength=num_groups)
    assert len(sizes) == num_groups
    assert np.ptp(sizes) <= 1


def test_who_is_in_which_group_depends_on_the_seed() -> None:
    assert deal_groups(20, 4, seed=0).tolist() != deal_groups(20, 4, seed=1).tolist()


def test_more_groups_than_clients_are_refused() -> None:
    with pytest.raises(ValueError, match="3 clients cannot be dealt into 4 groups; ask for at most 3 groups"):
        deal_groups(3, 4, seed=0)


def test_a_concentration_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match=r"alpha is 0\.0"):
        BySite(pattern_shares(THREE, 0.7), 2, 0.0, seed=0)


# Systematic sampling


def test_numbers_are_one_in_each_interval() -> None:
    numbers = spread(50, stream(0, "numbers"))
    assert np.sort((numbers * 50).astype(int)).tolist() == list(range(50))
    assert numbers.tolist() != sorted(numbers)


def test_each_number_alone_is_uniform() -> None:
    third: Float[np.ndarray, " draw"] = np.array([spread(7, stream(seed, "numbers"))[3] for seed in range(2000)])
    assert stats.kstest(third, "uniform").pvalue > 0.01


def test_patterns_divide_the_interval_by_their_shares() -> None:
    numbers = np.array([0.0, 0.19, 0.2, 0.49, 0.5, 0.999])
    assert patterns_at(np.array([0.0, 0.2, 0.0, 0.3, 0.5, 0.0]), numbers).tolist() == [1, 1, 3, 3, 4, 4]


def test_shares_that_do_not_add_up_to_one_are_weights() -> None:
    assert patterns_at(np.array([3.0, 1.0]), np.array([0.74, 0.76])).tolist() == [0, 1]


def test_pattern_numbers_are_places_in_the_list_of_patterns() -> None:
    assert pattern_numbers(all_patterns(4)).tolist() == list(range(15))
