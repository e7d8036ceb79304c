"""Numbers as people write them: with a decimal comma, with marks between thousands; one way for a whole column."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["PLAIN", "NumberStyle", "number_style"]

_LEAST = 0.9  # of the words of a column of numbers that are numbers
_SPACES = re.compile("[\u00a0\u202f'’ ]")  # noqa: RUF001
_COMMA_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
_POINT_THOUSANDS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d*)?")
_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_SPACED = re.compile("[+-]?\\d{1,3}([\u00a0\u202f'’ ]\\d{3})+([.,]\\d*)?")  # noqa: RUF001


@dataclass(frozen=True)
class NumberStyle:
    """How the numbers of a column are written.

    Attributes:
        title: For people.
        parse: Returns the number that a word is; raises ``ValueError`` if it is none.
    """

    title: str
    parse: Callable[[str], int | float]


def _plain(word: str) -> int | float:
    return int(word) if word.lstrip("+-").isdecimal() else float(word)


def _with_points(word: str) -> int | float:
    if _COMMA_THOUSANDS.fullmatch(word):
        return _plain(word.replace(",", ""))
    return _plain(_SPACES.sub("", word) if _SPACED.fullmatch(word) else word)


def _with_commas(word: str) -> int | float:
    if _SPACED.fullmatch(word):
        word = _SPACES.sub("", word)
    if _POINT_THOUSANDS.fullmatch(word):
        word = word.replace(".", "")
    return float(word.replace(",", ".")) if _COMMA.fullmatch(word) else _plain(word)


PLAIN = NumberStyle("numbers", _plain)
_THOUSANDS = NumberStyle("numbers with marks between thousands", _with_points)
_DECIMAL_COMMA = NumberStyle("numbers with decimal comma", _with_commas)


def number_style(words: Sequence[str]) -> NumberStyle | None:
    """Returns how the numbers of a column are written; None if most of its words are no numbers.

    Args:
        words: Filled cells.

    >>> [number_style(own).title for own in (["3.5", "-2"], ["3,50", "1.234,5"], ["1,234", "1,234.5"])]
    ['numbers', 'numbers with decimal comma', 'numbers with marks between thousands']
    """
    if not words:
        return None
    shares = {style.title: sum(_fits(style, word) for word in words) / len(words) for style in (PLAIN, _THOUSANDS)}
    if shares[PLAIN.title] >= _LEAST and shares[PLAIN.title] >= shares[_THOUSANDS.title]:
        return PLAIN
    commas = sum(_fits(_DECIMAL_COMMA, word) for word in words) / len(words)
    # What only a decimal comma explains decides; 1,234 alone is taken for a thousand.
    if commas >= _LEAST and commas > shares[_THOUSANDS.title]:
        return _DECIMAL_COMMA
    return _THOUSANDS if shares[_THOUSANDS.title] >= _LEAST else PLAIN if shares[PLAIN.title] >= _LEAST else None


def _fits(style: NumberStyle, word: str) -> bool:
    try:
        style.parse(word)
    except ValueError:
        return False
    return True
