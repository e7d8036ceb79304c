"""Client-level privacy: what is sent, what noise it gets, what epsilon that is, against closed forms."""

import math
from collections.abc import Sequence

import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import norm
from torch import Tensor

from fedprime.federation.differential_privacy import (
    ClientPrivacy,
    Noise,
    operating_system_noise,
    private_updates,
    seeded_noise,
    spent_epsilon,
)
from fedprime.methods.method import Update

RECEIVED = {"head": torch.zeros(2), "pool": torch.zeros(1, 2)}


def privacy_of(
    clip_norm: float = 1.0, noise_multiplier: float = 1.0, delta: float = 1e-5, secret: bool = False
) -> ClientPrivacy:
    return ClientPrivacy(clip_norm, noise_multiplier, delta, secret=secret)


def update_of(client: int, head: Sequence[float], pool: Sequence[float] = (0.0, 0.0), num_samples: int = 5) -> Update:
    return Update(client, num_samples, {"head": torch.tensor(head), "pool": torch.tensor([pool])}, {"loss": 0.25})


def ones(shape: Sequence[int]) -> Tensor:
    return torch.ones(tuple(shape), dtype=torch.float64)


def private(updates: Sequence[Update], asked: Sequence[int], privacy: ClientPrivacy, aligned: str = "") -> list[Update]:
    return private_updates(updates, asked, RECEIVED, aligned=aligned, privacy=privacy, noise=ones)


def test_everybody_has_the_mean_of_clipped_updates_with_noise_once():
    updates = [update_of(0, [30.0, 40.0]), update_of(3, [0.0, 0.5])]
    found = private(updates, [0, 3], privacy_of(noise_multiplier=0.2))
    # (0.6, 0.8) and (0, 0.5), noise of 0.2 on their sum, half of it all.
    for update in found:
        assert update.weights["head"].tolist() == pytest.approx([(0.6 + 0.2) / 2, (0.8 + 0.5 + 0.2) / 2])


def test_what_is_aligned_keeps_its_client_under_noise_of_its_own():
    updates = [update_of(0, [0.0, 0.0], [3.0, 4.0]), update_of(1, [0.0, 0.0], [0.0, 0.1])]
    found = private(updates, [0, 1], privacy_of(noise_multiplier=0.2), aligned="pool")
    assert found[0].weights["pool"][0].tolist() == pytest.approx([0.8, 1.0])
    assert found[1].weights["pool"][0].tolist() == pytest.approx([0.2, 0.3])
    assert found[0].weights["head"].tolist() == pytest.approx([0.1, 0.1])


def test_averaged_and_aligned_values_share_one_norm():
    (found,) = private([update_of(0, [3.0, 0.0], [0.0, 4.0])], [0], privacy_of(noise_multiplier=0.0), aligned="pool")
    assert found.weights["head"].tolist() == pytest.approx([0.6, 0.0])
    assert found.weights["pool"][0].tolist() == pytest.approx([0.0, 0.8])


def test_a_client_that_failed_counts_as_one_that_changed_nothing():
    silent = private([update_of(0, [0.5, 0.0])], [0, 1], privacy_of())
    still = private([update_of(0, [0.5, 0.0]), update_of(1, [0.0, 0.0])], [0, 1], privacy_of())
    for one, other in zip(silent, still, strict=True):
        assert one.client == other.client
        assert all(torch.equal(one.weights[name], other.weights[name]) for name in RECEIVED)


def test_a_round_without_an_answer_is_noise_alone():
    (found,) = private([], [2], privacy_of(clip_norm=3.0, noise_multiplier=0.5))
    assert found.weights["head"].tolist() == [1.5, 1.5]


def test_numbers_of_samples_and_losses_are_left_out():
    found = private([update_of(0, [0.5, 0.0], num_samples=999)], [0], privacy_of())
    assert [(update.num_samples, update.metrics) for update in found] == [(1, {})]


