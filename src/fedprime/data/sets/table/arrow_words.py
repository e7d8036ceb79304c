"""Columns of types that are written as words elsewhere: dates, times, cells of JSON of several types."""

import json

import pyarrow as pa

from fedprime.data.sources import DataError

__all__ = ["in_words"]


def in_words(cells: pa.ChunkedArray, place: str) -> pa.ChunkedArray:
    """Returns cells as they are, but for dates, times and cells of mixed types, which become words.

    Args:
        place: Where they stand, for messages.

    Raises:
        DataError: If words are not in UTF-8.
    """
    kind = cells.type
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.json":
        words = [None if cell is None else _word(json.loads(cell)) for cell in cells.to_pylist()]
        return pa.chunked_array([pa.array(words, pa.large_string())])
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind) and not pa.types.is_interval(kind):
        return cells.cast(pa.large_string())
    if kind == pa.string_view():
        return cells.cast(pa.large_string())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            cells.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(f"{place}, has words that are not in UTF-8; write the file anew in UTF-8") from error
    return cells


def _word(cell: object) -> str | None:
    return cell if cell is None or isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
