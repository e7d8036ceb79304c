"""Data sets by name, and seen through a backbone."""

import copy
import dataclasses
import inspect
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fedprime.backbones import SMALL
from fedprime.backbones.backbone import Backbone
from fedprime.backbones.blocks import block_of
from fedprime.backbones.layers import states_before
from fedprime.data.batches import EmbeddedSamples, Encoded
from fedprime.data.embeddings.hidden_states import HiddenStates
from fedprime.data.in_order import num_cores
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.data.sets.food101 import open_food101
from fedprime.data.sets.hateful_memes import open_hateful_memes
from fedprime.data.sets.mmimdb import open_mmimdb
from fedprime.data.sets.registered import find_data_set, open_registered
from fedprime.data.sets.table.options import TableOptions, stated_columns
from fedprime.data.sets.table.table import Table, open_table
from fedprime.data.sources import DataError, KnownWorld, SampleSource
from fedprime.data.splits import with_all_splits
from fedprime.experiment.embedding_stores import block_store, embedding_store, state_store
from fedprime.experiment.odd_values import leave_out_odd_values, refuse_absent
from fedprime.experiment.partitioning import label_groups
from fedprime.reproducibility.errors import nearest_name
from fedprime.reproducibility.plugins import PluginError
from fedprime.settings.data_settings import DataSettings

_logger = logging.getLogger(__name__)


def _builtin(
    path: str,
    *,
    num_train: int = 4000,
    num_validation: int = 500,
    num_test: int = 2000,
    num_classes: int = 8,
    num_sites: int = 20,
    concept_shift: float = 0.0,
    world_seed: int = 0,
) -> SampleSource:
    del path
    num_samples = num_train + num_validation + num_test
    sizes = {"num_validation": num_validation, "num_test": num_test}
    return BuiltinWorld(num_samples, num_classes, num_sites, world_seed, concept_shift, **sizes)


def _table(path: str, **options: Any) -> SampleSource:
    return open_table(path, TableOptions(**options))


#: By the name of a data set, what opens it: called with its folder and those settings of data that its arguments name.
SOURCES: Mapping[str, Callable[..., SampleSource]] = {
    "builtin": _builtin,
    "food101": open_food101,
    "mmimdb": open_mmimdb,
    "hateful_memes": open_hateful_memes,
    "table": _table,
}


def open_data(
    name: str, path: str | Path = "", *, validation_share: float = 0.1, test_share: float = 0.2, **options: Any
) -> SampleSource:
    """Opens a data set; nothing of a sample is read yet.

    Args:
        name: Which data set: builtin, food101, mmimdb, hateful_memes, table, or one of an installed
            package.
        path: Its folder, or of a table also its file or its name on the hub; the built-in world needs none.
        validation_share: Share of the training samples to set apart for validation, if the data has no such split.
        test_share: Share of the samples to set apart for the test, if it has neither a test nor a validation split.
        options: What the data set knows of the settings of data, by the same names: of the built-in world
            ``num_train``, ``num_validation``, ``num_test``, ``num_classes``, ``num_sites``, ``concept_shift``,
            ``world_seed``; of food101 ``num_classes``; of mmimdb ``num_classes``, ``several_labels``; of a table
            ``columns``, ``label``, ``several_labels``, ``split``, ``client``, ``rows``,
            ``classes``, ``encoding``, ``delimiter``.

    Raises:
        DataError: If there is no such data set or option, or the data cannot be found, read or used.

    >>> {name: len(own) for name, own in open_data("builtin", num_train=6, num_validation=2, num_test=3).splits.items()}
    {'train': 6, 'validation': 2, 'test': 3}
    """
    opener = _opener(name)
    known = _option_names(opener)
    for option in options:
        if option not in known:
            knows = f"it knows {', '.join(known)}" if known else "it knows none"
            raise DataError(f"{name} has no option {option}; {knows}{nearest_name(option, known)}")
    own = opener(str(path), **options) if name in SOURCES else open_registered(name, str(path), options)
    return with_three_splits(own, validation_share, test_share)


def _opener(name: str) -> Callable[..., SampleSource]:
    """Returns what opens a data set that comes along, or that an installed package registers."""
    try:
        return find_data_set(name) or SOURCES[name]
    except PluginError as error:
        raise DataError(f"{error}") from error


def _option_names(opener: Callable[..., SampleSource]) -> tuple[str, ...]:
    """Returns what an opener of a data set takes: all its arguments but the folder."""
    if opener is _table:
        return tuple(field.name for field in dataclasses.fields(TableOptions))
    return tuple(name for name in inspect.signature(opener).parameters if name != "path")


def with_three_splits(source: SampleSource, validation_share: float, test_share: float) -> SampleSource:
    """Returns a data set with samples for training, validation and test: the given one if it has them, else a copy.

    Args:
        validation_share: Share of the training samples to set apart for validation, if there is no such split.
        test_share: Share of the samples to set apart for the test, if there is neither.

    Raises:
        DataError: If it has no training samples, or lacks a split and lets nobody set it.
    """
    if len(source.splits.get("train", ())) == 0:
        raise DataError(f"the data has the splits {', '.join(source.splits) or 'none'}; it needs one named train")
    splits = with_all_splits(source.splits, label_groups(source)[0], validation_share, test_share, source.sites)
    if splits.keys() == source.splits.keys() and len(source.splits["validation"]):
        return source
    completed = copy.copy(source)  # that of a caller stays as it was
    try:
        completed.splits = splits
    except AttributeError as error:
        raise DataError(
            f"{type(source).__name__} has the splits {', '.join(source.splits)}, and others cannot be set ({error}); "
            "give it train, validation and test"
        ) from error
    return completed


