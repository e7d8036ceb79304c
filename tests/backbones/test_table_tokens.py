"""Rows of a table: a token for each filled cell, and clear words for what is no row."""

import numpy as np
import pytest
import torch

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.table_tokens import TableTokens


@pytest.fixture
def table() -> TableTokens:
    return TableTokens({"price": (10.0, 4.0), "age": (40.0, 20.0)}, {"brand": ["acme", "umbrella"]})


def test_a_number_is_standardised_beside_the_one_of_its_column(table: TableTokens) -> None:
    [tokens] = table.encode([{"price": 16.0, "age": 30}])
    # Columns: price, its value, age, its value, other brand, acme, umbrella.
    assert tokens.tolist() == [[1, 1.5, 0, 0, 0, 0, 0], [0, 0, 1, -0.5, 0, 0, 0]]


def test_a_category_is_a_one_of_its_own_and_unknown_ones_share_another(table: TableTokens) -> None:
    tokens = torch.cat(table.encode([{"brand": name} for name in ("acme", "umbrella", "initech", "hooli")]))
    assert tokens.argmax(dim=1).tolist() == [5, 6, 4, 4]
    assert torch.allclose(tokens.square().sum(dim=1), torch.full((4,), 2.0))


@pytest.mark.parametrize("empty", [None, float("nan"), np.float64("nan")])
def test_an_empty_cell_has_no_token(table: TableTokens, empty: object) -> None:
    [with_holes], [without] = table.encode([{"price": empty, "age": 30}]), table.encode([{"age": 30}])
    assert torch.equal(with_holes, without)
    assert len(without) == 1


def test_the_order_of_cells_does_not_matter(table: TableTokens) -> None:
    one, other = table.encode([{"price": 1.0, "brand": "acme"}, {"brand": "acme", "price": 1.0}])
    assert torch.equal(one, other)


def test_a_table_of_numbers_takes_an_array() -> None:
    table = TableTokens({"height": (0.0, 1.0), "weight": (0.0, 1.0)})
    by_name, as_array = table.encode([{"height": 1.0, "weight": 2.0}, np.array([1.0, 2.0])])
    assert torch.equal(by_name, as_array)
    assert len(table.encode([np.array([np.nan, 2.0])])[0]) == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"price": "cheap"}, "found 'cheap' in the column 'price' where a finite number was expected"),
        ({"price": float("inf")}, "where a finite number was expected"),
        ({"price": True}, "where a finite number was expected"),
        ({"smell": 3.0}, "no column 'smell'; it has price, age, brand"),
        ({}, "without any filled cell"),
        ({"price": None}, "without any filled cell"),
        ("3, 4", "found str where a row by column was expected"),
        (np.zeros(2), r"found ndarray of shape \(2,\) where a row by column was expected"),
    ],
)
def test_what_is_no_row_is_refused(table: TableTokens, value: object, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        table.encode([{"price": 1.0}, value])


def test_an_array_of_another_length_is_refused() -> None:
    with pytest.raises(BackboneError, match=r"found ndarray of shape \(3,\) where an array of 1 numbers was expected"):
        TableTokens({"height": (0.0, 1.0)}).encode([np.zeros(3)])


@pytest.mark.parametrize(
    ("numbers", "categories", "message"),
    [
        ({}, {}, "there is no column"),
        ({"price": (0.0, 0.0)}, {}, "the standard deviation of 'price' is not positive"),
        ({"price": (0.0, 1.0)}, {"price": ["low"]}, "'price' is a number and a category"),
    ],
)
def test_what_is_no_table_is_refused(
    numbers: dict[str, tuple[float, float]], categories: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(BackboneError, match=message):
        TableTokens(numbers, categories)
