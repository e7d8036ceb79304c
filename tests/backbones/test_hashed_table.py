"""Hashed rows: fixed in width, of whatever columns, and linear models can tell their cells apart."""

import numpy as np
import pytest
import torch

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.hashed_table import NARROW, WIDE, HashedTable, Places


def row(**cells: object) -> torch.Tensor:
    [tokens] = HashedTable().encode([cells])
    return tokens[0]


def test_a_row_is_the_sum_of_its_cells() -> None:
    whole = row(price=3.0, brand="acme")
    assert torch.allclose(whole, row(price=3.0) + row(brand="acme"))


def test_a_number_is_compressed_and_stands_twice() -> None:
    difference = row(price=1000.0) - row(price=0.0)
    places = difference.nonzero()[:, 0].tolist()
    assert len(places) == 2
    assert places[0] < 64 <= places[1] < 128
    assert difference[places].tolist() == pytest.approx([np.arcsinh(1000.0)] * 2)
    assert torch.allclose(row(price=-5.0) - row(price=0.0), row(price=0.0) - row(price=5.0))


def test_that_a_number_is_there_is_told_even_where_it_is_zero() -> None:
    assert not torch.equal(row(price=0.0, brand="acme"), row(brand="acme"))


def test_fifty_words_are_linearly_independent() -> None:
    rows = torch.stack([row(brand=f"brand {number}") for number in range(50)])
    assert torch.linalg.matrix_rank(rows) == 50


def test_the_same_word_of_another_column_is_another() -> None:
    assert not torch.equal(row(maker="acme"), row(seller="acme"))


@pytest.mark.parametrize("empty", [None, float("nan")])
def test_an_empty_cell_is_none(empty: object) -> None:
    assert torch.equal(row(price=empty, brand="acme"), row(brand="acme"))


def test_an_array_is_a_row_of_numbers() -> None:
    [tokens] = HashedTable().encode([np.array([1.0, 2.0])])
    assert torch.equal(tokens[0], row(**{"0": 1.0, "1": 2.0}))


@pytest.mark.parametrize(
    ("value", "message"),
    [("acme", "found str where a row"), ({"price": None}, "count it as missing"), ({"price": float("inf")}, "finite")],
)
def test_what_is_no_row_is_refused(value: object, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        HashedTable().encode([value])


@pytest.mark.parametrize(("places", "rank"), [(NARROW, 128), (WIDE, 295)])
def test_a_wide_row_tells_hundreds_of_numbers_apart(places: Places, rank: int) -> None:
    there = {f"sensor {number}": 0.0 for number in range(300)}
    rows = HashedTable(places).encode([{**there, name: 1.0} for name in there])
    assert torch.linalg.matrix_rank(torch.cat(rows) - HashedTable(places).encode([there])[0]) == pytest.approx(
        rank, abs=5
    )


@pytest.mark.parametrize(("places", "rank"), [(NARROW, 128), (WIDE, 600)])
def test_a_wide_row_tells_hundreds_of_words_apart(places: Places, rank: int) -> None:
    rows = HashedTable(places).encode([{f"question {number % 300}": f"answer {number}"} for number in range(600)])
    assert torch.linalg.matrix_rank(torch.cat(rows)) == rank


def test_how_many_places_there_are_is_part_of_what_it_is() -> None:
    earlier = "6a6d372647011e53"  # of commit e592ceb
    assert HashedTable().fingerprint == HashedTable(kind="numbers").fingerprint == earlier
    assert HashedTable(WIDE).fingerprint != earlier
