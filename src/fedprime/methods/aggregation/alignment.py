"""Alignment: which prompts of different clients mean the same, and the centres that stand for them.

Client ``t``'s prompts ``w_t^p`` are noisy draws around shared centres ``theta_q``, and a client uses a centre at most
once. With ``alpha_t^{pq} = 1`` where prompt ``p`` of client ``t`` is matched to centre ``q``, and ``m_tq`` its sum over
``p``, alignment lowers ``G + R``,

    G = - sum_t sum_p sum_q alpha_t^{pq} log N(w_t^p; theta_q, diag(sigma_gamma(theta_q)^2))
    R = - sum_t sum_q [m_tq log U_zeta(theta_q) + (1 - m_tq) log(1 - U_zeta(theta_q))]

in turn over the centres and two small networks (``theta``, ``gamma``, ``zeta``) and over the matches (``alpha``).

Source: Federated Prompt-Tuning with Heterogeneous and Incomplete Multimodal Client Data (ICCV 2025, arXiv 2602.07081),
server step; Probabilistic Federated Prompt-Tuning (NeurIPS 2024, arXiv 2502.19752).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import logsigmoid

from fedprime.methods.aggregation.alignment_start import (
    canonical_order,
    ordered_pools,
    origin_and_unit,
    starting_centres,
)
from fedprime.methods.aggregation.mixture import (
    DEVIATION_FLOOR,
    Mixture,
    Prompts,
    assign,
    constant_network,
    fit,
    gather_statistics,
)

#: Per coordinate, in units of the distance between two prompts of one client.
_START_DEVIATION = 0.25


@dataclass(frozen=True)
class Alignment:
    """The centres found and the prompts that belong to them.

    Attributes:
        centres: The mean of the prompts matched to each centre: surviving initial centres first, in the order they were
            given, then new ones. Data type and device are those of the first client's prompts.
        matches: For each client, in the caller's order, the centre that each of its prompts was matched to.
        popularity: Learnt probability, strictly between 0 and 1, that a client uses the centre.
        objective: ``G + R`` at the start and after every half step; it never rises.
    """

    centres: Float[Tensor, "centre dim"]
    matches: tuple[Int64[Tensor, " _prompt"], ...]
    popularity: Float[Tensor, " centre"]
    objective: tuple[float, ...]


def align(
    client_prompts: Sequence[Float[Tensor, "_prompt dim"]],
    *,
    rng: torch.Generator,
    initial_centres: Float[Tensor, "centre dim"] | None = None,
    max_centres: int | None = None,
    likelihood: Literal["mean", "sum"] = "mean",
    num_alternations: int = 5,
    num_gradient_steps: int = 15,
) -> Alignment:
    """Matches the clients' prompts to shared centres, at most one prompt of a client to each.

    The result does not depend on the order of clients or of prompts, nor on the prompts' scale and offset, nor, to the
    bit, on the number of threads: those of torch (`torch.set_num_threads`) solve for different clients at one time.
    Time and memory grow linearly in the clients; beside the given prompts there is one copy in double precision.

    Args:
        client_prompts: One pool per client; pools may differ in size.
        rng: Where the weights of the two networks come from (CPU).
        initial_centres: Last round's centres. Those that are still used keep their order.
        max_centres: How many centres there may be, at least the largest pool. By default twice the largest pool; the
            total number of prompts leaves it unbounded.
        likelihood: ``"mean"`` counts the log-likelihood of a prompt per coordinate, so that it weighs as much as the
            popularity; ``"sum"`` is the paper's, under which a prompt of several hundred coordinates gains so much by a
            centre of its own that pools grow to ``max_centres``.
        num_alternations: At most so many times both half steps; fewer when the matches stop changing.
        num_gradient_steps: Steps on the deviation network in a half step; the popularity network, far cheaper, takes
            three times as many.

    Returns:
        Centres, matches, popularity and the course of the objective.

    Raises:
        ValueError: If a pool is empty, not finite or of another width, or a number is out of range.

    Source: arXiv 2602.07081, server-side clustering and alignment; arXiv 2502.19752.

    Differs from the reference: popularity counts all clients instead of one at a time; centres are the means of what is
    matched to them instead of the outcome of gradient steps; their number is bounded; they can start from given ones.

    >>> here, there = torch.tensor([[0.0, 0.0], [4.0, 4.0]]), torch.tensor([[4.0, 4.2], [0.0, 0.2]])
    >>> align([here, there], rng=torch.Generator(), initial_centres=here).matches
    (tensor([0, 1]), tensor([1, 0]))
    """
    _check(client_prompts, initial_centres, max_centres, likelihood, min(num_alternations, num_gradient_steps))
    if max_centres is None:
        largest_pool = max(len(pool) for pool in client_prompts)
        max_centres = max(2 * largest_pool, 0 if initial_centres is None else len(initial_centres))

    with _single_threaded() as num_threads:
        return _align(
            client_prompts,
            rng,
            initial_centres,
            max_centres,
            weigh_by_coordinates=likelihood == "mean",
            num_alternations=num_alternations,
            num_gradient_steps=num_gradient_steps,
            num_threads=num_threads,
        )


def _align(
    client_prompts: Sequence[Float[Tensor, "_prompt dim"]],
    rng: torch.Generator,
    initial_centres: Float[Tensor, "centre dim"] | None,
    max_centres: int,
    *,
    weigh_by_coordinates: bool,
    num_alternations: int,
    num_gradient_steps: int,
    num_threads: int,
) -> Alignment:
    order = canonical_order(client_prompts)
    sizes = [len(rows) for _, rows in order]
    dim = client_prompts[0].shape[1]
    # The one large matrix in double precision; it is standardised in place.
    points = torch.empty(sum(sizes), dim, dtype=torch.float64)
    for place, pool in zip(points.split(sizes), ordered_pools(client_prompts, order), strict=True):
        place.copy_(pool)
    largest = max(abs(bound.item()) for bound in points.aminmax())
    rounding = torch.finfo(client_prompts[0].dtype).eps * largest
    origin, unit = origin_and_unit(points.split(sizes), rounding)
    points.sub_(origin).div_(unit)
    prompts = Prompts(points, sizes, weight=1 / dim if weigh_by_coordinates else 1.0)
    warm = points[:0] if initial_centres is None else (initial_centres.detach().to(points) - origin) / unit

    centres, log_odds = starting_centres(prompts, warm, max_centres)
    start = torch.full_like(centres, _START_DEVIATION)
    matches, _ = assign(prompts, centres, start, log_odds, num_threads=num_threads)
    deviation_network = constant_network(dim, dim, math.log(math.expm1(_START_DEVIATION - DEVIATION_FLOOR)), rng)
    model = Mixture(centres, deviation_network, constant_network(dim, 1, 0.0, rng))
    statistics = gather_statistics(prompts, matches, centres)
    objective = [model.objective(statistics)]
    for _ in range(num_alternations):
        model = fit(model, statistics, num_gradient_steps)
        objective.append(model.objective(statistics))
        previous = matches
        matches, cost = assign(prompts, model.centres, model.deviation, model.log_odds, previous, num_threads)
        objective.append(cost - len(sizes) * logsigmoid(-model.log_odds).sum().item())
        if torch.equal(matches, previous):
            break
        statistics = gather_statistics(prompts, matches, model.centres)

    used, matches = matches.unique(return_inverse=True)
    # From the prompts as they came: identical prompts give back the same prompts, untouched by standardising.
    centres = points.new_zeros(len(used), dim)
    for matched, pool in zip(matches.split(sizes), ordered_pools(client_prompts, order), strict=True):
        centres.index_add_(0, matched, pool)
    centres /= matches.bincount()[:, None]
    popularity = replace(model, centres=(centres - origin) / unit).log_odds.sigmoid()
    of_client = {
        client: torch.empty_like(matched).index_copy_(0, rows, matched)
        for (client, rows), matched in zip(order, matches.split(sizes), strict=True)
    }
    return Alignment(
        centres.to(client_prompts[0]),
        tuple(of_client[client] for client in range(len(client_prompts))),
        popularity.to(client_prompts[0].device, torch.float32),
        tuple(objective),
    )


@contextmanager
def _single_threaded() -> Iterator[int]:
    """Keeps torch from dividing sums among threads, which would change their last bits; gives the threads there are."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield num_threads
    finally:
        torch.set_num_threads(num_threads)


