"""Packing: the tokens that are there, side by side, in groups of samples of similar length.

A batch is padded to its longest sample; where modalities are missing, half of it and more can be padding. Packed, every
layer but attention runs over one list of rows, and attention runs over each group. The order of a sample's tokens does
not matter between embedding and readout: positions are part of the embedding.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from fedprime.backbones.backbone import Tokens

# A further group saves padding, but costs a call of attention in each layer.
_MOST_GROUPS = 5
_FEWEST_SAMPLES = 4


@dataclass(frozen=True)
class Group:
    """Samples of similar length; their rows follow each other, `length` for each sample.

    Attributes:
        length: Rows of each.
        mask: True where a row is a token, False where it is padding; None where there is no padding.
    """

    num_samples: int
    length: int
    mask: Bool[Tensor, "sample 1 1 row"] | None


@dataclass(frozen=True)
class Packed:
    """Where the tokens of one batch or of several are in packed order.

    Samples and rows of several batches are numbered one batch after the other.

    Attributes:
        rows: For each packed row, the position in the flattened batches (sample, token) that it comes from; padding
            repeats a token of its sample.
        summaries: The packed row of each sample's summary token, in packed order.
        place: For each sample, its place in packed order.
    """

    rows: Int[Tensor, " row"]
    groups: tuple[Group, ...]
    summaries: Int[Tensor, " sample"]
    place: Int[Tensor, " sample"]


@dataclass(frozen=True)
class _Part:
    """Samples of one batch and of similar length."""

    rows: Int[np.ndarray, "sample row"]
    there: Bool[np.ndarray, "sample row"]
    samples: Int[np.ndarray, " sample"]


def pack(*batches: Tokens) -> Packed:
    """Finds the packed order of batches: the summary token of each sample first, then its other tokens.

    Each batch is divided as if it were alone, so that samples are padded to the same length whatever stands beside
    them; groups of one length are then run as one.
    """
    by_shape: dict[tuple[int, bool], list[_Part]] = {}
    first_sample = first_row = 0
    for tokens in batches:
        for part in _parts(tokens, first_sample, first_row):
            by_shape.setdefault((part.rows.shape[1], bool(part.there.all())), []).append(part)
        first_sample += tokens.mask.shape[0]
        first_row += tokens.mask.numel()
    device = batches[0].values.device
    rows, groups, summaries, order = [], [], [], []
    start = 0
    for (length, is_full), parts in by_shape.items():
        samples = np.concatenate([part.samples for part in parts])
        rows += [part.rows.ravel() for part in parts]
        there = None if is_full else torch.from_numpy(np.concatenate([part.there for part in parts])).to(device)
        groups.append(Group(len(samples), length, None if there is None else there[:, None, None, :]))
        summaries.append(start + length * np.arange(len(samples)))
        order.append(samples)
        start += length * len(samples)
    place = np.empty(first_sample, dtype=np.int64)
    place[np.concatenate(order)] = np.arange(first_sample)
    return Packed(
        torch.from_numpy(np.concatenate(rows)).to(device),
        tuple(groups),
        torch.from_numpy(np.concatenate(summaries)).to(device),
        torch.from_numpy(place).to(device),
    )


def _parts(tokens: Tokens, first_sample: int, first_row: int) -> Iterator[_Part]:
    mask = tokens.mask.cpu().numpy()
    num_tokens = mask.shape[1]
    wanted = mask.astype(np.int8)
    wanted[:, tokens.summary] = 2
    # Of each sample: the positions of its tokens, summary first, then those of its padding.
    positions = np.argsort(-wanted, axis=1, kind="stable")
    lengths = mask.sum(axis=1)
    for samples in _similar(lengths):
        length = int(lengths[samples].max())
        there = np.arange(length) < lengths[samples][:, None]
        own = np.where(there, positions[samples, :length], tokens.summary)
        yield _Part(first_row + samples[:, None] * num_tokens + own, there, first_sample + samples)


def _similar(lengths: Int[np.ndarray, " sample"]) -> list[Int[np.ndarray, " member"]]:
    """Divides samples into at most `_MOST_GROUPS` groups of similar length; small ones join the next longer one."""
    width = -(-int(lengths.max()) // _MOST_GROUPS)
    bucket = (lengths - 1) // width
    groups: list[np.ndarray] = []
    waiting = np.empty(0, dtype=np.int64)
    for number in range(_MOST_GROUPS):
        waiting = np.concatenate([waiting, np.flatnonzero(bucket == number)])
        if len(waiting) >= _FEWEST_SAMPLES:
            groups.append(waiting)
            waiting = waiting[:0]
    if len(waiting) and groups:
        groups[-1] = np.concatenate([groups[-1], waiting])
    elif len(waiting):
        groups.append(waiting)
    return groups