_WITH_ARTICLE = {
    "image": "an image",
    "text": "a text",
    "audio": "a sound",
    "table": "a row of numbers and categories",
    "numbers": "an array of numbers",
}

_latest: dict[object, EmbeddedSamples] = {}


def opened_source(data: DataSettings) -> SampleSource:
    """Opens the data set that the settings name.

    Raises:
        DataError: If it cannot be found, read or used.
    """
    options = dict(data.options)
    if data.name in SOURCES:
        options = {name: getattr(data, name) for name in _option_names(SOURCES[data.name])}
    shares = {"validation_share": data.validation_share, "test_share": data.test_share}
    return open_data(data.name, data.path, **shares, **options)


def embedded_samples(
    data: DataSettings,
    backbone: Backbone,
    source: SampleSource | None = None,
    *,
    is_own: bool = False,
    may_be_empty: bool = False,
    watch: Callable[[Encoded], object] = lambda _: None,
) -> EmbeddedSamples:
    """Returns the samples; runs of one process that follow each other on the same ones embed each once.

    Args:
        is_own: Whether that is another than the settings name; it is then not kept for the next run.
        may_be_empty: Whether all cells of a modality may be empty, as at a site that has none of it.

    Raises:
        DataError: If the data set cannot be found, read or used, or lacks a modality that the backbone reads.
        CacheError: If the limit of the cache is no number of bytes.
    """
    if source is not None and is_own:
        source = with_three_splits(source, data.validation_share, data.test_share)
        return _embedded(source, data, backbone, watch, may_be_empty=may_be_empty)
    # Another number of threads can change the last bit.
    key = (data, backbone.fingerprint, backbone.modalities, backbone.device, torch.get_num_threads())
    if key not in _latest:
        _latest.clear()  # of two data sets, only one is kept in memory
        source = opened_source(data) if source is None else source
        _latest[key] = _embedded(source, data, backbone, watch, may_be_empty=may_be_empty)
    return _latest[key]


def _embedded(
    source: SampleSource,
    data: DataSettings,
    backbone: Backbone,
    watch: Callable[[Encoded], object],
    *,
    may_be_empty: bool,
) -> EmbeddedSamples:
    if isinstance(source, Table):
        _check_kinds(source, backbone, data)
        source = source.with_typical_numbers()
    samples = seen_through(backbone, source)
    if not isinstance(source, KnownWorld):  # of which every value is as it should be
        leave_out_odd_values(samples, watch)
        refuse_absent(samples, may_be_empty=may_be_empty)
    return samples


def seen_through(backbone: Backbone, source: SampleSource) -> EmbeddedSamples:
    """Returns a data set as a backbone sees it; nothing is read yet.

    Raises:
        DataError: If the data set lacks a modality that the backbone reads.
        CacheError: If the limit of the cache is no number of bytes.
    """
    store = embedding_store(source, backbone)
    states = HiddenStates(partial(states_before, backbone), partial(state_store, store, source, backbone))
    blocks = block_store(store, source, backbone)
    try:
        return EmbeddedSamples(
            *(source, backbone.modalities, backbone.embed, store, partial(block_of, backbone), states, blocks),
            num_threads=_num_threads(source, backbone),
        )
    except ValueError as error:
        remedy = "name those to use in data.modalities"
        if backbone.reference != SMALL and not set(backbone.modalities) & set(source.modalities):
            remedy = "take a backbone that reads these: --backbone small"
        raise DataError(f"{error}; {remedy}") from error


def _num_threads(source: SampleSource, backbone: Backbone) -> int:
    """Returns how many threads read and embed: all cores are used, by torch's own threads within each."""
    both_bear_it = getattr(source, "reads_in_threads", False) and getattr(backbone, "embeds_in_threads", False)
    return max(1, num_cores() // torch.get_num_threads()) if both_bear_it else 1


def _check_kinds(table: Table, backbone: Backbone, data: DataSettings) -> None:
    """Raises where a column is stated to be of another kind than the backbone reads; the log tells what is not read."""
    kinds = backbone.kinds
    for own in table.columns:
        expected = kinds.get(own.modality, own.kind)
        if own.kind != expected:
            raise DataError(
                f"{table.place}: {own} is {_WITH_ARTICLE[own.kind]}, but the backbone {backbone.reference} reads "
                f"{own.modality} as {_WITH_ARTICLE[expected]}; state other columns in data.columns, as "
                f"{own.modality}:{expected}=COLUMN, or take a backbone that reads {_WITH_ARTICLE[own.kind]} there"
            )
    stated = {stated_columns(word)[0] for word in data.columns}
    unread = [own.modality for own in table.columns if own.modality in stated and own.modality not in kinds]
    if unread and kinds.keys() <= set(table.modalities):  # otherwise that is what is told
        _logger.warning(
            "%s: data.columns states %s, which the backbone %s does not read and which is not used; it reads %s",
            *(table.place, ", ".join(unread), backbone.reference, ", ".join(kinds)),
        )
