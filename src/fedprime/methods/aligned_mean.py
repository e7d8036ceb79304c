"""The server step that methods with aligned prompts share: one pool is aligned, everything else is averaged.

Source: Federated Prompt-Tuning with Heterogeneous and Incomplete Multimodal Client Data. ICCV 2025, arXiv 2602.07081;
Probabilistic Federated Prompt-Tuning. NeurIPS 2024, arXiv 2502.19752.
"""

from collections.abc import Sequence
from typing import Literal

import torch

from fedprime.alignment import align
from fedprime.methods.method import ServerState, Update, weighted_mean

__all__ = ["aligned_mean"]


def aligned_mean(
    current: ServerState,
    updates: Sequence[Update],
    pool: str,
    *,
    rng: torch.Generator,
    max_centres: int,
    likelihood: Literal["mean", "sum"],
    num_alternations: int,
) -> ServerState:
    """Aligns a pool, starting from the centres of the round before, and averages everything else.

    Which prompts met in which centre is told as the observation ``matches``: by the pool's own name, for each client
    that answered, in the order of clients, the centre of each of its prompts.

    Args:
        current: What the server sent out.
        updates: What came back, at least one.
        pool: Name of the parameter that is aligned.
        rng: Source of the alignment's initial networks.
        max_centres: How many centres there may be; a pool that is larger already keeps its size.
        likelihood: Whether evidence about a match is the mean over coordinates, or their sum as in the paper.
        num_alternations: How often to alternate between centres and matches.
    """
    sent = current.shared[pool]
    alignment = align(
        [update.weights[pool] for update in updates],
        rng=rng,
        initial_centres=sent,
        max_centres=max(max_centres, len(sent)),
        likelihood=likelihood,
        num_alternations=num_alternations,
    )
    matches = {pool.rpartition(".")[2]: [centres.tolist() for centres in alignment.matches]}
    shared = {**current.shared, **weighted_mean(updates, without={pool}), pool: alignment.centres}
    return ServerState(shared, observations={"matches": matches})
