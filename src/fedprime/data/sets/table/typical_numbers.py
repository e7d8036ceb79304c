"""What is read in the place of an empty number, where training never saw that column empty.

A head learns what an empty cell means from samples that have one. Of a column that is always filled in training it
knows nothing of the kind: no number at all would lie where no sample was, as far from the others as zero is.
"""

import math
from collections.abc import Mapping, Sequence

from fedprime.data.sets.table.plain_words import is_blank


def typical_numbers(rows: Sequence[Mapping[str, object]]) -> dict[str, float]:
    """Returns of each column that has a number in every row their mean, on the scale on which numbers are compressed.

    >>> typical_numbers([{"age": 50, "weight": 70.0}, {"age": 50, "ward": "A"}])
    {'age': 50.0}
    """
    typical: dict[str, float] = {}
    for name in rows[0] if rows else ():
        cells = [row.get(name) for row in rows]
        numbers = [float(cell) for cell in cells if isinstance(cell, int | float) and not isinstance(cell, bool)]
        if len(numbers) == len(rows):
            typical[name] = round(math.sinh(math.fsum(map(math.asinh, numbers)) / len(numbers)), 9)
    return typical


def filled_row(row: Mapping[str, object], typical: Mapping[str, float]) -> dict[str, object]:
    """Returns a row with what is typical in the place of empty cells; one that is empty altogether stays as it is."""
    there = {name: cell for name, cell in row.items() if not is_blank(cell)}
    return {**row, **{name: number for name, number in typical.items() if name not in there}} if there else dict(row)
