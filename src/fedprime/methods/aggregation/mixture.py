"""The probabilistic model of prompts behind alignment, and the two half steps that improve it.

A prompt is a normal draw around the centre that it is matched to, with a standard deviation per coordinate that a small
network gives for the centre (``sigma_gamma``); another gives the centre's popularity (``U_zeta``), the probability that
a client uses it. `fit` improves centres and networks while matches stand still, `assign` the matches while they do.

Source: arXiv 2602.07081, server-side clustering and alignment; arXiv 2502.19752.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus, softsign

from fedprime.methods.aggregation.mixture_gradients import (
    LossWithGradient,
    Network,
    likelihood_loss,
    popularity_loss,
)

#: The smallest standard deviation, in units of the distance between two prompts of one client.
DEVIATION_FLOOR = 0.02
# Popularity stays within 0.0001 and 0.9999: 0 or 1 would make the cost of a match infinite.
_LARGEST_LOG_ODDS = math.log(9999)
_HIDDEN_WIDTH = 32
#: Prompts that are worked on together: enough to be fast, little beside all.
ROWS_AT_ONCE = 512
_CLIENTS_AT_ONCE = 64


class Prompts(NamedTuple):
    """All clients' prompts in canonical order and standard units, and the weight of a coordinate's log-likelihood."""

    points: Float64[Tensor, "row dim"]
    sizes: list[int]
    weight: float


class Statistics(NamedTuple):
    """All that the objective needs to know of the prompts while the matches stand still."""

    num_clients: int
    weight: float
    counts: Float64[Tensor, " centre"]
    means: Float64[Tensor, "centre dim"]
    squares: Float64[Tensor, "centre dim"]


def gather_statistics(
    prompts: Prompts, matches: Int64[Tensor, " row"], centres: Float64[Tensor, "centre dim"]
) -> Statistics:
    """Returns number, mean and squared deviations of what is matched to each centre; an unused one stays in place.

    A match of -1 is none. Rows are added in their order, some at a time: no second matrix as large as all prompts.
    """

    def parts() -> Iterator[tuple[Tensor, Tensor]]:
        blocks = zip(prompts.points.split(ROWS_AT_ONCE), matches.split(ROWS_AT_ONCE), strict=True)
        for points, centre in blocks:
            is_matched = centre >= 0
            yield (points, centre) if is_matched.all() else (points[is_matched], centre[is_matched])

    counts = matches[matches >= 0].bincount(minlength=len(centres)).to(centres)
    number = counts[:, None]
    means, squares = torch.zeros_like(centres), torch.zeros_like(centres)
    for points, centre in parts():
        means.index_add_(0, centre, points)
    means /= number.clamp(min=1)
    for points, centre in parts():
        squares.index_add_(0, centre, (points - means[centre]).square_())
    return Statistics(len(prompts.sizes), prompts.weight, counts, means.where(number > 0, centres), squares)


def constant_network(dim: int, num_outputs: int, start: float, rng: torch.Generator) -> Network:
    """Returns a network that has random features and gives ``start`` for every input."""
    features = torch.randn(dim, _HIDDEN_WIDTH, generator=rng, dtype=torch.float32) * (2 / math.sqrt(dim))
    readout = features.new_zeros(_HIDDEN_WIDTH, num_outputs)
    return Network(features, features.new_zeros(_HIDDEN_WIDTH), readout, features.new_full((num_outputs,), start))


def descend(network: Network, loss: Callable[[Network], LossWithGradient], num_steps: int) -> Network:
    """Returns the best network met in some steps of L-BFGS, the given one if none is better."""
    # All weights lie in one tensor, which the optimiser would put them into at each of its steps and changes in place.
    flat = torch.cat([values.flatten() for values in network]).requires_grad_()
    flat.grad = torch.empty_like(flat)
    weights, gradient, best = flat.detach(), flat.grad, flat.detach().clone()
    moving, lowest = _as_network(weights, network), math.inf

    def closure() -> Tensor:
        nonlocal lowest
        value, gradients = loss(moving)
        torch.cat([part.flatten() for part in gradients], out=gradient)
        if value.item() < lowest:
            best.copy_(weights)
            lowest = value.item()
        return value

    torch.optim.LBFGS([flat], max_iter=num_steps, history_size=5, line_search_fn="strong_wolfe").step(closure)
    return _as_network(best, network)


def _as_network(flat: Tensor, network: Network) -> Network:
    """Returns views of a tensor of all weights, in the shapes of a network's."""
    parts = flat.split([values.numel() for values in network])
    return Network(*(part.view_as(values) for part, values in zip(parts, network, strict=True)))


