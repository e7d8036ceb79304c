"""Clipping, medians and trimmed means, worked by hand."""

import math

import pytest
import torch

from fedprime.methods.aggregation.robust import (
    Aggregation,
    clip_towards,
    coordinate_median,
    robust_mean,
    supported_centres,
    trimmed_mean,
)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None]


def test_a_change_is_clipped_over_all_values_together():
    received = {"head": torch.tensor([1.0]), "pool": torch.tensor([1.0])}
    changes, norm = clip_towards(received, {"head": torch.tensor([7.0]), "pool": torch.tensor([9.0])}, 5.0)
    assert norm == 10.0  # 6 and 8
    assert changes["head"].item() == pytest.approx(3.0)
    assert changes["pool"].item() == pytest.approx(4.0)


@pytest.mark.parametrize("clip_norm", [5.0, 6.0, math.inf])
def test_a_change_within_the_norm_stays_as_it_is(clip_norm: float):
    changes, norm = clip_towards({"head": torch.zeros(2)}, {"head": torch.tensor([3.0, 4.0])}, clip_norm)
    assert norm == 5.0
    assert changes["head"].tolist() == [3.0, 4.0]


def test_the_median_of_an_even_number_is_the_mean_of_the_middle_two():
    assert coordinate_median(column(9.0, 1.0, 2.0, -50.0)).item() == 1.5


def test_the_median_is_taken_of_every_coordinate_by_itself():
    values = torch.tensor([[1.0, 30.0], [2.0, 20.0], [3.0, 10.0]])
    assert coordinate_median(values).tolist() == [2.0, 20.0]


@pytest.mark.parametrize(
    ("share", "mean"),
    [
        (0.0, 22.0),  # (100 + 4 + 3 + 2 + 1) / 5
        (0.1, 3.0),  # half a client is a whole one: 2, 3, 4 remain
        (0.2, 3.0),
        (0.3, 3.0),  # 1.5 clients are two: 3 remains
        (0.49, 3.0),
    ],
)
def test_a_trimmed_mean_leaves_out_whole_clients_at_each_end(share: float, mean: float):
    assert trimmed_mean(column(3.0, 100.0, 1.0, 4.0, 2.0), share).item() == pytest.approx(mean)


def test_three_tenths_of_ten_clients_are_three():
    values = column(*[float(2**power) for power in range(10)])
    assert trimmed_mean(values, 0.3).item() == (8 + 16 + 32 + 64) / 4


def test_of_two_clients_nobody_can_be_left_out():
    assert trimmed_mean(column(1.0, 3.0), 0.45).item() == 2.0


@pytest.mark.parametrize("aggregation", ["median", "trimmed-mean"])
def test_hostile_clients_cannot_leave_the_range_of_honest_ones(aggregation: Aggregation):
    honest = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    for lie in (-1e30, 1e30):
        combined = robust_mean(aggregation, 0.3)(torch.cat([honest, torch.full((3, 5), lie)]))
        assert ((combined >= honest.amin(0)) & (combined <= honest.amax(0))).all()


def test_without_hostile_clients_in_mind_it_is_the_plain_mean():
    assert robust_mean("mean", 0.3)(column(1.0, 2.0, 6.0)).item() == 3.0


def test_a_centre_that_no_more_clients_use_than_may_be_hostile_is_dropped():
    pools = [torch.tensor([[0.0], [8.0]]), torch.tensor([[8.5], [1.0]]), torch.tensor([[0.5], [90.0]])]
    matches = [torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([0, 2])]
    # Of three clients one may be hostile; centre 2 has one user.
    centres, told = supported_centres(pools, matches, 3, coordinate_median, hostile_share=1 / 3)
    assert centres.tolist() == [[0.5], [8.25]]
    assert told == [[0, 1], [1, 0], [0, None]]


def test_numbers_of_the_centres_that_are_left_close_the_gap():
    pools = [torch.tensor([[5.0]]), torch.tensor([[5.0]]), torch.tensor([[-70.0]])]
    matches = [torch.tensor([1]), torch.tensor([1]), torch.tensor([0])]
    centres, told = supported_centres(pools, matches, 2, coordinate_median, hostile_share=0.4)
    assert centres.tolist() == [[5.0]]
    assert told == [[0], [0], [None]]
