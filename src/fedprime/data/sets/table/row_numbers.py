"""Columns that number or name the rows: they tell which row it is, and nothing of what it is about."""

import re
from collections.abc import Iterator, Sequence

from fedprime.data.sets.table.parts import Part
from fedprime.data.sets.table.plain_words import is_empty

#: What programs write as names of row numbers.
_OF_PROGRAMS = re.compile(r"\(index\)|Unnamed: \d+(\.\d+)?|__index_level_\d+__|row[._]?names")
_IDENTIFIERS = re.compile(r"(?i:(.*[_. -])?id|index)|.*[a-z](Id|ID)")
_LEAST = 10  # rows, of which counting is no chance
_MANY = 50  # different identifiers; as words they would be texts
_AT_ONCE = 1000


def are_row_numbers(name: str, parts: Sequence[Part]) -> bool:
    """Returns whether a column numbers rows, whatever it is called, or holds identifiers and is called so.

    Identifiers are whole numbers, another in each row, or more than fifty.
    """
    if _OF_PROGRAMS.fullmatch(name):
        return True
    if sum(map(len, parts)) < _LEAST:
        return False
    is_called_so = _IDENTIFIERS.fullmatch(name) is not None
    return _count_rows(name, parts) or (is_called_so and _are_identifiers(list(_numbers(name, parts))))


def _count_rows(name: str, parts: Sequence[Part]) -> bool:
    """Returns whether each row has one more than the row before, the first of all 0 or 1."""
    if next(_numbers(name, parts), None) not in (0, 1):
        return False
    for part in parts:
        numbers = _numbers(name, [part])
        first = next(numbers, 0)
        if first is None or any(number != first + later for later, number in enumerate(numbers, 1)):
            return False
    return True


def _are_identifiers(numbers: Sequence[int | None]) -> bool:
    different = len(set(numbers))
    return None not in numbers and (different == len(numbers) or different > _MANY)


def _numbers(name: str, parts: Sequence[Part]) -> Iterator[int | None]:
    """Yields the whole number of each filled cell, None where it is something else."""
    for part in parts:
        column = part.column(name)
        for start in range(0, len(column), _AT_ONCE):
            cells = column.slice(start, _AT_ONCE).to_pylist()
            yield from (_whole(cell) for cell in cells if not is_empty(cell))


def _whole(cell: object) -> int | None:
    if isinstance(cell, str):
        word = cell.strip()
        return int(word) if word.isascii() and word.isdecimal() else None
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    return int(cell) if float(cell).is_integer() else None
