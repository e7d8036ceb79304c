"""Where alignment starts: prompts in an order and on a scale that depend on content only, and the first centres.

A descent ends where it starts from, so the start decides how many centres there will be. Two prompts of one client
differ in meaning by assumption: their distance is the yardstick, and prompts of different clients within half of it
start at one centre. From there prompts go where they are cheapest; popular centres draw in the stragglers.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from fedprime.methods.aggregation.mixture import ROWS_AT_ONCE, Prompts, gather_statistics

#: How near prompts are that start at one centre: per coordinate, in units of the distance between two of one client.
_REACH = 0.5


def _doubles(pool: Float[Tensor, "prompt dim"]) -> Float64[Tensor, "prompt dim"]:
    return pool.detach().to("cpu", torch.float64)


def ordered_pools(
    client_prompts: Sequence[Float[Tensor, "_prompt dim"]], order: Sequence[tuple[int, Int64[Tensor, " _prompt"]]]
) -> Iterator[Float64[Tensor, "_prompt dim"]]:
    """Yields the pools, and the prompts of each, in canonical order."""
    return (_doubles(client_prompts[client])[rows] for client, rows in order)


def canonical_order(
    client_prompts: Sequence[Float[Tensor, "_prompt dim"]],
) -> list[tuple[int, Int64[Tensor, " _prompt"]]]:
    """Returns the clients and the rows of each in an order that depends on content only.

    Sums then run in the same order however the caller sorted clients and prompts. Any order will do: that of the bytes.
    The first coordinate nearly always decides; the bytes of whole prompts are compared only where it does not.
    """

    def by_first_coordinate(client: int) -> list[int]:
        return sorted(_first_bytes(client_prompts[client]))

    def by_bytes(client: int) -> list[bytes]:
        return sorted(row.tobytes() for row in _doubles(client_prompts[client]).numpy())

    first = [by_first_coordinate(client) for client in range(len(client_prompts))]
    clients = sorted(range(len(client_prompts)), key=first.__getitem__)
    ordered: list[int] = []
    for _, tied in groupby(clients, key=first.__getitem__):
        alike = list(tied)
        ordered += alike if len(alike) == 1 else sorted(alike, key=by_bytes)
    return [(client, _order_of_rows(client_prompts[client])) for client in ordered]


def _order_of_rows(pool: Float[Tensor, "prompt dim"]) -> Int64[Tensor, " prompt"]:
    keys: list[int] | list[bytes] = _first_bytes(pool)
    if len(set(keys)) < len(keys):
        keys = [row.tobytes() for row in _doubles(pool).numpy()]
    return torch.tensor(sorted(range(len(keys)), key=keys.__getitem__))


def _first_bytes(pool: Float[Tensor, "prompt dim"]) -> list[int]:
    """Returns the bytes of each prompt's first coordinate alone: no copy of all prompts for the order's sake."""
    # They compare like the whole number that they make up when the first one counts most.
    return _doubles(pool[:, :1]).contiguous().numpy()[:, 0].view(">u8").tolist()


def origin_and_unit(
    pools: Sequence[Float64[Tensor, "_prompt dim"]], rounding: float
) -> tuple[Float64[Tensor, " dim"], float]:
    """Returns where the prompts lie and how far apart, per coordinate, two of different meaning are.

    Two prompts of one client differ in meaning by assumption: their distance is the yardstick, plus what separates
    whole clients. When no client has two, nothing tells noise from meaning: the unit is then so long that one centre
    reaches them all. Medians over clients, so that a few wild ones do not set the scale for the others.
    """
    means = torch.stack([pool.mean(0) for pool in pools])
    origin = means.median(0).values
    squared_offsets = means.sub_(origin).square_().mean(1)
    variances = [pool.var(0).mean() for pool in pools if len(pool) > 1]
    if variances:
        # The mean squared distance of two prompts is twice their (unbiased) variance.
        unit = (2 * (torch.stack(variances).median() + squared_offsets.median())).sqrt().item()
    else:
        unit = 4 / _REACH * squared_offsets.max().sqrt().item()
    return origin, unit if unit > rounding else 1.0


def starting_centres(
    prompts: Prompts, warm: Float64[Tensor, "warm dim"], max_centres: int
) -> tuple[Float64[Tensor, "centre dim"], Float64[Tensor, " centre"]]:
    """Returns the centres to start from and the log-odds of their popularity.

    A centre claims from each client the nearest prompt that is within reach and not yet claimed. Initial centres claim
    first, all together; then, while there is room, the unclaimed prompt farthest from every centre becomes one
    (Gonzalez 1985). A centre ends at the mean of its claims: left on a single prompt, it would hold on to that prompt.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import, and only some methods need it

    points, sizes = prompts.points, torch.tensor(prompts.sizes)
    squared_reach = _REACH**2 / prompts.weight
    norms = points.new_empty(len(points))
    for place, rows in zip(norms.split(ROWS_AT_ONCE), points.split(ROWS_AT_ONCE), strict=True):
        place.copy_(rows.square().sum(1))
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

    claims = gather_statistics(prompts, claimed_by, torch.stack(centres))
    # Half a client more on either side: no centre starts out as certain or impossible.
    return claims.means, ((claims.counts + 0.5) / (len(sizes) + 1)).logit()
