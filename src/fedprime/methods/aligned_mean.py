"""The server step that methods with aligned prompts share: one pool is aligned, everything else is averaged.

Source: Federated Prompt-Tuning with Heterogeneous and Incomplete Multimodal Client Data. ICCV 2025, arXiv 2602.07081;
Probabilistic Federated Prompt-Tuning. NeurIPS 2024, arXiv 2502.19752.
"""

from collections.abc import Sequence
from typing import Literal

import torch

from fedprime.methods.aggregation.alignment import align
from fedprime.methods.aggregation.robust import robust_mean, supported_centres
from fedprime.methods.method import Method, ServerState, Update


def aligned_mean(
    current: ServerState,
    updates: Sequence[Update],
    method: Method,
    *,
    rng: torch.Generator,
    max_centres: int,
    likelihood: Literal["mean", "sum"],
    num_alternations: int,
) -> ServerState:
    """Aligns a pool, starting from the centres of the round before, and averages everything else.

    Which prompts met in which centre is told as the observation ``matches``: by the pool's own name, for each client
    that answered, in the order of clients, the centre of each of its prompts.

    Under a robust aggregation, a centre is made by it from the prompts that met there, and one that hostile clients
    alone could have opened is dropped; its prompts are told as matched to None. If that leaves no centre, the pool
    stays as it was.

    Args:
        updates: What came back, at least one.
        method: Says which parameter is aligned, and how everything else is averaged.
        max_centres: How many centres there may be; a pool that is larger already keeps its size.
        likelihood: Whether evidence about a match is the mean over coordinates, or their sum as in the paper.
        num_alternations: How often to alternate between centres and matches.
    """
    pool = method.aligned
    sent, prompts = current.shared[pool], [update.weights[pool] for update in updates]
    alignment = align(
        prompts,
        rng=rng,
        initial_centres=sent,
        max_centres=max(max_centres, len(sent)),
        likelihood=likelihood,
        num_alternations=num_alternations,
    )
    centres, matches = alignment.centres, [matched.tolist() for matched in alignment.matches]
    if method.aggregation != "mean":
        combine = robust_mean(method.aggregation, method.hostile_share)
        found, matches = supported_centres(prompts, alignment.matches, len(centres), combine, method.hostile_share)
        centres = found if len(found) else sent
    shared = {**current.shared, **method.average(updates, without={pool}), pool: centres}
    return ServerState(shared, observations={"matches": {pool.rpartition(".")[2]: matches}})
