"""Prompts of several models become one set."""

import pytest
import torch

from fedprime.methods.aggregation.joining import join_prompts
from fedprime.reproducibility.seeding import torch_stream


def drawn(num_prompts: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(num_prompts, 8, generator=torch_stream(seed, "prompts"))


def nearest(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float(torch.cdist(ours, theirs).min(dim=1).values.max())


def test_aligned_prompts_find_each_other_at_whatever_position():
    prompts = drawn(6)
    moved = prompts[torch.tensor([3, 0, 5, 1, 4, 2])] + 0.01
    joined = join_prompts([prompts, moved], [1, 3], torch_stream(0, "networks"))
    assert joined.shape == prompts.shape
    assert nearest(prompts + 0.0075, joined) < 1e-5  # a quarter and three


def test_a_set_grows_only_where_it_may():
    pools = [drawn(5, seed) for seed in range(3)]
    assert len(join_prompts(pools, [1, 1, 1], torch_stream(0, "networks"), grows=False)) == 5
    assert 5 < len(join_prompts(pools, [1, 1, 1], torch_stream(0, "networks"))) <= 10


def test_the_order_of_models_does_not_matter():
    pools, counts = [drawn(4), drawn(4, 1) * 0.1 + drawn(4), drawn(4, 2)], [1.0, 2.0, 5.0]
    ours = join_prompts(pools, counts, torch_stream(0, "networks"))
    theirs = join_prompts(pools[::-1], counts[::-1], torch_stream(0, "networks"))
    assert nearest(ours, theirs) == pytest.approx(0, abs=1e-5)
