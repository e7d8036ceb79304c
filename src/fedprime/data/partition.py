"""Which client owns which sample. Every sample is owned once; all functions return the owner of each sample."""

import numpy as np
from jaxtyping import Float, Int

from fedprime.data.missingness.patterns import apportion
from fedprime.reproducibility.errors import FedprimeError, counted
from fedprime.reproducibility.seeding import stream

_MAX_DRAWS = 1000


class PartitionError(FedprimeError):
    """Samples that cannot be divided as asked."""


def partition_evenly(num_samples: int, num_clients: int, *, seed: int, split: str) -> Int[np.ndarray, " sample"]:
    """Divides samples at random into equal parts (IID); one client is one holder of everything.

    >>> sorted(partition_evenly(5, 2, seed=0, split="train").tolist())
    [0, 0, 0, 1, 1]
    """
    return stream(seed, "partition", split).permutation(np.arange(num_samples) % num_clients)


def partition_by_site(sites: Int[np.ndarray, " sample"], num_clients: int) -> Int[np.ndarray, " sample"]:
    """Gives each client the samples of its own sites.

    With fewer clients than sites, sites take turns; with more, clients do: those of one site divide its samples evenly.

    Raises:
        PartitionError: If a site has more clients than samples.

    >>> partition_by_site(np.array([7, 7, 7, 9, 9]), 4).tolist()
    [0, 2, 0, 1, 3]
    """
    names, numbers = np.unique(sites, return_inverse=True)
    owners = numbers % num_clients
    if num_clients > len(names):
        for site in range(len(names)):
            own = np.flatnonzero(numbers == site)
            clients = np.arange(site, num_clients, len(names))
            if len(clients) > len(own):
                raise PartitionError(
                    f"a site of {counted(len(own), 'sample')} is too small for {counted(len(clients), 'client')}; ask "
                    "for fewer clients"
                )
            owners[own] = clients[np.arange(len(own)) % len(clients)]
    return owners.astype(np.int64)


def draw_label_shares(
    labels: Int[np.ndarray, " sample"], num_labels: int, num_clients: int, alpha: float, min_samples: int, *, seed: int
) -> Float[np.ndarray, "label client"]:
    """Draws from a Dirichlet distribution which share of each label every client gets.

    Draws until every client gets enough samples.

    Args:
        num_labels: How many classes there are, also those that no sample has.
        alpha: Concentration: at 0.1 a client has few labels, at 100 all have the same mix.

    Raises:
        PartitionError: If that is impossible, or did not come up in 1,000 draws.
    """
    if alpha <= 0:
        raise PartitionError(f"alpha is {alpha}; the concentration of a Dirichlet distribution is above 0")
    if num_clients * min_samples > len(labels):
        raise PartitionError(
            f"{counted(len(labels), 'sample')} are too few for {counted(num_clients, 'client')} with at least "
            f"{min_samples} each; ask for fewer clients or a lower minimum"
        )
    counts = np.bincount(labels, minlength=num_labels)
    smallest = 0
    for draw in range(_MAX_DRAWS):
        shares = stream(seed, "partition", "shares", draw).dirichlet(np.full(num_clients, alpha), size=len(counts))
        sizes = np.sum([apportion(row, int(count)) for row, count in zip(shares, counts, strict=True)], axis=0)
        if sizes.min() >= min_samples:
            return shares
        smallest = max(smallest, int(sizes.min()))
    raise PartitionError(
        f"no division of {len(labels)} samples among {num_clients} clients at alpha {alpha} gave each at least "
        f"{min_samples} samples in {_MAX_DRAWS} draws (the best gave {smallest}); raise alpha, lower the minimum or "
        "ask for fewer clients"
    )


def partition_by_shares(
    labels: Int[np.ndarray, " sample"], shares: Float[np.ndarray, "label client"], *, seed: int, split: str
) -> Int[np.ndarray, " sample"]:
    """Divides the samples of each label among the clients by shares.

    Args:
        shares: Share of each label that every client gets, as from `draw_label_shares`.

    Raises:
        PartitionError: If a sample has a label without shares.
    """
    if len(labels) > 0 and labels.max() >= len(shares):
        raise PartitionError(
            f"a sample has label {labels.max()}, but there are shares of {len(shares)} labels only; "
            "draw shares for all labels"
        )
    rng = stream(seed, "partition", split)
    owners = np.empty(len(labels), dtype=np.int64)
    for label in range(len(shares)):
        own = np.flatnonzero(labels == label)
        owners[own] = rng.permutation(np.repeat(np.arange(shares.shape[1]), apportion(shares[label], len(own))))
    return owners
