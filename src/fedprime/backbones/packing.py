"""Packing: the tokens that are there, side by side, in groups of samples of similar length.

A batch is padded to its longest sample; where modalities are missing, half of it and more can be padding. Packed, every
layer but attention runs over one list of rows, and attention runs over each group. The order of a sample's tokens does
not matter between embedding and readout: positions are part of the embedding.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from fedprime.backbones.backbone import Tokens

__all__ = ["Group", "Packed", "pack"]

# A further group saves padding, but costs a call of attention in each layer.
_MOST_GROUPS = 5
_FEWEST_SAMPLES = 4


@dataclass(frozen=True)
class Group:
    """Samples of similar length; their rows follow each other, `length` for each sample.

    Attributes:
        num_samples: How many samples.
        length: Rows of each.
        mask: True where a row is a token, False where it is padding; None where there is no padding.
    """

    num_samples: int
    length: int
    mask: Bool[Tensor, "sample 1 1 row"] | None


@dataclass(frozen=True)
class Packed:
    """Where the tokens of a batch are in packed order.

    Attributes:
        rows: For each packed row, the position in the flattened batch (sample, token) that it comes from; padding
            repeats a token of its sample.
        groups: How the rows are divided.
        summaries: The packed row of each sample's summary token, in packed order.
        place: For each sample of the batch, its place in packed order.
    """

    rows: Int[Tensor, " row"]
    groups: tuple[Group, ...]
    summaries: Int[Tensor, " sample"]
    place: Int[Tensor, " sample"]


def pack(tokens: Tokens) -> Packed:
    """Finds the packed order of a batch: the summary token of each sample first, then its other tokens.

    Args:
        tokens: The padded batch.
    """
    mask = tokens.mask.cpu().numpy()
    device = tokens.values.device
    num_samples, num_tokens = mask.shape
    wanted = mask.astype(np.int8)
    wanted[:, tokens.summary] = 2
    # Of each sample: the positions of its tokens, summary first, then those of its padding.
    positions = np.argsort(-wanted, axis=1, kind="stable")
    lengths = mask.sum(axis=1)
    rows, groups, summaries, order = [], [], [], []
    start = 0
    for samples in _similar(lengths):
        length = int(lengths[samples].max())
        there = np.arange(length) < lengths[samples][:, None]
        own = positions[samples, :length]
        rows.append((samples[:, None] * num_tokens + np.where(there, own, tokens.summary)).ravel())
        group_mask = None if there.all() else torch.from_numpy(there).to(device)[:, None, None, :]
        groups.append(Group(len(samples), length, group_mask))
        summaries.append(start + length * np.arange(len(samples)))
        order.append(samples)
        start += length * len(samples)
    place = np.empty(num_samples, dtype=np.int64)
    place[np.concatenate(order)] = np.arange(num_samples)
    return Packed(
        torch.from_numpy(np.concatenate(rows)).to(device),
        tuple(groups),
        torch.from_numpy(np.concatenate(summaries)).to(device),
        torch.from_numpy(place).to(device),
    )


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
