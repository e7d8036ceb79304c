"""Steps that go too far are left out, honest ones never; no site outweighs all others by its word."""

import pytest
import torch

from fedprime.federation.guard import Guard, unsound
from fedprime.federation.processors import ServerRound
from fedprime.methods.method import Method, ServerState, Update
from plain_method import Mean


def asked(received: float = 0.0, method: Method | None = None) -> ServerRound:
    return ServerRound(0, 0, (0, 1, 2), method or Mean(), ServerState({"head": torch.full((4,), received)}))


def updates(*steps: float, received: float = 0.0, samples: tuple[int, ...] = ()) -> list[Update]:
    counts = samples or (5,) * len(steps)
    return [
        Update(client, count, {"head": torch.full((4,), received + step)})
        for client, (step, count) in enumerate(zip(steps, counts, strict=True))
    ]


@pytest.mark.parametrize("wrong", [1e30, 3e38, -3e38, 5000.0])
def test_a_step_far_beyond_the_others_is_left_out_and_told(wrong: float):
    found = Guard().too_far(updates(1.0, wrong, 2.0), asked())
    assert found.keys() == {1}
    assert "that of the others 2;" in found[1]  # each of four values moved by 1: a step of 2 is the lower one


def test_steps_that_differ_as_honest_ones_do_all_count():
    assert Guard().too_far(updates(1.0, 400.0, 0.5), asked()) == {}


def test_where_the_others_have_converged_a_step_no_longer_than_what_is_there_counts():
    assert Guard().too_far(updates(1e-9, 0.9, 1e-9, received=1.0), asked(1.0)) == {}
    assert Guard().too_far(updates(1e-9, 1.1, 1e-9, received=1.0), asked(1.0)).keys() == {1}


def test_two_clients_cannot_throw_each_other_out():
    assert Guard().too_far(updates(1.0, 1e30), asked()).keys() == {1}
    assert Guard().too_far(updates(1e30), asked()) == {}


def test_it_can_be_switched_off_and_a_median_needs_none():
    assert Guard(max_step=0.0).too_far(updates(1.0, 1e30, 1.0), asked()) == {}
    assert Guard().too_far(updates(1.0, 1e30, 1.0), asked(method=Mean(aggregation="median"))) == {}


@pytest.mark.parametrize(("limit", "expected"), [(None, [5, 10**9, 7]), (0, [5, 70, 7]), (6, [5, 6, 6])])
def test_a_site_counts_as_no_more_samples_than_it_may(limit: int | None, expected: list[int]):
    weighed = Guard(max_samples=limit).weighed(updates(1.0, 1.0, 1.0, samples=(5, 10**9, 7)), are_sums=False)
    assert [update.num_samples for update in weighed] == expected
    assert all(torch.equal(update.weights["head"], torch.ones(4)) for update in weighed)


def test_sums_over_too_many_samples_are_scaled_down():
    weighed = Guard(max_samples=10).weighed(updates(40.0, 1.0, samples=(40, 5)), are_sums=True)
    assert [update.weights["head"][0].item() for update in weighed] == [10.0, 1.0]


def test_sums_over_other_samples_than_those_of_training_count_as_many_as_they_say():
    told = [
        Update(client, 5, {"value": torch.tensor([float(count)]), "count": torch.tensor([float(count)])}, {})
        for client, count in enumerate((4, 5000, 4))
    ]
    weighed = Guard(max_samples=0).weighed(told, are_sums=True)
    assert [update.weights["count"].item() for update in weighed] == [4.0, 50.0, 4.0]
    assert [update.weights["value"].item() for update in weighed] == [4.0, 50.0, 4.0]


def test_values_that_are_not_finite_are_named():
    fine = torch.ones(2)
    assert unsound(ServerState({"head": fine}, {3: {"query": fine}}, {"momentum": fine})) == ""
    broken = torch.tensor([1.0, float("inf")])
    assert unsound(ServerState({"head": fine}, {3: {"query": broken}})) == "query would not be finite"
    assert unsound(ServerState({"head": fine}, server={"momentum": broken})) == "momentum would not be finite"
