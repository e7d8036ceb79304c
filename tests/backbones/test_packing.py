import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedprime.backbones.backbone import Tokens
from fedprime.backbones.packing import pack


def padded_batch(mask: list[list[bool]], summary: int) -> Tokens:
    there = torch.tensor(mask)
    # Every token's value is its own position in the flattened batch.
    values = torch.arange(there.numel(), dtype=torch.float32).view(*there.shape, 1)
    return Tokens(values, there, torch.full((there.shape[1],), -1), summary)


@st.composite
def masks(draw: st.DrawFn) -> tuple[list[list[bool]], int]:
    num_tokens = draw(st.integers(1, 30))
    summary = draw(st.integers(0, num_tokens - 1))
    mask = draw(st.lists(st.lists(st.booleans(), min_size=num_tokens, max_size=num_tokens), min_size=1, max_size=40))
    for row in mask:
        row[summary] = True
    return mask, summary


@given(masks())
def test_every_token_that_is_there_is_packed_once_with_its_sample_and_nothing_else_is_seen(
    drawn: tuple[list[list[bool]], int],
):
    mask, summary = drawn
    packed = pack(padded_batch(mask, summary))
    num_tokens = len(mask[0])
    start, seen = 0, {}
    in_order = packed.place.argsort().tolist()
    for group in packed.groups:
        rows = packed.rows[start : start + group.num_samples * group.length].view(group.num_samples, group.length)
        there = torch.ones_like(rows, dtype=torch.bool) if group.mask is None else group.mask[:, 0, 0]
        for row, row_there in zip(rows, there, strict=True):
            sample = in_order[len(seen)]
            assert {int(position) // num_tokens for position in row} == {sample}
            seen[sample] = [int(position) % num_tokens for position in row[row_there]]
        start += rows.numel()
    assert start == len(packed.rows)
    assert {sample: sorted(positions) for sample, positions in seen.items()} == {
        sample: np.flatnonzero(row).tolist() for sample, row in enumerate(mask)
    }


@given(masks())
def test_the_summary_rows_are_those_of_the_summary_tokens(drawn: tuple[list[list[bool]], int]):
    mask, summary = drawn
    packed = pack(padded_batch(mask, summary))
    of_sample = packed.rows[packed.summaries[packed.place]]
    assert of_sample.tolist() == [sample * len(mask[0]) + summary for sample in range(len(mask))]


@pytest.mark.parametrize("short", [4, 8])
def test_samples_of_two_lengths_are_packed_without_padding(short: int):
    mask = [[True] * 20 if sample % 2 else [True] * short + [False] * (20 - short) for sample in range(16)]
    packed = pack(padded_batch(mask, 0))
    assert [(group.num_samples, group.length, group.mask) for group in packed.groups] == [
        (8, short, None),
        (8, 20, None),
    ]


def test_a_few_odd_samples_make_no_group_of_their_own():
    mask = [[True] * 2 + [False] * 18, *([[True] * 20] * 15)]
    packed = pack(padded_batch(mask, 0))
    assert [(group.num_samples, group.length) for group in packed.groups] == [(16, 20)]


def test_a_few_long_samples_join_the_group_below():
    mask = [*([[True] * 4 + [False] * 16] * 15), [True] * 20]
    packed = pack(padded_batch(mask, 0))
    assert [(group.num_samples, group.length) for group in packed.groups] == [(16, 20)]
