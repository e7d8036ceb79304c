"""What a server can do about clients that lie: limit how far one can move it, and ask for the middle, not the mean.

Source: Sun, Kairouz, Suresh, McMahan. Can You Really Backdoor Federated Learning? 2019, arXiv 1911.07963 (norm
clipping); Yin, Chen, Kannan, Bartlett. Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates. ICML
2018 (coordinate-wise median, trimmed mean).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

Aggregation = Literal["mean", "median", "trimmed-mean"]


def clip_towards(
    received: Mapping[str, Tensor], trained: Mapping[str, Tensor], clip_norm: float
) -> tuple[dict[str, Tensor], float]:
    """Scales the difference of trained and received values, all of them together, down to a norm.

    Args:
        trained: What it sent back; names that are not received count from zero.
        clip_norm: The largest Euclidean norm that the difference may have, above 0.

    Returns:
        The clipped differences in double precision, and the norm before.

    >>> changes, norm = clip_towards({"head": torch.zeros(2)}, {"head": torch.tensor([3.0, 4.0])}, clip_norm=1.0)
    >>> norm, changes["head"].tolist()
    (5.0, [0.6000000000000001, 0.8])
    """
    changes = {
        name: value.double() - (received[name].double() if name in received else 0.0) for name, value in trained.items()
    }
    norm = math.sqrt(sum(change.square().sum().item() for change in changes.values()))
    if norm <= clip_norm:
        return changes, norm
    return {name: change * (clip_norm / norm) for name, change in changes.items()}, norm


def moved(received: Float[Tensor, "*shape"], change: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Returns a value after a change, of the type that it had before: the way back from `clip_towards`.

    >>> moved(torch.tensor([1.0]), torch.tensor([0.5], dtype=torch.float64))
    tensor([1.5000])
    """
    return (received.double() + change).to(received)


def coordinate_median(values: Float[Tensor, "client *shape"]) -> Float[Tensor, "*shape"]:
    """Returns the median of every coordinate; of an even number of clients, the mean of the middle two.

    >>> coordinate_median(torch.tensor([[1.0], [2.0], [900.0]]))
    tensor([2.])
    """
    return trimmed_mean(values, 0.5)


def trimmed_mean(values: Float[Tensor, "client *shape"], trimmed_share: float) -> Float[Tensor, "*shape"]:
    """Returns the mean of every coordinate without its largest and its smallest values.

    Args:
        values: What the clients sent, each with one vote.
        trimmed_share: Share of the clients that is left out at each end, rounded up to whole clients; at least one
            value, or the middle two, remain.

    >>> trimmed_mean(torch.tensor([[-500.0], [1.0], [3.0], [900.0]]), 0.25)
    tensor([2.])
    """
    num_clients = len(values)
    # The small number: 0.3 of 10 clients are three, although 0.3 * 10 may come out a little above.
    cut = min(math.ceil(trimmed_share * num_clients - 1e-9), (num_clients - 1) // 2)
    middle = values.double().sort(dim=0).values[cut : num_clients - cut]
    return middle.mean(dim=0).to(values.dtype)


def robust_mean(
    aggregation: Aggregation, hostile_share: float
) -> Callable[[Float[Tensor, "client *shape"]], Float[Tensor, "*shape"]]:
    """Returns the function that makes one value of the clients'.

    Args:
        aggregation: Which; "mean" is the plain mean, each client with one vote.
        hostile_share: Share of the clients that may be hostile, below 0.5.
    """
    if aggregation == "median":
        return coordinate_median
    share = hostile_share if aggregation == "trimmed-mean" else 0.0
    return lambda values: trimmed_mean(values, share)


def supported_centres(
    pools: Sequence[Float[Tensor, "_prompt dim"]],
    matches: Sequence[Int64[Tensor, " _prompt"]],
    num_centres: int,
    combine: Callable[[Float[Tensor, "client dim"]], Float[Tensor, " dim"]],
    hostile_share: float,
) -> tuple[Float[Tensor, "centre dim"], list[list[int | None]]]:
    """Keeps the centres that more clients use than may be hostile, and makes each from what was matched to it.

    A prompt that lies far from all others opens a centre of its own in alignment. A centre that hostile clients alone
    could have opened is dropped, and its prompts stay unmatched: nothing that no honest client wants reaches anybody.

    Args:
        matches: For each client, the centre of each of its prompts; no two of a client share one.
        combine: Makes one prompt of those that met in a centre.

    Returns:
        The centres that are left, in their order, and for each client the centre of each prompt, None if unmatched.
    """
    rows, flat = torch.cat(list(pools)), torch.cat(list(matches))
    num_users = flat.bincount(minlength=num_centres)
    kept = (num_users > hostile_share * len(pools) + 1e-9).nonzero().flatten().tolist()
    places = {centre: place for place, centre in enumerate(kept)}
    centres = [combine(rows[flat == centre]) for centre in kept]
    told = [[places.get(centre) for centre in of_client.tolist()] for of_client in matches]
    return torch.stack(centres) if centres else rows[:0], told
