"""What the words of a column of numbers or categories stand for, as its first cells tell or as it was in training."""

from collections.abc import Sequence

import pyarrow as pa

from fedprime.data.sets.table.columns import Form
from fedprime.data.sets.table.number_words import PLAIN, TRUTH, WordStyle, named_style, number_style
from fedprime.data.sets.table.plain_words import cleaned, is_blank, kept_words

__all__ = ["column_style", "kept_in", "misfits"]

_LOOKED_AT = 1000  # cells of each part


def column_style(form: Form, columns: Sequence[pa.ChunkedArray], known: str = "") -> WordStyle | None:
    """Returns what the words of a column of numbers or categories stand for; None if for themselves.

    Args:
        form: Of what form its cells are.
        columns: It, of each part.
        known: The title of the style that it had in training, which is taken unless another
            fits more: a few new rows may not tell.
    """
    if form not in ("number", "category"):
        return None
    cells = [cell for column in columns for cell in column.slice(0, _LOOKED_AT).to_pylist()]
    words = [cleaned(str(cell)) for cell in cells if not is_blank(cell)]
    found = _found(form, words, columns)
    trained = named_style(known)
    if trained is None or (found is not None and _num_fitting(found, words) > _num_fitting(trained, words)):
        return found
    return trained


def _found(form: Form, words: Sequence[str], columns: Sequence[pa.ChunkedArray]) -> WordStyle | None:
    if form == "number":
        are_typed = any(pa.types.is_integer(own.type) or pa.types.is_floating(own.type) for own in columns)
        return PLAIN if are_typed else number_style(words) or PLAIN
    spellings = set(words)
    said = {word: TRUTH.parse(word) for word in spellings} if all(map(TRUTH.fits, spellings)) else {}
    return TRUTH if len(said) > len(set(said.values())) else None


def _num_fitting(style: WordStyle, words: Sequence[str]) -> int:
    return sum(style.fits(word) for word in words)


def kept_in(columns: Sequence[pa.ChunkedArray]) -> tuple[str, ...]:
    """Returns the words that mean themselves in a column, though they look like holes."""
    return kept_words(cell for column in columns for cell in column.slice(0, _LOOKED_AT).to_pylist())


def misfits(style: WordStyle, columns: Sequence[pa.ChunkedArray], kept: Sequence[str]) -> list[str]:
    """Returns the words of a column that are nothing of its style, numbers that are not finite among them.

    Args:
        columns: It, of each part.
        kept: As from `kept_in`.
    """
    cells = (cell for column in columns for cell in column.to_pylist() if not is_blank(cell, kept))
    return [word for cell in cells if not style.fits(word := cleaned(str(cell)))]
