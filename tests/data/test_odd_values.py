"""A value that cannot be used costs no other, and is named once."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from fedprime.data.odd_values import OddValues, embed_usable


class Rows:
    def place_of(self, index: int) -> str:
        return f"photos/{index}.jpg (row {index + 1})"


def embed(values: Sequence[object]) -> list[Tensor]:
    """Refuses 13 wherever it stands, and makes what is not finite or nothing of others."""
    if 13 in values:
        raise RuntimeError("thirteen\nin two lines")
    made = {7: torch.full((2, 3), float("nan")), 8: torch.zeros(0, 3)}
    return [made.get(value, torch.ones(2, 3)) for value in values]  # pyright: ignore[reportCallIssue, reportArgumentType]


def read(index: int) -> object:
    if index == 5:
        raise OSError("no such disk")
    return index


def test_one_odd_value_costs_no_other():
    embedded, reasons = embed_usable(range(10), read, embed)
    assert sorted(embedded) == [0, 1, 2, 3, 4, 6, 9]
    assert reasons == {
        5: "no such disk",
        7: "the backbone makes numbers of it that are not finite",
        8: "the backbone finds nothing in it",
    }
    embedded, reasons = embed_usable([12, 13, 14], read, embed)
    assert sorted(embedded) == [12, 14]
    assert reasons == {13: "thirteen in two lines"}


def test_a_machine_without_memory_says_nothing_about_a_value():
    def fail(_: Sequence[object]) -> list[Tensor]:
        raise MemoryError

    with pytest.raises(MemoryError):
        embed_usable([1], read, fail)


def test_each_is_named_once_by_file_and_row(caplog: pytest.LogCaptureFixture):
    odd = OddValues(Rows())
    odd.add("image", {3: "too narrow"})
    odd.add("image", {3: "too narrow", 4: "no image"})
    assert caplog.messages == [
        "photos/3.jpg (row 4): a missing image: too narrow",
        "photos/4.jpg (row 5): a missing image: no image",
    ]
    assert odd.counts() == {"image": 2}
    assert odd.by_place() == {"image": {"photos/3.jpg (row 4)": "too narrow", "photos/4.jpg (row 5)": "no image"}}
