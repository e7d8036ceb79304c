"""Columns of types that are written as words elsewhere: dates, times, cells of JSON of several types; some cells."""

import json
from typing import Any

import pyarrow as pa

from fedprime.data.sets.table.embedded_files import kind_of_bytes
from fedprime.data.sources import DataError

_SOME = 1000  # cells that tell what a column is
_FEW = 20  # that tell whether bytes, which may be large, are texts
_TAB = 9  # no text has a control character before it


def in_words(cells: pa.ChunkedArray, place: str) -> pa.ChunkedArray:
    """Returns cells as they are, but dates, times, cells of mixed types and bytes that are texts as words.

    Raises:
        DataError: If words are not in UTF-8.
    """
    kind = cells.type
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.json":
        words = [None if cell is None else _word(json.loads(cell)) for cell in cells.to_pylist()]
        return pa.chunked_array([pa.array(words, pa.large_string())])
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind) and not pa.types.is_interval(kind):
        return _as_dates(cells).cast(pa.large_string())
    if kind == pa.string_view():
        return cells.cast(pa.large_string())
    if kind == pa.binary_view() or pa.types.is_fixed_size_binary(kind):
        cells = cells.cast(pa.large_binary())
    if pa.types.is_binary(cells.type) or pa.types.is_large_binary(cells.type):
        return _as_texts(cells)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            cells.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(f"{place}, has words that are not in UTF-8; write the file anew in UTF-8") from error
    return cells


def _as_texts(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns bytes that are texts in UTF-8 as these, as programs write them that note no types; others as they are."""
    some = [cell for cell in cells.slice(0, _FEW).to_pylist() if cell]
    if not some or any(kind_of_bytes(cell) or min(cell) < _TAB for cell in some):
        return cells
    try:
        return cells.cast(pa.large_string() if pa.types.is_large_binary(cells.type) else pa.string())
    except pa.ArrowInvalid:
        return cells


def _as_dates(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns moments without times of day as the dates that they are, which parsers of JSON do not know."""
    if pa.types.is_timestamp(cells.type) and cells.type.tz is None:
        dates = cells.cast(pa.date32(), safe=False)
        return dates if dates.cast(cells.type, safe=False).equals(cells) else cells
    return cells


def some_cells(cells: pa.ChunkedArray) -> list[Any]:
    """Returns up to a thousand cells from all of a column, as the first alone may be of another sort."""
    if len(cells) <= _SOME:
        return cells.to_pylist()
    return [cells[row * (len(cells) - 1) // (_SOME - 1)].as_py() for row in range(_SOME)]


def _word(cell: object) -> str | None:
    return cell if cell is None or isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