def test_one_client_moves_the_sum_by_twice_the_norm_at_most():
    others = [update_of(client, [0.1, 0.2]) for client in range(3)]
    here = private([*others, update_of(3, [1e6, 0.0])], range(4), privacy_of(clip_norm=2.0))[0].weights["head"]
    there = private([*others, update_of(3, [-1e6, 0.0])], range(4), privacy_of(clip_norm=2.0))[0].weights["head"]
    assert 4 * (here - there).norm().item() == pytest.approx(2 * 2.0, rel=1e-5)


@pytest.mark.parametrize("noise", [seeded_noise(0, 0), operating_system_noise])
def test_noise_is_standard_normal(noise: Noise):
    values = noise((200, 500))
    assert values.shape == (200, 500)
    assert values.mean().item() == pytest.approx(0, abs=0.02)
    assert values.std().item() == pytest.approx(1, abs=0.02)
    # As many beyond two deviations as a normal distribution has, 2.3 % on each side.
    assert (values > 2).double().mean().item() == pytest.approx(norm.sf(2), abs=0.003)
    assert (values < -2).double().mean().item() == pytest.approx(norm.sf(2), abs=0.003)


def test_seeded_noise_repeats_and_differs_between_rounds():
    assert torch.equal(seeded_noise(0, 1)((5,)), seeded_noise(0, 1)((5,)))
    assert not torch.equal(seeded_noise(0, 1)((5,)), seeded_noise(0, 2)((5,)))


def test_noise_of_the_operating_system_never_repeats():
    assert not torch.equal(operating_system_noise((5,)), operating_system_noise((5,)))


def exact_epsilon(multiplier: float, delta: float) -> float:
    """Of one Gaussian mechanism of sensitivity 1. Source: Balle, Wang, ICML 2018, theorem 8."""

    def excess(epsilon: float) -> float:
        a, b = 0.5 / multiplier, epsilon * multiplier
        return float(norm.cdf(a - b) - math.exp(epsilon) * norm.cdf(-a - b) - delta)

    return float(brentq(excess, 0.0, 100.0))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("noise_multiplier", "rounds"), [(4.0, 1), (8.0, 20), (20.0, 50)])
def test_with_everybody_in_every_round_epsilon_is_little_above_the_exact_one(noise_multiplier: float, rounds: int):
    # T rounds of Gaussian noise z / 2 are one of z / 2 / sqrt(T); Rényi composition costs a little.
    exact = exact_epsilon(noise_multiplier / 2 / rounds**0.5, 1e-3)
    privacy = privacy_of(noise_multiplier=noise_multiplier, delta=1e-3)
    found = spent_epsilon(privacy, num_clients=100, num_asked=100, rounds=rounds)
    assert exact <= found <= 1.25 * exact


def test_fewer_clients_in_a_round_tell_less():
    epsilons = [
        spent_epsilon(
            privacy_of(noise_multiplier=4.0, delta=1e-4, secret=True), num_clients=1000, num_asked=asked, rounds=20
        )
        for asked in (50, 100, 1000)
    ]
    assert epsilons[0] < epsilons[1] < epsilons[2]


def test_that_few_take_part_counts_only_where_nobody_knows_who():
    known = privacy_of(noise_multiplier=4.0, delta=1e-4, secret=False)
    few, all_of_them = (spent_epsilon(known, num_clients=1000, num_asked=asked, rounds=20) for asked in (50, 1000))
    assert few == all_of_them


def test_scores_count_like_rounds():
    privacy = privacy_of(secret=True)
    counted = spent_epsilon(privacy, num_clients=100, num_asked=100, rounds=3, measurements=2)
    assert counted == spent_epsilon(privacy, num_clients=100, num_asked=100, rounds=5)


def test_sampling_never_makes_the_bound_worse():
    # The bound for half of the clients is above that of all clients, as far as the accountant knows; both hold.
    everybody = spent_epsilon(privacy_of(), num_clients=100, num_asked=100, rounds=20)
    assert spent_epsilon(privacy_of(), num_clients=100, num_asked=50, rounds=20) <= everybody


def test_without_noise_there_is_no_bound():
    assert spent_epsilon(privacy_of(noise_multiplier=0.0), num_clients=9, num_asked=9, rounds=1) == math.inf
