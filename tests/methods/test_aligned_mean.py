"""The server step with one aligned pool: what is aligned, what is averaged, what is told about it."""

import json
from typing import Literal

import pytest
import torch

from fedprime.methods.aggregation.alignment import align
from fedprime.methods.aggregation.robust import Aggregation
from fedprime.methods.aligned_mean import aligned_mean
from fedprime.methods.fedprime import FedPrime
from fedprime.methods.method import ServerState, Update
from fedprime.reproducibility.seeding import torch_stream

POOL = "prompter.pools.inter"


def server(
    current: torch.Tensor,
    *pools: torch.Tensor,
    max_centres: int = 8,
    likelihood: Literal["mean", "sum"] = "mean",
    aggregation: Aggregation = "mean",
) -> ServerState:
    updates = [Update(client, 10 + client, {POOL: pool, "head": pool[0]}) for client, pool in enumerate(pools)]
    return aligned_mean(
        ServerState({POOL: current, "head": current[0]}),
        updates,
        FedPrime(aggregation=aggregation),
        rng=torch_stream(0, "server"),
        max_centres=max_centres,
        likelihood=likelihood,
        num_alternations=5,
    )


@pytest.fixture
def prompts() -> torch.Tensor:
    """Four prompts of which no two could be taken for each other."""
    return 10 * torch.eye(6)[:4]


def test_it_tells_in_which_centre_each_prompt_of_each_client_met_others(prompts: torch.Tensor):
    # The second client has the same prompts in another order: its first prompt is the first client's third, and so on.
    state = server(prompts, prompts, prompts[[2, 0, 3, 1]])
    assert state.observations == {"matches": {"inter": [[0, 1, 2, 3], [2, 0, 3, 1]]}}


def test_what_it_tells_is_plain_json(prompts: torch.Tensor):
    observed = server(prompts, prompts, prompts + 0.01).observations
    assert json.loads(json.dumps(observed)) == observed


def test_pools_of_different_size_are_told_in_their_size(prompts: torch.Tensor):
    matches = server(prompts, prompts, prompts[:2]).observations["matches"]["inter"]
    assert [len(centres) for centres in matches] == [4, 2]


def test_the_pool_is_what_alignment_from_the_centres_before_makes_of_it(prompts: torch.Tensor):
    rng = torch_stream(0, "noise")
    pools = [prompts[[1, 0, 2, 3]] + torch.randn(4, 6, generator=rng) for _ in range(3)]
    state = server(prompts, *pools)
    expected = align(pools, rng=torch_stream(0, "server"), initial_centres=prompts, max_centres=8)
    assert torch.equal(state.shared[POOL], expected.centres)


def test_everything_else_is_averaged_by_samples(prompts: torch.Tensor):
    head = server(prompts, prompts, prompts + 2.1).shared["head"]
    torch.testing.assert_close(head, prompts[0] + 2.1 * 11 / 21)


def test_a_pool_beyond_the_bound_keeps_its_size(prompts: torch.Tensor):
    assert server(prompts, prompts, prompts, max_centres=2).shared[POOL].shape == (4, 6)


def test_with_the_median_a_centre_is_the_median_of_the_prompts_that_met_there(prompts: torch.Tensor):
    state = server(prompts, prompts, prompts + 0.1, prompts + 0.8, aggregation="median")
    torch.testing.assert_close(state.shared[POOL], prompts + 0.1)


def test_with_the_median_prompts_that_only_hostile_clients_have_reach_nobody(prompts: torch.Tensor):
    # One client in four, far from all: fewer than the 30 % that may be hostile.
    state = server(prompts, prompts, prompts, prompts, prompts + 50, aggregation="median")
    torch.testing.assert_close(state.shared[POOL], prompts)
    assert state.observations["matches"]["inter"] == [[0, 1, 2, 3]] * 3 + [[None] * 4]


def test_a_pool_of_which_nothing_can_be_trusted_stays_as_it_was():
    # Sixteen prompts as far from each other as those of one client are: each has a centre of its own.
    everything = 10 * torch.eye(16)
    state = server(everything[:4], *everything.split(4), max_centres=16, aggregation="trimmed-mean")
    assert state.observations["matches"]["inter"] == [[None] * 4] * 4
    assert torch.equal(state.shared[POOL], everything[:4])
