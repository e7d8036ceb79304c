"""How it comes that something is missing: the contract of mechanisms, and those that look at clients or groups.

A *mechanism* draws what is present of the samples of a split. It is a pure function of (data, setting, owners, seed);
what it draws for a client, a class or a group is the same in every split, and every sample keeps at least one modality.
What samples really lack is missing in any case: what is drawn comes on top, and rates speak of what is drawn.
The kinds, with the terms of Rubin (Inference and missing data, Biometrika 1976):

    over-all-data, client-mixes, absent-sensors, by-site    `OverClients`, `BySite`: depends on who holds the sample
    by-label       `ByLabel`: depends on the class, so what is missing tells about it (MNAR)
    by-observed    `ByObserved`: depends on a value that the sample keeps (MAR)
    drift          `Drift`: depends on the round

`Mechanism.likelihood` says what the pattern tells about the class; the exact limit of accuracy has to know.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from fedprime.data.missingness.kinds import MissingnessKind
from fedprime.data.missingness.patterns import (
    all_patterns,
    client_shares,
    draw_mixes,
    draw_present,
    what_is_left,
)
from fedprime.reproducibility.seeding import stream


@dataclass(frozen=True)
class Split:
    """The samples of one split, as a mechanism sees them.

    Attributes:
        name: Name of the split, for example ``"train"``.
        labels: The class of each; of several labels, the rarest that applies.
        sites: The natural group of each, numbered from 0.
        there: Which modalities each really has; None means all of them.
    """

    name: str
    indices: Int[np.ndarray, " sample"]
    owners: Int[np.ndarray, " sample"]
    labels: Int[np.ndarray, " sample"]
    sites: Int[np.ndarray, " sample"]
    there: Bool[np.ndarray, "sample modality"] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def left_of(self, drawn: Bool[np.ndarray, "sample modality"]) -> Bool[np.ndarray, "sample modality"]:
        """Returns what is present of each sample, given what a mechanism has drawn and what it really has."""
        return drawn if self.there is None else what_is_left(drawn, self.there)


@runtime_checkable
class Mechanism(Protocol):
    """Decides what is present of samples."""

    def draw(self, split: Split) -> Bool[np.ndarray, "sample modality"]:
        """Returns what is present of each sample of a split; with drift, in the last round."""
        ...

    def likelihood(self) -> Float[np.ndarray, "#client #label pattern"] | None:
        """Returns the probability of every pattern, given client and class.

        An axis has size 1 where it does not matter. None means that, given what is seen of a sample, the pattern tells
        nothing more about the class, whoever holds the sample: missingness can then be ignored.
        """
        ...

    def strata(self, split: Split) -> tuple[str, Int[np.ndarray, " sample"]] | None:
        """Returns what beside clients the rates differ by, with its number for each sample; None for nothing."""
        del split
        return None


class OverClients(Mechanism):
    """Shares that hold over all data, over each client by its own mix, or over clients."""

    def __init__(
        self, kind: MissingnessKind, shares: Float[np.ndarray, " pattern"], num_clients: int, alpha: float, *, seed: int
    ) -> None:
        """Takes what `fedprime.data.missingness.patterns.draw_present` takes.

        Args:
            alpha: Concentration of ``client-mixes``.

        Raises:
            ValueError: If `alpha` is not positive.
        """
        self._kind: MissingnessKind = kind
        self._shares = shares
        self._alpha = alpha
        self._seed = seed
        self._of_clients = client_shares(kind, shares, num_clients, alpha=alpha, seed=seed)

    def draw(self, split: Split) -> Bool[np.ndarray, "sample modality"]:
        """Returns what is present of each sample."""
        num_clients = len(self._of_clients)
        drawn = draw_present(
            self._kind, self._shares, split.owners, num_clients, alpha=self._alpha, seed=self._seed, split=split.name
        )
        return split.left_of(drawn)

    def likelihood(self) -> Float[np.ndarray, "#client #label pattern"] | None:
        """Returns the probability of every pattern, given the client: clients may hold different classes."""
        return None if self._kind == "over-all-data" else self._of_clients[:, None]


class BySite(Mechanism):
    """Groups share a mix that is drawn around the given shares: groups of clients, or the natural sites of the data.

        p(pattern | group g) = mix_g,    mix_g ~ Dirichlet(alpha · P · shares),    P patterns have a share

    In each group counts meet the mix up to one sample. The rate over all data comes out as asked in expectation over
    seeds only: there are few groups, and their mixes scatter.
    """

    def __init__(
        self,
        shares: Float[np.ndarray, " pattern"],
        num_groups: int,
        alpha: float,
        *,
        seed: int,
        group_of_client: Int[np.ndarray, " client"] | None = None,
    ) -> None:
        """Draws the mixes.

        Args:
            shares: Share of each pattern, the mean of the mixes.
            group_of_client: The group of every client; without it, groups are the sites of samples.

        Raises:
            ValueError: If `alpha` is not positive.
        """
        self._mixes = draw_mixes(shares, num_groups, alpha, seed=seed, of="mix of group")
        self._group_of_client = group_of_client
        self._seed = seed

    def draw(self, split: Split) -> Bool[np.ndarray, "sample modality"]:
        """Returns what is present of each sample."""
        rng = stream(self._seed, "missingness", split.name)
        _, groups = self.strata(split)
        drawn = np.empty(len(split), dtype=np.int64)
        for group, mix in enumerate(self._mixes):
            own = np.flatnonzero(groups == group)
            drawn[own] = patterns_at(mix, spread(len(own), rng))
        return split.left_of(all_patterns(int(np.log2(self._mixes.shape[1] + 1)))[drawn])

    def likelihood(self) -> Float[np.ndarray, "#client #label pattern"] | None:
        """Returns the probability of every pattern, given the client.

        Who knows the site learns nothing more from the pattern: p(pattern | site, class, values) = p(pattern | site)
        cancels. Clients are not known, and those that hold other classes may belong to a group with another mix.
        """
        return None if self._group_of_client is None else self._mixes[self._group_of_client][:, None]

    def strata(self, split: Split) -> tuple[str, Int[np.ndarray, " sample"]]:
        """Returns the group of each sample."""
        if self._group_of_client is None:
            return "site", split.sites
        return "group", self._group_of_client[split.owners]


def deal_groups(num_clients: int, num_groups: int, *, seed: int) -> Int[np.ndarray, " client"]:
    """Returns the group of every client, dealt at random into groups of equal size, up to one.

    Raises:
        ValueError: If there are more groups than clients.

    >>> sorted(deal_groups(5, 2, seed=0).tolist())
    [0, 0, 0, 1, 1]
    """
    if num_groups > num_clients:
        raise ValueError(
            f"{num_clients} clients cannot be dealt into {num_groups} groups; ask for at most {num_clients} groups"
        )
    return stream(seed, "missingness", "groups").permutation(np.arange(num_clients) % num_groups)


def spread(num: int, rng: np.random.Generator) -> Float[np.ndarray, " number"]:
    """Returns numbers in [0, 1), one in each of as many equal intervals, in random order.

    Each alone is uniform, so what is decided by it has exactly its probability; together they are even, so counts are
    met up to one (systematic sampling).
    """
    even = (np.arange(num) + rng.random()) / max(1, num)
    return rng.permutation(np.minimum(even, np.nextafter(1, 0)))  # rounding could reach 1


def patterns_at(
    shares: Float[np.ndarray, " pattern"], numbers: Float[np.ndarray, " number"]
) -> Int[np.ndarray, " number"]:
    """Returns the pattern that each number falls on when patterns divide [0, 1) by their shares.

    Args:
        shares: Share of each pattern; they add up to more than 0.
        numbers: Numbers in [0, 1).

    >>> patterns_at(np.array([0.25, 0.0, 0.75]), np.array([0.0, 0.25, 0.99]))
    array([0, 2, 2])
    """
    bounds = np.cumsum(shares)
    return np.searchsorted(bounds / bounds[-1], numbers, side="right")
