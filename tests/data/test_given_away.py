"""Columns that give the label away."""

from collections.abc import Sequence

import pytest

from fedprime.data.given_away import GivenAway


@pytest.mark.parametrize(
    ("cells", "is_told"),
    [
        ([row % 4 for row in range(40)], True),  # twice as fine as the labels
        (["ab"[row % 2] for row in range(40)], True),
        ([row % 3 for row in range(40)], False),
        (list(range(40)), False),  # another in each row tells nothing of others
        ([7] * 40, False),
        ([row % 4 for row in range(12)], False),  # so few rows may do so by chance
    ],
)
def test_a_column_is_told_where_each_of_few_values_has_one_label(cells: Sequence[object], is_told: bool):
    found = GivenAway()
    for row, cell in enumerate(cells):
        found.see({"size": row % 7, "code": cell}, row % 2)
    assert found.columns() == ["code"] * is_told
