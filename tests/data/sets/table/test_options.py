"""What a person states of a table: nothing, unless it is stated."""

import dataclasses

from fedprime.data.sets.table.options import TableOptions


def test_nothing_is_stated_of_any_column_by_default():
    assert not any(dataclasses.asdict(TableOptions()).values())
