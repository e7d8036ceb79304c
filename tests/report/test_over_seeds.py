"""Rounds that every seed has measured, with mean and deviation."""

import pytest

from fedprime.report.over_seeds import over_seeds


def test_only_rounds_that_every_seed_has_measured_count():
    rounds, mean, deviation = over_seeds([[None, 1.0, 2.0, 9.0], [0.5, 3.0, 4.0]])
    assert rounds.tolist() == [2, 3]
    assert mean.tolist() == [2, 3]
    assert deviation.tolist() == pytest.approx([2**0.5, 2**0.5])  # of two values that differ by 2, n - 1


def test_one_seed_has_no_deviation():
    assert over_seeds([[1, 2]])[2].tolist() == [0, 0]


def test_the_start_ends_with_round_0():
    rounds, mean, _ = over_seeds([[None, None, 0.5, 0.6], [None, None, 0.7, 0.8]], start=3)
    assert rounds.tolist() == [0, 1]
    assert mean.tolist() == pytest.approx([0.6, 0.7])
