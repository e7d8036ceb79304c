"""Columns that number or name the rows."""

from pathlib import Path

import pyarrow as pa
import pytest

from fedprime.data.sets.table.parts import Part
from fedprime.data.sets.table.row_numbers import are_row_numbers


def part_of(name: str, cells: list[object]) -> Part:
    words = [str(cell) for cell in cells] if any(isinstance(cell, str) for cell in cells) else cells
    return Part(pa.table({name: words}), None, Path(), "a table")


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("obs", [str(row) for row in range(1, 21)]),  # counted, as CSV has it
        ("obs", [float(row) for row in range(20)]),
        ("obs", [*map(str, range(20)), "", ""]),  # with blank rows below
        ("rownames", ["1.1", "1.2", "2.1"] * 4),
        ("id", [7 * row for row in range(12)]),
        ("PassengerId", [7 * row for row in range(12)]),
        ("patient_id", [str(row % 60 + 4) for row in range(300)]),  # of sixty people, several rows each
    ],
)
def test_what_counts_the_rows_or_is_called_an_identifier_is_known(name: str, cells: list[object]):
    assert are_row_numbers(name, [part_of(name, cells)])


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("year", list(range(1990, 2010))),
        ("age", [str(row % 7) for row in range(20)]),
        ("obs", [1, 2, 3]),  # a few rows may do so by chance
        ("obs", [*range(1, 20), "total"]),
        ("paid", [7 * row for row in range(12)]),
        ("id", [row % 3 for row in range(200)]),  # a few groups
        ("id", [row + 0.5 for row in range(20)]),
    ],
)
def test_measurements_and_groups_are_no_row_numbers(name: str, cells: list[object]):
    assert not are_row_numbers(name, [part_of(name, cells)])


def test_rows_of_a_test_file_may_be_counted_on_or_anew():
    for first in (1, 21):
        parts = [part_of("obs", list(range(1, 21))), part_of("obs", list(range(first, first + 9)))]
        assert are_row_numbers("obs", parts)
