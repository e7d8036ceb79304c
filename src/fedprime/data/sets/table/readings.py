"""How each column of a table is read, in words: what its cells are taken for, examples, and what does not fit."""

import re
from collections.abc import Callable, Mapping, Sequence

from fedprime.data.sets.table.cells import is_blank
from fedprime.data.sets.table.columns import Form
from fedprime.data.sets.table.files import Part
from fedprime.data.sets.table.number_words import PLAIN, number_style
from fedprime.reproducibility.errors import counted

__all__ = ["column_readings"]

_SHOWN = 3
_LOOKED_AT = 100_000  # rows
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ]\d.*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}([T ]\d.*)?")
_TITLES: Mapping[Form, str] = {
    "image": "files of images",
    "audio": "files of sounds",
    "number": "numbers",
    "category": "categories",
    "text": "texts",
    "other": "nothing that can be an input",
}


def column_readings(parts: Sequence[Part], forms: Mapping[str, Form]) -> dict[str, str]:
    """Returns by column what its cells are taken for, with examples and counts of holes and of what does not fit.

    Args:
        forms: As from `columns.column_forms`.
    """
    return {name: _reading(name, form, parts) for name, form in forms.items()}


def _reading(name: str, form: Form, parts: Sequence[Part]) -> str:
    if form in ("image", "audio", "other") and not _is_text(name, parts):
        return _TITLES[form]
    cells = [cell for part in parts for cell in part.column(name).slice(0, _LOOKED_AT).to_pylist()]
    words = [str(cell).strip() for cell in cells if not is_blank(cell)]
    said, odd = _TITLES[form], list[str]()
    if form == "number":
        style = number_style(words) or PLAIN
        said = style.title
        odd = [word for word in words if not _is_number(word, style.parse)]
    elif form in ("category", "text") and words and all(_DATE.fullmatch(word) for word in words[:1000]):
        said = f"dates, read as {said}"
    elif form == "category":
        said = counted(len(set(words)), "category")
    examples = ", ".join(word[:30] for word in list(dict.fromkeys(words))[:_SHOWN])
    said += f" ({examples})" if examples else ""
    if len(words) < len(cells):
        said += f"; {len(cells) - len(words):,} empty"
    if odd:
        shown = ", ".join(word[:30] for word in list(dict.fromkeys(odd))[:_SHOWN])
        said += f"; {len(odd):,} taken for empty, being no number: {shown}"
    return said


def _is_text(name: str, parts: Sequence[Part]) -> bool:
    return all("string" in str(part.column(name).type) or str(part.column(name).type) == "null" for part in parts)


def _is_number(word: str, parse: Callable[[str], int | float]) -> bool:
    try:
        parse(word)
    except ValueError:
        return False
    return True
