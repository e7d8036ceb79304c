"""Which client holds which samples of a data set."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from fedprime.data.missingness.mechanisms import Split
from fedprime.data.odd_values import place_of
from fedprime.data.partition import (
    PartitionError,
    draw_label_shares,
    partition_by_shares,
    partition_by_site,
    partition_evenly,
)
from fedprime.data.sources import DataError, SampleSource
from fedprime.reproducibility.errors import counted

_logger = logging.getLogger(__name__)

_NAMED = 10  # samples that are left out and named in the log

#: At random, by a Dirichlet distribution over labels, or by natural group.
PartitionKind = Literal["even", "labels", "site"]


@dataclass(frozen=True)
class Partition:
    """Which client holds which samples.

    Attributes:
        train: The training samples and the client that owns each.
        validation: The validation samples, divided among the clients as the training samples are.
        test: The test samples, likewise.
    """

    kind: PartitionKind
    num_clients: int
    train: Split
    validation: Split
    test: Split


def partition(
    source: SampleSource,
    num_clients: int,
    *,
    kind: PartitionKind = "labels",
    alpha: float = 1.0,
    min_samples: int = 10,
    modalities: Sequence[str] = (),
    seed: int = 0,
) -> Partition:
    """Divides the samples of every split of a data set among clients in the same way.

    Args:
        source: The data set, with the three splits, as from `fedprime.open_data`.
        num_clients: How many clients there are; 1 is one holder of everything.
        kind: Divide at random (even), by a Dirichlet distribution over labels (labels), or by natural group (site).
        alpha: Concentration of the division by labels: at 0.1 a client has few labels, at 100 all have the same mix.
        min_samples: Training samples that every client has at least, when divided by labels.
        modalities: Those in use; samples that have none of them are left out. Not given, it is all of the data set.

    Raises:
        DataError: If a split has no sample, or the training samples are all of one class.
        PartitionError: If the samples cannot be divided so.

    >>> from fedprime.data.sets.builtin import BuiltinWorld
    >>> divided = partition(BuiltinWorld(60, num_validation=10, num_test=10), 2, kind="even")
    >>> [int((divided.train.owners == client).sum()) for client in range(2)]
    [20, 20]
    """
    modalities = tuple(modalities) or source.modalities
    splits = usable_splits(source, modalities)
    owners = _owners(source, splits, num_clients, kind, alpha, min_samples, seed)
    there = what_is_there(source, modalities)
    divided = {name: split_of(name, own, owners[name], source, there) for name, own in splits.items()}
    return Partition(kind, num_clients, divided["train"], divided["validation"], divided["test"])


def _owners(
    source: SampleSource,
    splits: Mapping[str, Int[np.ndarray, " _"]],
    num_clients: int,
    kind: PartitionKind,
    alpha: float,
    min_samples: int,
    seed: int,
) -> dict[str, Int[np.ndarray, " _"]]:
    """Returns the client that owns each sample, by name of the split."""
    num_train = len(splits["train"])
    if num_train < num_clients:
        raise PartitionError(
            f"{counted(num_train, 'sample')} cannot be divided among {counted(num_clients, 'client')}; ask for fewer "
            "clients"
        )
    if kind == "even":
        return {split: partition_evenly(len(own), num_clients, seed=seed, split=split) for split, own in splits.items()}
    if kind == "site":
        if num_clients > 1 and len(np.unique(source.sites)) == 1:
            raise PartitionError("all samples are of one site; set partition.kind to labels or even")
        # Over all splits at once, so that a site belongs to the same client in each.
        of_sample = partition_by_site(source.sites, num_clients)
        without = sorted(set(range(num_clients)) - set(of_sample[splits["train"]].tolist()))
        if without:
            site_names = getattr(source, "site_names", ())
            sites = np.unique(source.sites[np.isin(of_sample, without)])
            named = f" (of the data: {', '.join(site_names[site] for site in sites)})" if site_names else ""
            raise PartitionError(
                f"clients {', '.join(map(str, without))}{named} own no training sample, for what they have is for "
                "validation or test; say which rows are for training (data.split), or call several small clients one"
            )
        return {split: of_sample[own] for split, own in splits.items()}
    labels, names = label_groups(source)
    shares = draw_label_shares(labels[splits["train"]], len(names), num_clients, alpha, min_samples, seed=seed)
    return {split: partition_by_shares(labels[own], shares, seed=seed, split=split) for split, own in splits.items()}


def label_groups(source: SampleSource) -> tuple[Int[np.ndarray, " sample"], tuple[str, ...]]:
    """Returns what samples are divided by when it is by label: the number of each sample's group, and their names.

    With one class, that is the class. Of several labels it is the rarest one, over the training samples, that a sample
    has: frequent labels stand beside others, so they would tell less about it. Samples without any label are a group of
    their own.
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
        there: Which of the modalities in use every sample of the data set really has; all, if not given.
    """
    sites = np.unique(source.sites, return_inverse=True)[1]
    labels, _ = label_groups(source)
    return Split(name, indices, owners, labels[indices], sites[indices], None if there is None else there[indices])


def what_is_there(source: SampleSource, modalities: Sequence[str]) -> Bool[np.ndarray, "sample modality"]:
    """Returns which of the modalities in use every sample of a data set really has.

    Raises:
        DataError: If the data set has no such modality.
    """
    lacking = [modality for modality in modalities if modality not in source.modalities]
    if lacking:
        raise DataError(f"the data has no {', '.join(lacking)}, only {', '.join(source.modalities)}")
    return source.there[:, [source.modalities.index(modality) for modality in modalities]]


def usable_splits(source: SampleSource, modalities: Sequence[str]) -> dict[str, Int[np.ndarray, " _"]]:
    """Returns the samples of every split that have at least one of the modalities in use; the log counts the others.

    Raises:
        DataError: If a split has none, or the training samples are all of one class.
    """
    has_any = np.asarray(what_is_there(source, modalities).any(axis=1))
    splits = {name: own[has_any[own]] for name, own in source.splits.items()}
    empty = {name: len(source.splits[name]) - len(own) for name, own in splits.items()}
    if any(empty.values()):
        counts = ", ".join(f"{count} of {name}" for name, count in empty.items() if count)
        lost = np.concatenate([own[~has_any[own]] for own in source.splits.values()])
        names = ", ".join(place_of(source, int(index)) for index in lost[:_NAMED])
        more = ", ..." if len(lost) > _NAMED else ""
        _logger.warning("left out, because nothing of them is there: %s samples (%s%s)", counts, names, more)
    for name, own in splits.items():
        if len(own) == 0:
            raise DataError(
                f"the data has no {name} sample with any of {', '.join(modalities)}; it needs some of each of "
                f"{', '.join(splits)}"
            )
    labels = source.labels[splits["train"]]
    # Who states all classes knows that others have those that are not here.
    are_stated = bool(getattr(source, "classes_are_stated", False))
    if source.task == "one_class" and len(np.unique(labels)) == 1 and not are_stated:
        only = source.label_names[int(labels[0])]
        raise DataError(f"all training samples are of one class, {only}; there is nothing to learn")
    unlearnt = sorted(_classes_of(source, splits.values()) - _classes_of(source, [splits["train"]]))
    if unlearnt:
        _logger.warning(
            "no training sample is of %s: what is measured of them will be wrong; give some to the training samples",
            ", ".join(source.label_names[label] for label in unlearnt[:5]) + (", ..." if len(unlearnt) > 5 else ""),
        )
    return splits


def _classes_of(source: SampleSource, splits: Iterable[Int[np.ndarray, " _"]]) -> set[int]:
    labels = source.labels[np.concatenate(list(splits))]
    return set((np.unique(labels) if source.task == "one_class" else np.flatnonzero(labels.any(axis=0))).tolist())
