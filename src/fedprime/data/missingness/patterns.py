"""Which modalities are missing of which samples: patterns, shares, and how they are spread over clients.

What a mask depends on beside clients (class, values that are there, group, time): see `mechanisms` beside this.

``present`` is a boolean per (sample, modality): true means there. Every sample keeps at least one modality. A *pattern*
is a set of modalities that are present; M modalities have 2^M - 1 patterns, numbered as by `prompts.pattern_index`: bit
m of (number + 1) says whether modality m is there, so the last pattern is the complete one.

What a rate means: ``rate = 0.7`` says that 70 % of the samples lack something. What they lack is said by ``lacking``:
the name of a modality, or ``"any"``: each of them lacks exactly one modality, each modality equally often (with two
modalities: "miss both").
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from fedprime.data.missingness.kinds import ANY, MissingnessKind
from fedprime.reproducibility.seeding import stream


def all_patterns(num_modalities: int) -> Bool[np.ndarray, "pattern modality"]:
    """Returns which modalities are there in every pattern.

    >>> all_patterns(2)
    array([[ True, False],
           [False,  True],
           [ True,  True]])
    """
    numbers = np.arange(1, 2**num_modalities)
    return (numbers[:, None] >> np.arange(num_modalities)) % 2 == 1


def pattern_name(present: Bool[np.ndarray, " modality"], modalities: Sequence[str]) -> str:
    """Names a pattern by what is there.

    >>> pattern_name(np.array([True, False]), ("image", "text"))
    'image'
    """
    return "+".join(modality for modality, there in zip(modalities, present, strict=True) if there)


def pattern_shares(modalities: Sequence[str], rate: float, lacking: str = ANY) -> Float[np.ndarray, " pattern"]:
    """Returns the share of samples that have each pattern; they add up to 1.

    Args:
        rate: Share of the samples that lack something, 0 to 1.
        lacking: The modality that they lack, or ``"any"``.

    Raises:
        ValueError: If the rate is not in [0, 1], there is no modality of that name, or a sample would have none left.

    >>> pattern_shares(("image", "text"), 0.7)
    array([0.35, 0.35, 0.3 ])
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"the missing rate is {rate}; it is a share of the samples, between 0 and 1")
    if lacking != ANY and lacking not in modalities:
        raise ValueError(f"samples cannot lack {lacking!r}; choose one of {', '.join(modalities)} or {ANY}")
    if len(modalities) == 1 and rate > 0:
        raise ValueError(f"samples that have only {modalities[0]} cannot lack it; the missing rate must be 0")
    patterns = all_patterns(len(modalities))
    lacks_one = patterns.sum(axis=1) == len(modalities) - 1
    concerned = lacks_one if lacking == ANY else lacks_one & ~patterns[:, list(modalities).index(lacking)]
    shares = np.where(concerned, rate / max(1, concerned.sum()), 0.0)
    shares[-1] += 1 - rate
    return shares


def draw_present(
    kind: MissingnessKind,
    shares: Float[np.ndarray, " pattern"],
    owners: Int[np.ndarray, " sample"],
    num_clients: int,
    *,
    alpha: float,
    seed: int,
    split: str,
) -> Bool[np.ndarray, "sample modality"]:
    """Draws what is present of every sample.

    * ``over-all-data`` (the paper's): the shares hold over all samples, whoever owns them.
    * ``client-mixes``: each client draws its own shares from a Dirichlet distribution around the given ones.
    * ``absent-sensors``: the shares hold over clients: all samples of a client have the same pattern.

    Counts are exact: shares are met up to rounding. What is drawn for a client (its mix, its sensors) is the same in
    every split.

    Args:
        shares: Share of each pattern, as from `pattern_shares`.
        alpha: Concentration of ``client-mixes``: at 0.1 most clients have hardly more than one pattern, at 100 all have
            the given shares.
        split: Name of the split, for example ``"train"``.

    Raises:
        ValueError: If `alpha` is not positive.
    """
    num_modalities = int(np.log2(len(shares) + 1))
    patterns = all_patterns(num_modalities)
    rng = stream(seed, "missingness", split)
    if kind == "over-all-data":
        return patterns[_shuffled(shares, len(owners), rng)]
    drawn = np.empty(len(owners), dtype=np.int64)
    for client, mix in enumerate(client_shares(kind, shares, num_clients, alpha=alpha, seed=seed)):
        own = np.flatnonzero(owners == client)
        drawn[own] = _shuffled(mix, len(own), rng)
    return patterns[drawn]


