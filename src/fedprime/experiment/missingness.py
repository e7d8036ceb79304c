"""What is missing of the samples of every client, and of those that are measured on."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from fedprime.data.batches import EmbeddedSamples, Shard
from fedprime.data.missingness.drift import Drift, DriftingShard, drift_stages
from fedprime.data.missingness.kinds import ANY, MechanismKind
from fedprime.data.missingness.logistic import ByLabel, ByObserved
from fedprime.data.missingness.mechanisms import BySite, Mechanism, OverClients, Split, deal_groups
from fedprime.data.missingness.patterns import all_patterns, draw_present, pattern_shares, what_is_left
from fedprime.data.sources import DataError, SampleSource
from fedprime.experiment.partitioning import Partition, label_groups, what_is_there


@dataclass(frozen=True)
class ClientSamples:
    """The samples of all clients, and what is present of each.

    Attributes:
        train: The training samples of every client.
        validation: The validation samples of all clients, lacking what training samples lack.
        test: The test samples of all clients, likewise.
    """

    mechanism: Mechanism
    train: tuple[Shard, ...]
    validation: Shard
    test: Shard


def draw_missingness(
    samples: EmbeddedSamples,
    divided: Partition,
    *,
    kind: MechanismKind = "over-all-data",
    rate: float = 0.7,
    lacking: str = ANY,
    alpha: float = 1.0,
    strength: float = 2.0,
    groups: int = 4,
    seed: int = 0,
) -> ClientSamples:
    """Draws what is present of the samples of every client; every sample keeps at least one modality.

    Args:
        divided: Which client holds which of them, as from `fedprime.partition`.
        kind: Over all data (the paper's), a mix per client, whole sensors absent, or by class, seen value, group,
            round.
        rate: Share of the samples that lack something (with absent-sensors: share of the clients).
        lacking: What they lack: the name of a modality, or "any": one modality each, every modality equally often.
        alpha: Concentration of the mixes of clients or groups: at 0.1 most have hardly more than one pattern.
        strength: Slope of the logistic model, by-label and by-observed.
        groups: By-site: groups of clients that share a mix; where samples are divided by site, sites are the groups.

    Raises:
        ValueError: If that cannot be.
        DataError: If a sample has none of the modalities that the backbone reads.
    """
    modalities, source = samples.modalities, samples.source
    divided = _seen(divided, samples)
    if kind == "drift":
        mechanism = Drift(drift_stages(modalities, rate, lacking), seed=seed)
    else:
        shares = pattern_shares(modalities, rate, lacking)
        if kind == "by-label":
            mechanism = ByLabel(shares, divided.train.labels, len(label_groups(source)[1]), strength, seed=seed)
        elif kind == "by-observed":
            mechanism = ByObserved(shares, source, modalities, divided.train, strength, seed=seed)
        elif kind == "by-site":
            mechanism = _by_site(shares, source, divided, alpha, groups, seed)
        else:
            mechanism = OverClients(kind, shares, divided.num_clients, alpha, seed=seed)
    validation, test = (
        Shard(samples, split.indices, mechanism.draw(split), mechanism.likelihood())
        for split in (divided.validation, divided.test)
    )
    return ClientSamples(mechanism, _training_shards(samples, mechanism, divided), validation, test)


def _seen(divided: Partition, samples: EmbeddedSamples) -> Partition:
    """Returns the divided samples with what is there of the modalities that a backbone reads."""
    there = what_is_there(samples.source, samples.modalities)
    splits = {name: getattr(divided, name) for name in ("train", "validation", "test")}
    for name, split in splits.items():
        nothing = split.indices[~there[split.indices].any(axis=1)]
        if len(nothing):
            raise DataError(
                f"{name} sample {nothing[0]} has none of {', '.join(samples.modalities)}; call partition with "
                "modalities=backbone.modalities, which leaves such samples out"
            )
    return replace(divided, **{name: replace(split, there=there[split.indices]) for name, split in splits.items()})


def _by_site(
    shares: Float[np.ndarray, " pattern"],
    source: SampleSource,
    divided: Partition,
    alpha: float,
    groups: int,
    seed: int,
) -> BySite:
    """Returns the mechanism of groups: the natural sites where samples are divided by them, groups of clients else."""
    if divided.kind == "site":
        return BySite(shares, len(np.unique(source.sites)), alpha, seed=seed)
    dealt = deal_groups(divided.num_clients, groups, seed=seed)
    return BySite(shares, groups, alpha, seed=seed, group_of_client=dealt)


def _training_shards(samples: EmbeddedSamples, mechanism: Mechanism, divided: Partition) -> tuple[Shard, ...]:
    """Returns the training samples of every client, with what is present of them."""
    train = divided.train
    owned = [np.flatnonzero(train.owners == client) for client in range(divided.num_clients)]
    if isinstance(mechanism, Drift):
        numbers = mechanism.numbers(train)
        return tuple(DriftingShard.begin(samples, train.indices[own], mechanism, numbers[own]) for own in owned)
    present = mechanism.draw(train)
    return tuple(Shard(samples, train.indices[own], present[own]) for own in owned)


def scenario_shares(modalities: tuple[str, ...], rate: float) -> dict[str, Float[np.ndarray, " pattern"]]:
    """Returns the test scenarios of the paper, for any modalities: the share of samples with each pattern.

    Args:
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


def draw_scenarios(
    samples: EmbeddedSamples, test: Split, num_clients: int, rate: float, seed: int
) -> dict[str, tuple[Shard, Int[np.ndarray, " _"]]]:
    """Draws the test scenarios of the paper; samples that really lack the only modality of one are not part of it.

    Returns:
        By name, the samples with what is present of them, and the client that each belongs to.
    """
    there = np.ones((len(test), len(samples.modalities)), dtype=bool) if test.there is None else test.there
    scenarios: dict[str, tuple[Shard, np.ndarray]] = {}
    for name, mix in scenario_shares(samples.modalities, rate).items():
        drawn = draw_present("over-all-data", mix, test.owners, num_clients, alpha=1.0, seed=seed, split=f"test {name}")
        own = _scenario_rows(drawn, there)
        if len(own):  # it may be that no test sample has the one modality
            present = what_is_left(drawn[own], there[own])
            scenarios[name] = Shard(samples, test.indices[own], present), test.owners[own]
    return scenarios


def _scenario_rows(
    drawn: Bool[np.ndarray, "sample modality"], there: Bool[np.ndarray, "sample modality"]
) -> Int[np.ndarray, " row"]:
    """Returns the samples of a scenario: where all have one pattern, those that can have it."""
    is_mixed = len(np.unique(drawn, axis=0)) > 1
    return np.flatnonzero(is_mixed | (drawn & there).any(axis=1))
