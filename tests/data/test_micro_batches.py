"""Micro-batches: which samples end up together."""

from collections.abc import Sequence

import torch

from fedprime.data.batches import Batch
from fedprime.data.micro_batches import divide_by_length


def batch_of(lengths: Sequence[int]) -> Batch:
    # A sample's label is its place in the batch; every third sample lacks text, its image is longer instead.
    images = [torch.zeros(length if index % 3 else length - 1, 2) for index, length in enumerate(lengths)]
    texts = [None if index % 3 else torch.zeros(1, 2) for index in range(len(lengths))]
    present = torch.tensor([[True, text is not None] for text in texts])
    return Batch({"image": images, "text": texts}, present, torch.arange(len(lengths)))


def test_a_small_batch_stays_as_it_is():
    batch = batch_of([3, 5, 4])
    assert divide_by_length(batch, 2, most_values=24) == [batch]


def test_parts_have_samples_of_similar_length_and_about_equally_many_tokens():
    parts = divide_by_length(batch_of([9, 3, 9, 3, 3, 9]), 1, most_values=18)
    # 36 tokens in two parts: three samples of 3 and one of 9, then two of 9.
    assert [part.labels.tolist() for part in parts] == [[1, 3, 4, 0], [2, 5]]


def test_every_sample_is_in_one_part_with_its_own_inputs():
    lengths = [4, 9, 2, 7, 7, 3, 11, 5]
    batch = batch_of(lengths)
    parts = divide_by_length(batch, 4, most_values=40)
    assert len(parts) == 5  # 48 tokens of 4 values, 40 at a time
    assert sorted(int(label) for part in parts for label in part.labels) == list(range(8))
    for part in parts:
        for row, label in enumerate(part.labels):
            assert part.embedded["image"][row] is batch.embedded["image"][label]
            assert part.embedded["text"][row] is batch.embedded["text"][label]
            assert torch.equal(part.present[row], batch.present[label])


def test_a_sample_that_is_too_long_is_a_part_by_itself():
    parts = divide_by_length(batch_of([2, 50, 2]), 1, most_values=10)
    assert [part.labels.tolist() for part in parts] == [[0, 2], [1]]