def client_shares(
    kind: MissingnessKind, shares: Float[np.ndarray, " pattern"], num_clients: int, *, alpha: float, seed: int
) -> Float[np.ndarray, "client pattern"]:
    """Returns the share of every client's samples that have each pattern.

    Raises:
        ValueError: If `alpha` is not positive.
    """
    if kind == "over-all-data":
        return np.tile(shares, (num_clients, 1))
    if kind == "absent-sensors":
        return np.eye(len(shares))[_shuffled(shares, num_clients, stream(seed, "missingness", "sensors"))]
    return draw_mixes(shares, num_clients, alpha, seed=seed, of="mix")


def draw_mixes(
    shares: Float[np.ndarray, " pattern"], num_mixes: int, alpha: float, *, seed: int, of: str
) -> Float[np.ndarray, "mix pattern"]:
    """Draws shares of patterns from a Dirichlet distribution around given ones.

    Args:
        shares: The mean.
        of: Names the random stream.

    Raises:
        ValueError: If `alpha` is not positive.
    """
    if alpha <= 0:
        raise ValueError(f"alpha is {alpha}; the concentration of a Dirichlet distribution is above 0")
    possible = np.flatnonzero(shares)
    mixes = np.zeros((num_mixes, len(shares)))
    for number, mix in enumerate(mixes):
        mix[possible] = stream(seed, "missingness", of, number).dirichlet(alpha * len(possible) * shares[possible])
    return mixes


def pattern_numbers(present: Bool[np.ndarray, "sample modality"]) -> Int[np.ndarray, " sample"]:
    """Returns the number of every sample's pattern.

    >>> pattern_numbers(all_patterns(2))
    array([0, 1, 2])
    """
    return (present * 2 ** np.arange(present.shape[1])).sum(axis=1) - 1


def pattern_counts(
    present: Bool[np.ndarray, "sample modality"], owners: Int[np.ndarray, " sample"], num_clients: int
) -> Int[np.ndarray, "client pattern"]:
    """Counts the samples of every client that have each pattern: the rates as they came out."""
    counts = np.zeros((num_clients, 2 ** present.shape[1] - 1), dtype=np.int64)
    np.add.at(counts, (owners, pattern_numbers(present)), 1)
    return counts


def what_is_left(
    drawn: Bool[np.ndarray, "sample modality"], there: Bool[np.ndarray, "sample modality"]
) -> Bool[np.ndarray, "sample modality"]:
    """Returns what is present of samples that really lack something, once simulated missingness comes on top.

    A sample that would lose its last modality keeps all that it really has.

    Args:
        drawn: What simulated missingness leaves of each sample.
        there: What each sample really has.

    >>> what_is_left(np.array([[True, False], [True, False]]), np.array([[True, True], [False, True]]))
    array([[ True, False],
           [False,  True]])
    """
    left = drawn & there
    loses_last = drawn.any(axis=1, keepdims=True) & ~left.any(axis=1, keepdims=True)
    return np.where(loses_last, there, left)


def apportion(shares: Float[np.ndarray, " part"], total: int) -> Int[np.ndarray, " part"]:
    """Divides a whole number by shares, so that the parts add up: largest remainders are rounded up first.

    >>> apportion(np.array([0.35, 0.35, 0.3]), 10)
    array([4, 3, 3])
    """
    exact = shares / shares.sum() * total
    # Rounding away float dust keeps 0.35 * 20 at 7, not at 6.999... .
    counts = np.floor(np.round(exact, 9)).astype(np.int64)
    rest = total - int(counts.sum())
    counts[np.argsort(-(exact - counts), kind="stable")[:rest]] += 1
    return counts


def _shuffled(shares: Float[np.ndarray, " part"], total: int, rng: np.random.Generator) -> Int[np.ndarray, " drawn"]:
    return rng.permutation(np.repeat(np.arange(len(shares)), apportion(shares, total)))
