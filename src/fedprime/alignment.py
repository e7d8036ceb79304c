"""Alignment: which prompts of different clients mean the same, and the centres that stand for them.

Client ``t``'s prompts ``w_t^p`` are noisy draws around shared centres ``theta_q``, and a client uses a centre at most
once. With ``alpha_t^{pq} = 1`` where prompt ``p`` of client ``t`` is matched to centre ``q``, and ``m_tq`` its sum over
``p``, alignment lowers ``G + R``,

    G = - sum_t sum_p sum_q alpha_t^{pq} log N(w_t^p; theta_q, diag(sigma_gamma(theta_q)^2))
    R = - sum_t sum_q [m_tq log U_zeta(theta_q) + (1 - m_tq) log(1 - U_zeta(theta_q))]

in turn over the centres and two small networks (``theta``, ``gamma``, ``zeta``) and over the matches (``alpha``).

A descent ends where it starts from, so the start decides how many centres there will be. Two prompts of one client
differ in meaning by assumption: their distance is the yardstick, and prompts of different clients within half of it
start at one centre. From there prompts go where they are cheapest; popular centres draw in the stragglers.

Source: Federated Prompt-Tuning with Heterogeneous and Incomplete Multimodal Client Data (ICCV 2025, arXiv 2602.07081),
server step; Probabilistic Federated Prompt-Tuning (NeurIPS 2024, arXiv 2502.19752).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus, softsign

__all__ = ["Alignment", "align"]

# Lengths per coordinate, in units of the distance between two prompts of one client (see _origin_and_unit).
_REACH = 0.5
_START_DEVIATION = 0.25
_DEVIATION_FLOOR = 0.02
# Popularity stays within 0.0001 and 0.9999: 0 or 1 would make the cost of a match infinite.
_LARGEST_LOG_ODDS = math.log(9999)
_HIDDEN_WIDTH = 32


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

    The result does not depend on the order of clients or of prompts, nor on the prompts' scale and offset.

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

    pools = [pool.detach().to("cpu", torch.float64) for pool in client_prompts]
    caller_rows, sizes = _canonical_order(pools)
    rows = torch.cat(pools)[caller_rows]
    rounding = torch.finfo(client_prompts[0].dtype).eps * rows.abs().max().item()
    origin, unit = _origin_and_unit(rows.split(sizes), rounding)
    dim = rows.shape[1]
    prompts = _Prompts((rows - origin) / unit, sizes, weight=1 / dim if likelihood == "mean" else 1.0)
    warm = rows[:0] if initial_centres is None else (initial_centres.detach().to(rows) - origin) / unit

    centres, log_odds = _starting_centres(prompts, warm, max_centres)
    matches, _ = _assign(prompts, centres, torch.full_like(centres, _START_DEVIATION), log_odds)
    deviation_network = _network(dim, dim, math.log(math.expm1(_START_DEVIATION - _DEVIATION_FLOOR)), rng)
    model = _Model(centres, deviation_network, _network(dim, 1, 0.0, rng))
    objective = [model.objective(_statistics(prompts, matches, centres))]
    for _ in range(num_alternations):
        statistics = _statistics(prompts, matches, model.centres)
        model = _fit(model, statistics, num_gradient_steps)
        objective.append(model.objective(statistics))
        previous = matches
        matches, cost = _assign(prompts, model.centres, model.deviation(), model.log_odds(), previous)
        objective.append(cost - len(sizes) * logsigmoid(-model.log_odds()).sum().item())
        if torch.equal(matches, previous):
            break

    used, matches = matches.unique(return_inverse=True)
    # From the prompts as they came: identical prompts give back the same prompts, untouched by standardising.
    centres = rows.new_zeros(len(used), dim).index_add_(0, matches, rows) / matches.bincount()[:, None]
    popularity = replace(model, centres=(centres - origin) / unit).log_odds().sigmoid()
    matches = torch.empty_like(matches).index_copy_(0, caller_rows, matches).split([len(pool) for pool in pools])
    return Alignment(
        centres.to(client_prompts[0]), matches, popularity.to(client_prompts[0].device, torch.float32), tuple(objective)
    )


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


def _canonical_order(pools: Sequence[Float64[Tensor, "_prompt dim"]]) -> tuple[Int64[Tensor, " row"], list[int]]:
    """Returns the caller's rows and the pools' sizes in an order that depends on content only.

    Sums then run in the same order however the caller sorted clients and prompts. Any order will do: that of the bytes.
    """
    first_row, keyed = 0, []
    for pool in pools:
        keyed.append(sorted((row.tobytes(), first_row + index) for index, row in enumerate(pool.numpy())))
        first_row += len(pool)
    keyed.sort(key=lambda client: [key for key, _ in client])
    return torch.tensor([row for client in keyed for _, row in client]), [len(client) for client in keyed]


def _origin_and_unit(
    pools: Sequence[Float64[Tensor, "_prompt dim"]], rounding: float
) -> tuple[Float64[Tensor, " dim"], float]:
    """Returns where the prompts lie and how far apart, per coordinate, two of different meaning are.

    Two prompts of one client differ in meaning by assumption: their distance is the yardstick, plus what separates
    whole clients. When no client has two, nothing tells noise from meaning: the unit is then so long that one centre
    reaches them all. Medians over clients, so that a few wild ones do not set the scale for the others.
    """
    means = torch.stack([pool.mean(0) for pool in pools])
    origin = means.median(0).values
    squared_offsets = (means - origin).square().mean(1)
    variances = [pool.var(0).mean() for pool in pools if len(pool) > 1]
    if variances:
        # The mean squared distance of two prompts is twice their (unbiased) variance.
        unit = (2 * (torch.stack(variances).median() + squared_offsets.median())).sqrt().item()
    else:
        unit = 4 / _REACH * squared_offsets.max().sqrt().item()
    return origin, unit if unit > rounding else 1.0


class _Prompts(NamedTuple):
    """All clients' prompts in canonical order and standard units, and the weight of a coordinate's log-likelihood."""

    points: Float64[Tensor, "row dim"]
    sizes: list[int]
    weight: float


def _starting_centres(
    prompts: _Prompts, warm: Float64[Tensor, "warm dim"], max_centres: int
) -> tuple[Float64[Tensor, "centre dim"], Float64[Tensor, " centre"]]:
    """Returns the centres to start from and the log-odds of their popularity.

    A centre claims from each client the nearest prompt that is within reach and not yet claimed. Initial centres claim
    first, all together; then, while there is room, the unclaimed prompt farthest from every centre becomes one
    (Gonzalez 1985). A centre ends at the mean of its claims: left on a single prompt, it would hold on to that prompt.
    """
    points, sizes = prompts.points, torch.tensor(prompts.sizes)
    squared_reach = _REACH**2 / prompts.weight
    norms = points.square().sum(1)
    claimed_by = torch.full((len(points),), -1)
    nearest = torch.full_like(norms, math.inf)
    for rows in torch.arange(len(points)).split(prompts.sizes) if len(warm) > 0 else ():
        distances = torch.cdist(points[rows], warm).square()
        nearest[rows] = distances.amin(1)
        chosen, centre = map(torch.from_numpy, linear_sum_assignment(distances.clamp(max=squared_reach).numpy()))
        claimed_by[rows[chosen]] = centre.where(distances[chosen, centre] < squared_reach, -1)

    centres = list(warm)
    first_rows = sizes.cumsum(0) - sizes
    client = torch.arange(len(sizes)).repeat_interleave(sizes)
    position = torch.arange(len(points)) - first_rows[client]
    table = points.new_full((len(sizes), int(sizes.max())), math.inf)
    while len(centres) < max_centres and (claimed_by < 0).any():
        free = claimed_by < 0
        leader = points[nearest.where(free, -math.inf).argmax() if centres else norms.argmin()]
        distances = (norms - points @ (2 * leader) + leader.square().sum()).clamp(min=0)
        nearest = torch.minimum(nearest, distances)
        table[client, position] = distances.where(free & (distances <= squared_reach), math.inf)
        closest, column = table.min(1)
        claimed_by[(first_rows + column)[closest < math.inf]] = len(centres)
        centres.append(leader)

    claimed = claimed_by >= 0
    claims = _statistics(prompts._replace(points=points[claimed]), claimed_by[claimed], torch.stack(centres))
    # Half a client more on either side: no centre starts out as certain or impossible.
    return claims.means, ((claims.counts + 0.5) / (len(sizes) + 1)).logit()


class _Statistics(NamedTuple):
    """All that the objective needs to know of the prompts while the matches stand still."""

    num_clients: int
    weight: float
    counts: Float64[Tensor, " centre"]
    means: Float64[Tensor, "centre dim"]
    squares: Float64[Tensor, "centre dim"]


def _statistics(
    prompts: _Prompts, matches: Int64[Tensor, " row"], centres: Float64[Tensor, "centre dim"]
) -> _Statistics:
    """Returns number, mean and squared deviations of what is matched to each centre; an unused one stays in place."""
    counts = matches.bincount(minlength=len(centres)).to(centres)
    number = counts[:, None]
    means = torch.zeros_like(centres).index_add_(0, matches, prompts.points) / number.clamp(min=1)
    squares = torch.zeros_like(centres).index_add_(0, matches, (prompts.points - means[matches]).square_())
    return _Statistics(len(prompts.sizes), prompts.weight, counts, means.where(number > 0, centres), squares)


class _Network(NamedTuple):
    """A perceptron with one hidden layer."""

    features: Tensor
    feature_bias: Tensor
    readout: Tensor
    bias: Tensor

    def __call__(self, inputs: Float64[Tensor, "centre dim"]) -> Float64[Tensor, "centre out"]:
        return (torch.tanh(inputs.float() @ self.features + self.feature_bias) @ self.readout + self.bias).double()


def _network(dim: int, num_outputs: int, start: float, rng: torch.Generator) -> _Network:
    """Returns a network that has random features and gives ``start`` for every input."""
    features = torch.randn(dim, _HIDDEN_WIDTH, generator=rng, dtype=torch.float32) * (2 / math.sqrt(dim))
    readout = features.new_zeros(_HIDDEN_WIDTH, num_outputs)
    return _Network(features, features.new_zeros(_HIDDEN_WIDTH), readout, features.new_full((num_outputs,), start))


def _descend(network: _Network, loss: Callable[[_Network], Tensor], num_steps: int) -> _Network:
    """Returns the best network met in some steps of L-BFGS, the given one if none is better."""
    weights = [values.clone().requires_grad_() for values in network]
    optimizer = torch.optim.LBFGS(weights, max_iter=num_steps, history_size=5, line_search_fn="strong_wolfe")
    best, lowest = network, math.inf

    def closure() -> Tensor:
        nonlocal best, lowest
        optimizer.zero_grad()
        value = loss(_Network(*weights))
        value.backward()
        if value.item() < lowest:
            best, lowest = _Network(*(values.detach().clone() for values in weights)), value.item()
        return value

    optimizer.step(closure)
    return best


@dataclass(frozen=True)
class _Model:
    """Where the centres lie (theta), how prompts scatter about them (sigma_gamma), how popular they are (U_zeta)."""

    centres: Float64[Tensor, "centre dim"]
    deviation_network: _Network
    popularity_network: _Network

    def deviation(self) -> Float64[Tensor, "centre dim"]:
        # The floor keeps a centre with a single prompt from infinite likelihood.
        return _DEVIATION_FLOOR + softplus(self.deviation_network(self.centres))

    def log_odds(self) -> Float64[Tensor, " centre"]:
        # softsign and not a clamp: beyond a clamp there is no gradient to come back by.
        return _LARGEST_LOG_ODDS * softsign(self.popularity_network(self.centres).squeeze(1) / _LARGEST_LOG_ODDS)

    def likelihood_term(self, statistics: _Statistics) -> Float64[Tensor, ""]:
        """Returns G."""
        number, deviation = statistics.counts[:, None], self.deviation()
        squares = statistics.squares + number * (statistics.means - self.centres).square()
        log_scale = deviation.log() + 0.5 * math.log(2 * math.pi)
        return statistics.weight * (number * log_scale + squares / (2 * deviation.square())).sum()

    def popularity_term(self, statistics: _Statistics) -> Float64[Tensor, ""]:
        """Returns R."""
        log_odds, unused = self.log_odds(), statistics.num_clients - statistics.counts
        return -(statistics.counts * logsigmoid(log_odds) + unused * logsigmoid(-log_odds)).sum()

    def objective(self, statistics: _Statistics) -> float:
        return (self.likelihood_term(statistics) + self.popularity_term(statistics)).item()


def _fit(model: _Model, statistics: _Statistics, num_steps: int) -> _Model:
    """Returns a model of lower G + R for the same matches: the first half step.

    Given the deviations, the best centre is the mean of its prompts. But deviation and popularity are functions of the
    centre, so that moving there could raise the objective; then the centres stay and the networks alone are improved.
    """
    before = model.objective(statistics)
    for at in (replace(model, centres=statistics.means), model):
        model = replace(
            at,
            deviation_network=_descend(
                at.deviation_network,
                lambda network, at=at: replace(at, deviation_network=network).likelihood_term(statistics),
                num_steps,
            ),
            popularity_network=_descend(
                at.popularity_network,
                lambda network, at=at: replace(at, popularity_network=network).popularity_term(statistics),
                3 * num_steps,
            ),
        )
        if model.objective(statistics) <= before:
            break
    return model


def _assign(
    prompts: _Prompts,
    centres: Float64[Tensor, "centre dim"],
    deviation: Float64[Tensor, "centre dim"],
    log_odds: Float64[Tensor, " centre"],
    previous: Int64[Tensor, " row"] | None = None,
) -> tuple[Int64[Tensor, " row"], float]:
    """Returns each client's cheapest matches and their total cost: the second half step.

    A match costs ``-log N - log U + log(1 - U)``. A client keeps its previous ones unless others are truly cheaper.
    """
    precision = prompts.weight * deviation.pow(-2)
    constant = prompts.weight * (deviation.log() + 0.5 * math.log(2 * math.pi)).sum(1) - log_odds
    squared_centres = 0.5 * (centres.square() * precision).sum(1)
    quadratic, linear = 0.5 * precision.T, (centres * precision).T

    def cost_of(pool: Float64[Tensor, "prompt dim"], matched: Int64[Tensor, " prompt"]) -> float:
        deviations = (pool - centres[matched]).square() * precision[matched]
        return (0.5 * deviations.sum() + constant[matched].sum()).item()

    kept = [None] * len(prompts.sizes) if previous is None else previous.split(prompts.sizes)
    matches, total = [], 0.0
    for pool, old in zip(prompts.points.split(prompts.sizes), kept, strict=True):
        costs = pool.square() @ quadratic - pool @ linear + squared_centres + constant
        new = torch.from_numpy(linear_sum_assignment(costs.numpy())[1])
        # The squares multiplied out lose digits far from the origin: what is compared and reported is computed plainly.
        cost = cost_of(pool, new)
        if old is not None and not torch.equal(new, old):
            old_cost = cost_of(pool, old)
            # A billionth is rounding: without it, matches of equal cost could alternate for ever.
            if cost >= old_cost - 1e-9 * (1 + abs(old_cost)):
                new, cost = old, old_cost
        matches.append(new)
        total += cost
    return torch.cat(matches), total
