"""From settings to who holds which sample and what is missing of it."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

from fedprime.data.batches import EmbeddedSamples, SampleSource, Shard
from fedprime.data.missingness.drift import Drift, DriftingShard, drift_stages
from fedprime.data.missingness.logistic import ByLabel, ByObserved
from fedprime.data.missingness.mechanisms import BySite, Mechanism, OverClients, Split, deal_groups
from fedprime.data.missingness.patterns import ANY, all_patterns, pattern_shares
from fedprime.data.partition import (
    PartitionError,
    draw_label_shares,
    partition_by_shares,
    partition_by_site,
    partition_evenly,
)
from fedprime.settings.settings import PartitionSettings, Settings

__all__ = ["build_mechanism", "draw_owners", "label_groups", "scenario_shares", "split_of", "training_shards"]


def draw_owners(
    source: SampleSource, splits: Mapping[str, Int[np.ndarray, " _"]], partition: PartitionSettings, seed: int
) -> dict[str, Int[np.ndarray, " _"]]:
    """Divides the samples of every split among the clients in the same way.

    Args:
        source: The data set.
        splits: By name, which samples.
        partition: How to divide.
        seed: Seed of the run.

    Returns:
        By name of the split, the client that owns each sample.

    Raises:
        PartitionError: If the samples cannot be divided so.
    """
    num_train, num_clients = len(splits["train"]), partition.num_clients
    if num_train < num_clients:
        raise PartitionError(
            f"{num_train} samples cannot be divided among {num_clients} clients; ask for fewer clients"
        )
    if partition.kind == "even":
        return {split: partition_evenly(len(own), num_clients, seed=seed, split=split) for split, own in splits.items()}
    if partition.kind == "site":
        if num_clients > 1 and len(np.unique(source.sites)) == 1:
            raise PartitionError("all samples are of one site; set partition.kind to labels or even")
        # Over all splits at once, so that a site belongs to the same client in each.
        of_sample = partition_by_site(source.sites, num_clients)
        without = sorted(set(range(num_clients)) - set(of_sample[splits["train"]].tolist()))
        if without:
            raise PartitionError(
                f"clients {', '.join(map(str, without))} own no training sample; ask for fewer clients or more samples"
            )
        return {split: of_sample[own] for split, own in splits.items()}
    labels, names = label_groups(source)
    shares = draw_label_shares(
        labels[splits["train"]], len(names), num_clients, partition.alpha, partition.min_samples, seed=seed
    )
    return {split: partition_by_shares(labels[own], shares, seed=seed, split=split) for split, own in splits.items()}


def build_mechanism(settings: Settings, modalities: tuple[str, ...], source: SampleSource, train: Split) -> Mechanism:
    """Builds what decides which modalities are missing.

    Args:
        settings: The settings.
        modalities: The modalities in use.
        source: The data set.
        train: The training samples.

    Raises:
        ValueError: If settings do not fit together.
    """
    missing, partition, seed = settings.missing, settings.partition, settings.seed
    shares = pattern_shares(modalities, missing.rate, missing.lacking)
    if missing.kind == "by-label":
        return ByLabel(shares, train.labels, len(label_groups(source)[1]), missing.strength, seed=seed)
    if missing.kind == "by-observed":
        return ByObserved(shares, source, modalities, train, missing.strength, seed=seed)
    if missing.kind == "by-site":
        if partition.kind == "site":
            return BySite(shares, len(np.unique(source.sites)), missing.alpha, seed=seed)
        groups = deal_groups(partition.num_clients, missing.groups, seed=seed)
        return BySite(shares, missing.groups, missing.alpha, seed=seed, group_of_client=groups)
    if missing.kind == "drift":
        return Drift(drift_stages(modalities, missing.rate, missing.lacking), seed=seed)
    return OverClients(missing.kind, shares, partition.num_clients, missing.alpha, seed=seed)


def label_groups(source: SampleSource) -> tuple[Int[np.ndarray, " sample"], tuple[str, ...]]:
    """Returns what samples are divided by when it is by label: the number of each sample's group, and their names.

    With one class, that is the class. Of several labels it is the rarest one, over the training samples, that a sample
    has: frequent labels stand beside others, so they would tell less about it. Samples without any label are a group of
    their own.

    Args:
        source: The data set.
    """
    if source.task == "one_class":
        return source.labels, source.label_names  # pyright: ignore[reportReturnType]
    applies = source.labels > 0
    frequency = applies[source.splits["train"]].sum(axis=0)
    rarest = np.where(applies, frequency, frequency.max() + 1).argmin(axis=1)
    return np.where(applies.any(axis=1), rarest, len(source.label_names)), (*source.label_names, "no label")


def split_of(
    name: str,
    indices: Int[np.ndarray, " sample"],
    owners: Int[np.ndarray, " sample"],
    source: SampleSource,
    there: Bool[np.ndarray, "of_all modality"] | None = None,
) -> Split:
    """Returns the samples of a split with all that missingness may depend on.

    Args:
        name: Name of the split.
        indices: Which samples.
        owners: The client that owns each.
        source: The data set.
        there: Which of the modalities in use every sample of the data set really has; all, if not given.
    """
    sites = np.unique(source.sites, return_inverse=True)[1]
    labels, _ = label_groups(source)
    return Split(name, indices, owners, labels[indices], sites[indices], None if there is None else there[indices])


def training_shards(
    samples: EmbeddedSamples, mechanism: Mechanism, train: Split, num_clients: int
) -> tuple[Shard, ...]:
    """Returns the training samples of every client, with what is present of them.

    Args:
        samples: The data set, embedded.
        mechanism: Decides what is present.
        train: The training samples.
        num_clients: How many clients there are.
    """
    owned = [np.flatnonzero(train.owners == client) for client in range(num_clients)]
    if isinstance(mechanism, Drift):
        numbers = mechanism.numbers(train)
        return tuple(DriftingShard.begin(samples, train.indices[own], mechanism, numbers[own]) for own in owned)
    present = mechanism.draw(train)
    return tuple(Shard(samples, train.indices[own], present[own]) for own in owned)


def scenario_shares(modalities: tuple[str, ...], rate: float) -> dict[str, Float[np.ndarray, " pattern"]]:
    """Returns the test scenarios of the paper, for any modalities: the share of samples with each pattern.

    Args:
        modalities: The modalities in use.
        rate: Share of the samples that lack something where any modality may be missing.
    """
    patterns = all_patterns(len(modalities))
    scenarios: dict[str, np.ndarray] = {}
    if len(modalities) > 1:
        scenarios["miss both" if len(modalities) == 2 else "miss any"] = pattern_shares(modalities, rate, ANY)
    scenarios["full"] = pattern_shares(modalities, 0.0)
    if len(modalities) > 1:
        for index, modality in enumerate(modalities):
            only: Bool[np.ndarray, " pattern"] = (patterns.sum(axis=1) == 1) & patterns[:, index]
            scenarios[f"{modality} only"] = only.astype(float)
    return scenarios
