"""What a missing pattern tells about the class of a sample: the factor p(pattern | class) of the exact posterior."""

from collections.abc import Collection

import numpy as np
from jaxtyping import Float, Int

from fedprime.data.batches import Shard
from fedprime.data.missingness.patterns import pattern_numbers
from fedprime.data.sources import KnownWorld


def best_possible(
    world: KnownWorld,
    shard: Shard,
    of_client: Float[np.ndarray, "label client"],
    owners: Int[np.ndarray, " sample"],
    personal: Collection[int] = (),
) -> Float[np.ndarray, " sample"]:
    """Returns the probability with which the best possible classifier is right on each sample, given what is there.

    The mean over samples is the accuracy that no classifier can beat on them (Bayes limit):

        p(class | what is there, pattern) ∝ p(class) · p(pattern | class) · p(what is there | class)

    The second factor counts where missingness depends on the class, or on the client that holds the sample while
    clients hold different classes. A client with a model of its own may also know how frequent each class is among its
    samples, and its own patterns, which raises the limit on them.

    Args:
        world: The data set, with equally frequent classes.
        of_client: Share of each class that every client holds.
        personal: The clients that have models of their own.
    """
    num_classes = len(world.label_names)
    columns = [world.modalities.index(modality) for modality in shard.samples.modalities]
    present = np.zeros((len(shard), len(world.modalities)), dtype=bool)
    present[:, columns] = shard.present
    prior = np.full((len(shard), num_classes), 1 / num_classes)
    for client in personal:
        own = owners == client
        counts = np.bincount(world.labels[shard.indices[own]], minlength=num_classes)
        prior[own] = counts / max(1, counts.sum())
    if shard.likelihood is not None:
        patterns = pattern_numbers(shard.present)
        prior *= told_by_patterns(shard.likelihood, of_client, patterns, owners, personal)
    return world.posterior(shard.indices, present, prior).max(axis=1)


def client_given_label(
    labels: Int[np.ndarray, " sample"], owners: Int[np.ndarray, " sample"], num_labels: int, num_clients: int
) -> Float[np.ndarray, "label client"]:
    """Returns the share of each class that every client holds; a class without samples is shared evenly.

    >>> client_given_label(np.array([0, 0, 1]), np.array([0, 1, 1]), num_labels=2, num_clients=2)
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    counts = np.zeros((num_labels, num_clients))
    np.add.at(counts, (labels, owners), 1)
    counts[counts.sum(axis=1) == 0] = 1
    return counts / counts.sum(axis=1, keepdims=True)


def told_by_patterns(
    likelihood: Float[np.ndarray, "#client #label pattern"],
    of_client: Float[np.ndarray, "label client"],
    patterns: Int[np.ndarray, " sample"],
    owners: Int[np.ndarray, " sample"],
    personal: Collection[int] = (),
) -> Float[np.ndarray, "sample label"]:
    """Returns the probability of each sample's pattern given each class.

    Who knows the client takes p(pattern | client, class). Who does not has to take the mean over clients,

        p(pattern | class) = sum over clients of p(client | class) · p(pattern | client, class),

    which tells about the class also where patterns depend on the client only, if clients hold different classes.

    Args:
        likelihood: Probability of every pattern given client and class, as from `Mechanism.likelihood`.
        patterns: Number of each sample's pattern.
        personal: The clients whose samples are known to be theirs.
    """
    num_labels, num_clients = of_client.shape
    given = np.broadcast_to(likelihood, (num_clients, num_labels, likelihood.shape[-1]))
    told = np.einsum("lc,clp->pl", of_client, given)[patterns]
    for client in personal:
        own = owners == client
        told[own] = given[client].T[patterns[own]]
    return told
