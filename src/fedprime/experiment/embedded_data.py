"""From settings to the data set, seen through a backbone."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from jaxtyping import Int

from fedprime.backbones.backbone import Backbone
from fedprime.backbones.composite import CompositeBackbone
from fedprime.data.batches import DataError, EmbeddedSamples, IdentifiedSource, SampleSource, ValueKind
from fedprime.data.embeddings.cache import EmbeddingCache
from fedprime.data.embeddings.cache_folder import CacheFolder
from fedprime.data.embeddings.store import EmbeddingStore
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.data.sets.food101 import open_food101
from fedprime.data.sets.hateful_memes import open_hateful_memes
from fedprime.data.sets.mmimdb import open_mmimdb
from fedprime.data.sets.table.table import Table, TableOptions, open_table
from fedprime.data.splits import with_all_splits
from fedprime.experiment.partitioning import label_groups
from fedprime.reproducibility.environment import device_name, numeric_environment
from fedprime.settings.settings import DataSettings

__all__ = ["SOURCES", "embedded_samples", "source_kinds", "table_options", "usable_splits"]

_logger = logging.getLogger(__name__)


def _builtin(data: DataSettings) -> SampleSource:
    return BuiltinWorld(
        data.num_train + data.num_validation + data.num_test,
        data.num_classes,
        data.num_sites,
        data.world_seed,
        data.concept_shift,
        num_validation=data.num_validation,
        num_test=data.num_test,
    )


def _food101(data: DataSettings) -> SampleSource:
    return open_food101(data.path, data.num_classes)


def _mmimdb(data: DataSettings) -> SampleSource:
    return open_mmimdb(data.path, data.num_classes, several_labels=data.several_labels)


def _hateful_memes(data: DataSettings) -> SampleSource:
    return open_hateful_memes(data.path)


def _table(data: DataSettings) -> SampleSource:
    return open_table(data.path, table_options(data))


def table_options(data: DataSettings) -> TableOptions:
    """Returns what the settings say about the columns of a table.

    Args:
        data: The settings of the data set.
    """
    return TableOptions(data.columns, data.label, data.several_labels, data.split, data.client, data.rows)


#: By the name of a data set, what opens it.
SOURCES: Mapping[str, Callable[[DataSettings], SampleSource]] = {
    "builtin": _builtin,
    "food101": _food101,
    "mmimdb": _mmimdb,
    "hateful_memes": _hateful_memes,
    "table": _table,
}

_WITH_ARTICLE = {
    "image": "an image",
    "text": "a text",
    "audio": "a sound",
    "table": "a row of numbers and categories",
    "numbers": "an array of numbers",
}

_latest: dict[object, EmbeddedSamples] = {}


def source_kinds(source: SampleSource) -> dict[str, ValueKind]:
    """Returns what the values of each modality of a data set are.

    Args:
        source: The data set.
    """
    if isinstance(source, Table):
        return {own.modality: own.kind for own in source.columns}
    known: dict[str, ValueKind] = {"image": "image", "text": "text", "readings": "numbers"}
    return {modality: known[modality] for modality in source.modalities}


def embedded_samples(data: DataSettings, backbone: Backbone, source: SampleSource | None = None) -> EmbeddedSamples:
    """Returns the samples; runs of one process that follow each other on the same ones embed each once.

    Args:
        data: The settings of the data set.
        backbone: What embeds them.
        source: The data set, if it has been opened already.

    Raises:
        DataError: If the data set cannot be found, read or used, or lacks a modality that the backbone reads.
        CacheError: If the limit of the cache is no number of bytes.
    """
    # Another number of threads can change the last bit.
    key = (data, backbone.fingerprint, backbone.modalities, backbone.device, torch.get_num_threads())
    if key not in _latest:
        _latest.clear()  # of two data sets, only one is kept in memory
        source = source or SOURCES[data.name](data)
        if isinstance(source, Table):
            _check_kinds(source, backbone, data)
        groups = label_groups(source)[0]
        source.splits = with_all_splits(source.splits, groups, data.validation_share, data.test_share)
        store = _store(source, backbone)
        try:
            _latest[key] = EmbeddedSamples(source, backbone.modalities, backbone.embed, store)
        except ValueError as error:
            raise DataError(f"{error}; name those to use in data.modalities") from error
    return _latest[key]


def _check_kinds(table: Table, backbone: Backbone, data: DataSettings) -> None:
    """Raises where a column is stated to be of another kind than the backbone reads; the log tells what is not read."""
    kinds = backbone.kinds
    for own in table.columns:
        expected = kinds.get(own.modality, own.kind)
        if own.kind != expected:
            raise DataError(
                f"{data.path}: {own} is {_WITH_ARTICLE[own.kind]}, but the backbone {backbone.reference} reads "
                f"{own.modality} as {_WITH_ARTICLE[expected]}; state other columns in data.columns, as "
                f"{own.modality}:{expected}=COLUMN, or take a backbone that reads {_WITH_ARTICLE[own.kind]} there"
            )
    stated = {word.partition("=")[0].partition(":")[0] for word in data.columns}
    unread = [own.modality for own in table.columns if own.modality in stated and own.modality not in kinds]
    if unread and kinds.keys() <= set(table.modalities):  # otherwise that is what is told
        _logger.warning(
            "%s: data.columns states %s, which the backbone %s does not read and which is not used; it reads %s",
            *(data.path, ", ".join(unread), backbone.reference, ", ".join(kinds)),
        )


def _store(source: SampleSource, backbone: Backbone) -> EmbeddingStore:
    """Returns where embeddings are kept: on disk too, unless the environment says no or the data has no identities."""
    folder = CacheFolder.of_environment()
    if folder is None or not isinstance(source, IdentifiedSource):
        return EmbeddingStore()
    # What an encoder of a composite makes of a value does not depend on the other modalities that are read.
    encoders = backbone.encoders if isinstance(backbone, CompositeBackbone) else {}
    made_by = {name: getattr(encoders.get(name), "fingerprint", backbone.fingerprint) for name in backbone.modalities}
    described = {
        "backbone options": json.dumps({} if encoders else dict(backbone.options), sort_keys=True),
        **numeric_environment(),
        "device": device_name(backbone.device),
    }
    caches = {
        modality: EmbeddingCache(
            folder,
            described
            | {
                "modality": modality,
                "backbone fingerprint": made_by[modality],
                "version of its embeddings": str(backbone.versions[modality]),
            },
            {"backbone": backbone.reference},
        )
        for modality in backbone.modalities
    }
    return EmbeddingStore(len(source), source.identity, caches)


def usable_splits(samples: EmbeddedSamples) -> dict[str, Int[np.ndarray, " _"]]:
    """Returns the samples of every split that have at least one of the modalities in use; the log counts the others.

    Raises:
        DataError: If a split has none, or the training samples are all of one class.
    """
    source = samples.source
    splits = {name: own[samples.there[own].any(axis=1)] for name, own in source.splits.items()}
    empty = {name: len(source.splits[name]) - len(own) for name, own in splits.items()}
    if any(empty.values()):
        counts = ", ".join(f"{count} of {name}" for name, count in empty.items() if count)
        _logger.warning("left out, because nothing of them is there: %s samples", counts)
    for name, own in splits.items():
        if len(own) == 0:
            raise DataError(
                f"the data has no {name} sample with any of {', '.join(samples.modalities)}; it needs some of each of "
                f"{', '.join(splits)}"
            )
    labels = source.labels[splits["train"]]
    if source.task == "one_class" and len(np.unique(labels)) == 1:
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
