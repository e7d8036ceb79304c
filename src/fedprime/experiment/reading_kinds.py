"""What the values of each modality of a data set are, told to a backbone that reads whatever the data has."""

import statistics
from collections.abc import Sequence, Sized

import numpy as np
import torch

from fedprime.data.odd_values import embed_usable
from fedprime.data.sets.table.table import Table
from fedprime.data.sources import SampleSource, ValueKind

_MOST_NARROW = 100  # columns; a row of more is wide
_MOST_APART = 2048  # numbers of an array that have each a place of its own
_TRIED = 20  # rows that tell how long all are


def reading_kinds(source: SampleSource) -> dict[str, str]:
    """Returns by modality of what kind its values are, where that is known, as `load_small` takes it.

    Rows of more than a hundred cells are told with their length, or as wide.

    Raises:
        DataError: If the data set does not say of what kind they are.
    """
    return {modality: _with_length(source, modality, kind) for modality, kind in _kinds(source).items()}


def _with_length(source: SampleSource, modality: str, kind: ValueKind) -> str:
    length = _length(source, modality, kind)
    if length <= _MOST_NARROW:
        return kind
    return f"{length} {kind}" if kind == "numbers" and length <= _MOST_APART else f"wide {kind}"


def _kinds(source: SampleSource) -> dict[str, ValueKind]:
    if isinstance(source, Table):
        return {own.modality: own.kind for own in source.columns}
    known: dict[str, ValueKind] = {"image": "image", "text": "text", "readings": "numbers"}
    known |= getattr(source, "kinds", {})  # of another package
    return {modality: known[modality] for modality in source.modalities if modality in known}


def _length(source: SampleSource, modality: str, kind: ValueKind) -> int:
    """Returns how many cells rows of a modality have, most of them; 0 if they are no rows, or none can be read."""
    if kind not in ("table", "numbers"):
        return 0
    if kind == "table" and isinstance(source, Table):
        return next(len(own.columns) for own in source.columns if own.modality == modality)
    there = np.flatnonzero(source.there[:, source.modalities.index(modality)])[:_TRIED].tolist()
    rows, _ = embed_usable(there, lambda index: source.read(index, (modality,))[modality], _as_rows)
    return statistics.mode(row.shape[1] for row in rows.values()) if rows else 0


def _as_rows(values: Sequence[object]) -> list[torch.Tensor]:
    return [torch.zeros(1, len(value) if isinstance(value, Sized) else 1) for value in values]
