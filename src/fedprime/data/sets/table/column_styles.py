"""What the words of a column of numbers or categories stand for, as its cells tell or as it was in training."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from fedprime.data.sets.table.arrow_words import some_cells
from fedprime.data.sets.table.columns import Form
from fedprime.data.sets.table.number_words import (
    PLAIN,
    TRUTH,
    WordStyle,
    are_comparable,
    decimal_marks,
    named_style,
    number_style,
    with_decimal_commas,
)
from fedprime.data.sets.table.parts import Part
from fedprime.data.sets.table.plain_words import cleaned, is_blank, kept_words

_MISFITS = 1000  # that may tell a style


def has_decimal_commas(parts: Sequence[Part], forms: Mapping[str, Form]) -> bool:
    """Returns whether numbers of a table have decimal commas, and none a decimal point."""
    marks: set[str] = set()
    for name in (name for name, form in forms.items() if form == "number"):
        columns = [part.column(name) for part in parts]
        words = (cell for column in columns if not are_numbers(column) for cell in some_cells(column))
        marks |= decimal_marks(cleaned(word) for word in words if isinstance(word, str))
    return marks == {","}


def column_style(
    form: Form, columns: Sequence[pa.ChunkedArray], known: str | None = None, *, has_commas: bool = False
) -> WordStyle | None:
    """Returns what the words of a column of numbers or categories stand for; None if for themselves.

    Args:
        columns: It, of each part.
        known: The title of the style that it had in training, empty for none, which is taken unless another of numbers
            that may count the same fits more: a few new rows may not tell.
        has_commas: Whether other columns of the table have decimal commas.
    """
    if form not in ("number", "category"):
        return None
    if form == "category" and known is not None:
        return named_style(known)
    cells = [cell for column in columns for cell in some_cells(column)]
    words = [cleaned(str(cell)) for cell in cells if not is_blank(cell)]
    found = _found(form, words, columns)
    if form == "number" and found is not None and (odd := misfits(found, columns, ())):
        # A single cell tells a decimal comma, or that the day comes first.
        other = _found(form, [*words, *odd[:_MISFITS]], columns)
        if other is not None and len(misfits(other, columns, ())) < len(odd):
            found = other
    if has_commas and found is not None and not known:
        found = with_decimal_commas(found, words)
    trained = named_style(known or "")
    if trained is None or found is None:
        return trained or found
    fits_more = _num_fitting(found, words) > _num_fitting(trained, words)
    return found if fits_more and are_comparable(found, trained) else trained


def _found(form: Form, words: Sequence[str], columns: Sequence[pa.ChunkedArray]) -> WordStyle | None:
    if form == "number":
        return PLAIN if any(map(are_numbers, columns)) else number_style(words) or PLAIN
    spellings = set(words)
    said = {word: TRUTH.parse(word) for word in spellings} if all(map(TRUTH.fits, spellings)) else {}
    return TRUTH if len(said) > len(set(said.values())) else None


def are_numbers(column: pa.ChunkedArray) -> bool:
    """Returns whether cells are numbers by their type, and not words."""
    return pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)


def _infinite(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_floating(numbers.type):
        return numbers.slice(0, 0)
    import pyarrow.compute as pc  # slow to import, and few tables have such cells

    return numbers.filter(pc.call_function("is_inf", [numbers]))


def _num_fitting(style: WordStyle, words: Sequence[str]) -> int:
    return sum(style.fits(word) for word in words)


def kept_in(columns: Sequence[pa.ChunkedArray]) -> tuple[str, ...]:
    """Returns the words that mean themselves in a column, though they look like holes."""
    return kept_words(cell for column in columns for cell in some_cells(column))


def misfits(style: WordStyle, columns: Sequence[pa.ChunkedArray], kept: Sequence[str]) -> list[str]:
    """Returns the words of a column that are nothing of its style, numbers that are not finite among them.

    Args:
        columns: It, of each part.
        kept: As from `kept_in`.
    """
    if style.title == PLAIN.title:  # of numbers, only some that are not finite are none
        are_plain = [are_numbers(column) or pa.types.is_boolean(column.type) for column in columns]
        columns = [_infinite(column) if plain else column for column, plain in zip(columns, are_plain, strict=True)]
    cells = (cell for column in columns for cell in column.to_pylist() if not is_blank(cell, kept))
    return [word for cell in cells if not style.fits(word := cleaned(str(cell)))]
