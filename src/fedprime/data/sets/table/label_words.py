"""Words of label columns: what a cell says, and the labels of a cell that has any number of them."""

import ast
import json
import re
from collections.abc import Iterable, Sequence

from fedprime.data.sets.table.number_words import PLAIN
from fedprime.data.sets.table.parts import Part, named
from fedprime.data.sets.table.plain_words import cleaned, is_blank, kept_words, plain_word

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
#: Between words of a list that NumPy wrote.
_NO_COMMA = re.compile(r"""(['"])\s+\1""")
#: A list as NumPy says it.
_ARRAY = re.compile(r"array\((\[.*\])(, dtype=[^()]*)?\)", re.DOTALL)
#: 1.0, and 1,0 but for 1,000.
_WHOLE = re.compile(r"[+-]?\d+(\.0+|,00?)")
#: 01, but for 0.1.
_CODE = re.compile(r"[+-]?0\d")


def cell_words(name: str, parts: Sequence[Part], kept: Iterable[str] = ()) -> list[str | None]:
    """Returns what stands in a column as words, None for a hole; 3.0 is called 3, classes by their names.

    Args:
        kept: Words that are none, though they look like one, such as NA.
    """
    cells = cells_of(name, parts)
    class_names = {own for part in parts for own in part.class_names(name) or ()}
    all_kept = {*kept, *kept_words(cells), *class_names}
    return without_zeros([None if is_blank(cell, all_kept) else word_of(cell) for cell in cells])


def without_zeros(words: list[str | None]) -> list[str | None]:
    """Returns 3 for 3.0, and one spelling of each number, where all words are numbers."""
    # What a program once read as numbers, it writes as 1.0 where another row is empty.
    filled = {word for word in words if word}
    whole = {word for word in filled if _WHOLE.fullmatch(word)}
    if not all(word in whole or PLAIN.fits(word) for word in filled):
        return words
    short = {word: re.split("[.,]", word)[0] if word in whole else word for word in filled}
    names: dict[float | str, str] = {}  # by value, the shortest of its spellings; 01 may be a code
    values = {word: own if _CODE.match(own) else PLAIN.parse(own) for word, own in short.items()}
    for word, own in sorted(short.items(), key=lambda pair: (len(pair[1]), pair[1])):
        names.setdefault(values[word], own)
    return [names[values[word]] if word else word for word in words]


def listed_words(word: str) -> list[str] | None:
    """Returns the words of a list as JSON, Python, NumPy, Spark or Postgres writes it into a cell; None if it is none.

    >>> listed_words("['red', 'warm']"), listed_words('["red"]'), listed_words("['a' 'b']"), listed_words("red")
    (['red', 'warm'], ['red'], ['a', 'b'], None)
    >>> listed_words("[red, warm]"), listed_words("{red,warm}"), listed_words("[1. 2.]")
    (['red', 'warm'], ['red', 'warm'], ['1', '2'])
    """
    word = _ARRAY.sub(r"\1", word)
    if word[:1] + word[-1:] not in ("[]", "()", "{}"):
        return None
    try:
        found = ast.literal_eval(_NO_COMMA.sub(r"\1, \1", word))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        try:
            found = json.loads(word)
        except (ValueError, RecursionError):
            return _bare_words(word)
    if not isinstance(found, list | tuple | set) or any(isinstance(own, list | tuple | set | dict) for own in found):
        return [] if word == "{}" else None
    own = sorted(found, key=str) if isinstance(found, set) else found
    return [word_of(label) for label in own if not is_blank(label)]


def _bare_words(word: str) -> list[str] | None:
    """Returns the words of a list without quotes, as Spark and Postgres write one; None if it is none."""
    inner = word[1:-1].strip()
    if word[0] == "(" or not inner or set(inner) & set("[]{}()'\":"):
        return None
    if "," not in inner and all(map(PLAIN.fits, inner.split())):  # of NumPy
        return [word_of(float(number)) for number in inner.split()]
    return [own for own in map(cleaned, inner.split(",")) if not is_blank(own)]


def cells_of(name: str, parts: Sequence[Part]) -> list[object]:
    """Returns the cells of a column, numbers that stand for classes as their names."""
    return [cell for part in parts for cell in named(part.column(name).to_pylist(), part.class_names(name))]


def word_of(cell: object) -> str:
    """Returns a cell as one word without control characters; 3.0 is 3."""
    return cleaned(_CONTROL.sub(" ", plain_word(cell)))


def labels_in(cell: object, separator: str) -> list[str] | None:
    """Returns the labels of a cell that is a list, or words with a sign between them; None for a hole."""
    if isinstance(cell, list):
        return [word_of(label) for label in cell if not is_blank(label)]
    if is_blank(cell):
        return None
    listed = listed_words(word_of(cell))
    if listed is not None:
        return listed
    return [label.strip() for label in word_of(cell).split(separator) if label.strip()]