def _check(
    client_prompts: Sequence[Tensor],
    initial_centres: Tensor | None,
    max_centres: int | None,
    likelihood: str,
    fewest_steps: int,
) -> None:
    """Raises a ValueError that says what is wrong with the input, if anything is."""
    if not client_prompts:
        raise ValueError("found no client, expected at least one; skip the alignment of a round that nobody answered")
    named = [(f"prompts of client {client}", pool) for client, pool in enumerate(client_prompts)]
    named += [] if initial_centres is None else [("initial centres", initial_centres)]
    for name, values in named:
        shape = tuple(values.shape)
        if values.ndim != 2 or 0 in shape:
            raise ValueError(
                f"found {name} of shape {shape}, expected (prompt, dim), neither of them 0; leave them out"
            )
        if shape[1] != client_prompts[0].shape[1]:
            dim = client_prompts[0].shape[1]
            raise ValueError(f"found {name} of shape {shape}, expected (prompt, {dim}) as client 0 has; leave them out")
        if not (values.is_floating_point() and values.isfinite().all()):
            raise ValueError(f"found NaN, infinity or integers in {name}, expected finite floats; leave them out")
    least = max(len(values) for _, values in named)
    if max_centres is not None and max_centres < least:
        raise ValueError(
            f"found max_centres={max_centres}, expected at least {least}, the largest pool or initial pool; raise it"
        )
    if likelihood not in ("mean", "sum"):
        raise ValueError(f"found likelihood={likelihood!r}, expected 'mean' or 'sum'; choose one of them")
    if fewest_steps < 1:
        raise ValueError(f"found {fewest_steps} alternations or gradient steps, expected at least 1; raise the number")
