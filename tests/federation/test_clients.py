"""Who takes part in a round."""

import pytest

from fedprime.federation.clients import choose_clients


def test_all_clients_take_part_at_fraction_one():
    assert choose_clients(5, 1.0, seed=3, round_number=8) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(("fraction", "expected"), [(0.5, 5), (0.25, 2), (0.1, 1), (0.001, 1)])
def test_as_many_clients_take_part_as_asked_and_never_none(fraction: float, expected: int):
    chosen = choose_clients(10, fraction, seed=0, round_number=0)
    assert len(chosen) == len(set(chosen)) == expected
    assert set(chosen) <= set(range(10))


def test_the_chosen_clients_are_in_ascending_order():
    assert all(
        list(chosen) == sorted(chosen) for chosen in (choose_clients(50, 0.3, 0, number) for number in range(20))
    )


def test_other_clients_take_part_in_every_round_and_for_every_seed():
    rounds = {choose_clients(20, 0.5, seed=0, round_number=number) for number in range(20)}
    seeds = {choose_clients(20, 0.5, seed=seed, round_number=0) for seed in range(20)}
    assert len(rounds) == len(seeds) == 20


def test_over_many_rounds_every_client_takes_part_equally_often():
    counts = [0] * 10
    for number in range(1000):
        for client in choose_clients(10, 0.3, seed=0, round_number=number):
            counts[client] += 1
    # Binomial with mean 300 and standard deviation 14.5.
    assert all(abs(count - 300) < 5 * 14.5 for count in counts)
