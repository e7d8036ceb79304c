"""Micro-batches: the samples of one optimiser step, a few of similar length at a time.

What a step holds in memory grows with the tokens that go through the transformer at once, not with the batch; and
samples of one length need no padding. Which samples form a step does not change.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from fedprime.data.batches import Batch

# Rows times width. At a width of 768 these are 1,365 rows, or 7 samples of a ViLT-B/32 with all that it reads: enough
# for matrix products to run at full speed on a CPU, and about 0.4 GB for the gradients in bfloat16.
_MOST_VALUES = 2**20


def divide_by_length(batch: Batch, dim: int, most_values: int = _MOST_VALUES) -> list[Batch]:
    """Divides a batch into parts with about equally many tokens, samples of similar length together.

    A batch that is small enough stays as it is.

    Args:
        most_values: Tokens of a part times their width, more or less; a sample is never divided.

    Returns:
        The parts, the shortest samples first.
    """
    lengths = _lengths(batch)
    num_parts = min(-(-int(lengths.sum()) * dim // most_values), len(batch))
    if num_parts <= 1:
        return [batch]
    order = np.argsort(lengths, kind="stable")
    batch = replace(batch, states=None if batch.states is None else cache(batch.states))  # asked once for all parts
    middles = np.cumsum(lengths[order]) - lengths[order] / 2
    part_of = (middles * num_parts / lengths.sum()).astype(np.int64)
    return [_rows(batch, order[part_of == part]) for part in np.unique(part_of)]


def num_values(batch: Batch, dim: int) -> int:
    """Returns how many numbers the tokens of a batch have."""
    return int(_lengths(batch).sum()) * dim


def _lengths(batch: Batch) -> Int[np.ndarray, " sample"]:
    by_modality = [[0 if part is None else part.shape[0] for part in parts] for parts in batch.embedded.values()]
    return np.array(by_modality, dtype=np.int64).sum(axis=0)


_Part = TypeVar("_Part", Tensor, Tensor | None)


def _rows(batch: Batch, rows: Int[np.ndarray, " row"]) -> Batch:
    def chosen_rows(parts: Sequence[_Part]) -> list[_Part]:
        return [parts[row] for row in rows]

    embedded = {modality: chosen_rows(parts) for modality, parts in batch.embedded.items()}
    chosen, kept = torch.from_numpy(rows), batch.blocks
    blocks = None if kept is None else lambda modality: chosen_rows(kept(modality))
    before = batch.states
    states = None if before is None else lambda layer: chosen_rows(before(layer))
    return Batch(embedded, batch.present[chosen], batch.labels[chosen], blocks, states)
