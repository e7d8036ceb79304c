"""Words in cells: which of them say that nothing is there, and what is left of one without what nobody sees."""

import math
import unicodedata
from collections.abc import Container, Iterable

#: What people and programs write where there is nothing; databases, errors of spreadsheets. "None" may be an answer.
_NOTHING = frozenset(("na", "n/a", "n.a.", "n.a", "<na>", "#n/a", "#na", "null", "nil", "?", ".", ".."))
_NOTHING |= frozenset(("\\n", "(null)", "<null>", "[null]", "0000-00-00", "0000-00-00 00:00:00"))
_NOTHING |= frozenset(("#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!", "#error!", "#spill!", "#calc!"))
_DASHES = "-\u2013\u2014"
#: White space, control and format characters (marks of byte order, of width zero, of direction).
_UNSEEN = "".join(
    letter for letter in map(chr, range(0x10000)) if letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf")
)
#: No single letters: those are codes of more than two things.
_TRUTH = {"true": "yes", "yes": "yes", "1": "yes", "1.0": "yes", "ja": "yes", "oui": "yes"}
_TRUTH |= {"false": "no", "no": "no", "0": "no", "0.0": "no", "nein": "no", "non": "no"}


def cleaned(word: str) -> str:
    r"""Returns a word without white space and unseen characters around it, its accents composed.

    >>> cleaned("\ufeff red\u200b ")
    'red'
    """
    word = word.strip(_UNSEEN)
    return word if word.isascii() else unicodedata.normalize("NFC", word)


def plain_word(cell: object) -> str:
    """Returns a cell as one word; of a whole number, whatever its type is, the same.

    >>> plain_word(3.0), plain_word(3), plain_word(" red ")
    ('3', '3', 'red')
    """
    return cleaned(str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell))


def is_empty(cell: object) -> bool:
    """Returns whether nothing is written in a cell, or that it is not a number (NaN).

    >>> [is_empty(cell) for cell in (None, " ", "NaN", float("nan"), 0, "n/a")]
    [True, True, True, True, False, False]
    """
    if isinstance(cell, str):
        return cleaned(cell).lower() in ("", "nan")
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def is_blank(cell: object, kept: Container[str] = ()) -> bool:
    """Returns whether a cell is a hole: nothing is written there, or a word that says so.

    Args:
        kept: Words that mean themselves in this column.

    >>> [is_blank(cell) for cell in (None, " ", "NaN", "n/a", "-", "#DIV/0!", 0, "no", "none")]
    [True, True, True, True, True, True, False, False, False]
    """
    if is_empty(cell) or not isinstance(cell, str):
        return is_empty(cell)
    word = cleaned(cell)
    # NaT is no time to pandas; in capitals it may mean something. Lines of dashes divide tables that are drawn.
    is_nothing = word.lower() in _NOTHING or word == "NaT" or not word.strip(_DASHES)
    return is_nothing and word not in kept


def kept_words(cells: Iterable[object]) -> tuple[str, ...]:
    """Returns what means itself in a column: a minus does, where another cell is a plus.

    >>> kept_words(["+", "-"]), kept_words(["3", "-"])
    (('-',), ())
    """
    return ("-",) if any(isinstance(cell, str) and cleaned(cell) == "+" for cell in cells) else ()


def truth(word: str) -> str:
    """Returns yes or no for a word that says either; raises ``ValueError`` for any other.

    >>> truth("True"), truth("0"), truth("nein")
    ('yes', 'no', 'no')
    """
    try:
        return _TRUTH[cleaned(word).casefold()]
    except KeyError:
        raise ValueError(f"{word!r} is neither yes nor no") from None


def row_of_numbers(word: str) -> list[float]:
    """Returns the numbers of a cell: with spaces between them, or a list as JSON, Python or NumPy writes one.

    Raises:
        ValueError: If one of them is no number.

    >>> row_of_numbers("0.5 1"), row_of_numbers("[0.5, 1]")
    ([0.5, 1.0], [0.5, 1.0])
    """
    is_list = word[:1] + word[-1:] in ("[]", "()")
    return [float(number) for number in (word[1:-1].replace(",", " ") if is_list else word).split()]
