"""Prompts of models that started apart become one set: aligned, as the server step of FED-PRIME does it.

Position says nothing where pools did not start equal. `join_prompts` finds which prompts mean the same; those that meet
in a centre are averaged, each model weighted by its samples.

Source: Federated Prompt-Tuning with Heterogeneous and Incomplete Multimodal Client Data. ICCV 2025, arXiv 2602.07081,
server step.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.methods.aggregation.alignment import align

__all__ = ["Joining", "join_prompts"]

#: How prompts become one set: those that mean the same are averaged, or those of the same position.
Joining = Literal["align", "average"]


def join_prompts(
    pools: Sequence[Float[Tensor, "_prompt dim"]],
    num_samples: Sequence[int | float],
    rng: torch.Generator,
    *,
    grows: bool = True,
) -> Float[Tensor, "centre dim"]:
    """Returns one set of prompts.

    Args:
        num_samples: What each of them counts, above 0.
        rng: Source of the alignment's initial networks.
        grows: Whether there may be more prompts than in the largest pool, up to twice as many.

    >>> pools = [torch.tensor([[0.0, 0.0], [4.0, 4.0]]), torch.tensor([[4.0, 4.2], [0.0, 0.2]])]
    >>> join_prompts(pools, [1, 3], torch.Generator()).sort(dim=0).values
    tensor([[0.0000, 0.1500],
            [4.0000, 4.1500]])
    """
    largest = max(len(pool) for pool in pools)
    alignment = align(pools, rng=rng, max_centres=2 * largest if grows else largest)
    total = torch.zeros(alignment.centres.shape, dtype=torch.float64)
    weight = torch.zeros(len(total), 1, dtype=torch.float64)
    for pool, matched, count in zip(pools, alignment.matches, num_samples, strict=True):
        total.index_add_(0, matched, count * pool.double())
        weight.index_add_(0, matched, torch.full((len(pool), 1), float(count), dtype=torch.float64))
    return (total / weight).to(pools[0].dtype)