@dataclass(frozen=True)
class Mixture:
    """Where the centres lie (theta), how prompts scatter about them (sigma_gamma), how popular they are (U_zeta)."""

    centres: Float64[Tensor, "centre dim"]
    deviation_network: Network
    popularity_network: Network

    @cached_property
    def deviation(self) -> Float64[Tensor, "centre dim"]:
        """The standard deviation of every coordinate about every centre."""
        # The floor keeps a centre with a single prompt from infinite likelihood.
        return DEVIATION_FLOOR + softplus(self.deviation_network(self.centres))

    @cached_property
    def log_odds(self) -> Float64[Tensor, " centre"]:
        """The log-odds of every centre's popularity."""
        # softsign and not a clamp: beyond a clamp there is no gradient to come back by.
        return _LARGEST_LOG_ODDS * softsign(self.popularity_network(self.centres).squeeze(1) / _LARGEST_LOG_ODDS)

    def likelihood_term(self, statistics: Statistics) -> Float64[Tensor, ""]:
        """Returns G."""
        number, deviation = statistics.counts[:, None], self.deviation
        squares = statistics.squares + number * (statistics.means - self.centres).square()
        log_scale = deviation.log() + 0.5 * math.log(2 * math.pi)
        return statistics.weight * (number * log_scale + squares / (2 * deviation.square())).sum()

    def likelihood_loss(self, statistics: Statistics) -> Callable[[Network], LossWithGradient]:
        """Returns what gives G for another deviation network, with its gradient."""
        number = statistics.counts[:, None]
        squares = statistics.squares + number * (statistics.means - self.centres).square()
        known = (self.centres.float(), number, squares, statistics.weight, DEVIATION_FLOOR)
        return lambda network: likelihood_loss(network, *known)

    def popularity_loss(self, statistics: Statistics) -> Callable[[Network], LossWithGradient]:
        """Returns what gives R for another popularity network, with its gradient."""
        known = (self.centres.float(), statistics.counts, statistics.num_clients - statistics.counts, _LARGEST_LOG_ODDS)
        return lambda network: popularity_loss(network, *known)

    def popularity_term(self, statistics: Statistics) -> Float64[Tensor, ""]:
        """Returns R."""
        log_odds, unused = self.log_odds, statistics.num_clients - statistics.counts
        return -(statistics.counts * logsigmoid(log_odds) + unused * logsigmoid(-log_odds)).sum()

    def objective(self, statistics: Statistics) -> float:
        """Returns G + R."""
        return (self.likelihood_term(statistics) + self.popularity_term(statistics)).item()


def fit(model: Mixture, statistics: Statistics, num_steps: int) -> Mixture:
    """Returns a model of lower G + R for the same matches: the first half step.

    Given the deviations, the best centre is the mean of its prompts. But deviation and popularity are functions of the
    centre, so that moving there could raise the objective; then the centres stay and the networks alone are improved.
    """
    before = model.objective(statistics)
    for at in (replace(model, centres=statistics.means), model):
        model = replace(
            at,
            deviation_network=descend(at.deviation_network, at.likelihood_loss(statistics), num_steps),
            popularity_network=descend(at.popularity_network, at.popularity_loss(statistics), 3 * num_steps),
        )
        if model.objective(statistics) <= before:
            break
    return model


def assign(
    prompts: Prompts,
    centres: Float64[Tensor, "centre dim"],
    deviation: Float64[Tensor, "centre dim"],
    log_odds: Float64[Tensor, " centre"],
    previous: Int64[Tensor, " row"] | None = None,
    num_threads: int = 1,
) -> tuple[Int64[Tensor, " row"], float]:
    """Returns each client's cheapest matches and their total cost: the second half step.

    A match costs ``-log N - log U + log(1 - U)``. A client keeps its previous ones unless others are truly cheaper.
    Clients are independent: with several threads, groups of them are solved at the same time, to the same bits.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import, and only some methods need it

    precision = prompts.weight * deviation.pow(-2)
    constant = prompts.weight * (deviation.log() + 0.5 * math.log(2 * math.pi)).sum(1) - log_odds
    squared_centres = 0.5 * (centres.square() * precision).sum(1)
    quadratic, linear = 0.5 * precision.T, (centres * precision).T

    def cost_of(pool: Float64[Tensor, "prompt dim"], matched: Int64[Tensor, " prompt"]) -> float:
        deviations = (pool - centres[matched]).square() * precision[matched]
        return (0.5 * deviations.sum() + constant[matched].sum()).item()

    def solve(found: Int64[Tensor, " prompt"], pool: Float64[Tensor, "prompt dim"], old: Tensor | None) -> float:
        costs = pool.square() @ quadratic - pool @ linear + squared_centres + constant
        new = torch.from_numpy(linear_sum_assignment(costs.numpy())[1])
        # The squares multiplied out lose digits far from the origin: what is compared and reported is computed plainly.
        cost = cost_of(pool, new)
        if old is not None and not torch.equal(new, old):
            old_cost = cost_of(pool, old)
            # A billionth is rounding: without it, matches of equal cost could alternate for ever.
            if cost >= old_cost - 1e-9 * (1 + abs(old_cost)):
                new, cost = old, old_cost
        found.copy_(new)
        return cost

    # One tensor for all: small ones that stay, between large ones that go, would scatter over as much memory as these.
    matches = torch.empty(len(prompts.points), dtype=torch.int64)
    kept = [None] * len(prompts.sizes) if previous is None else previous.split(prompts.sizes)
    clients = list(zip(matches.split(prompts.sizes), prompts.points.split(prompts.sizes), kept, strict=True))
    # Summed in the order of clients: the same to the bit, whoever solved them.
    return matches, sum(_for_each(solve, clients, num_threads), start=0.0)


def _for_each(
    solve: Callable[[Tensor, Tensor, Tensor | None], float],
    clients: Sequence[tuple[Tensor, Tensor, Tensor | None]],
    num_threads: int,
) -> list[float]:
    """Solves all clients, and returns their costs in their order; in threads where there are enough to be worth it."""
    groups = [clients[first : first + _CLIENTS_AT_ONCE] for first in range(0, len(clients), _CLIENTS_AT_ONCE)]

    def solve_group(group: Sequence[tuple[Tensor, Tensor, Tensor | None]]) -> list[float]:
        return [solve(*client) for client in group]

    num_threads = min(num_threads, len(groups))
    if num_threads < 2:
        return [cost for group in groups for cost in solve_group(group)]
    with ThreadPoolExecutor(num_threads) as threads:
        return [cost for costs in threads.map(solve_group, groups) for cost in costs]
