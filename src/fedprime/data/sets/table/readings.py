"""How each column of a table is read, in words: what its cells are taken for, examples, and what does not fit."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from fedprime.data.sets.table.column_styles import column_style, has_decimal_commas, misfits
from fedprime.data.sets.table.columns import OF_TABLES, Form, is_list
from fedprime.data.sets.table.date_words import looks_like_date
from fedprime.data.sets.table.embedded_files import is_embedded
from fedprime.data.sets.table.number_words import share_of_numbers
from fedprime.data.sets.table.parts import Part, named
from fedprime.data.sets.table.plain_words import cleaned, is_blank, is_empty, kept_words
from fedprime.data.sets.table.row_numbers import are_row_numbers
from fedprime.reproducibility.errors import counted

_SHOWN = 3
_LOOKED_AT = 100_000  # rows
_SAMPLE = 1000  # words of a column that is no column of numbers, looked at for numbers and dates
_TITLES: Mapping[Form, str] = {
    "image": "files of images",
    "audio": "files of sounds",
    "number": "numbers",
    "numbers": "rows of numbers",
    "category": "categories",
    "text": "texts",
    "other": "nothing that can be an input",
}


def column_readings(parts: Sequence[Part], forms: Mapping[str, Form]) -> dict[str, str]:
    """Returns by column what its cells are taken for, with examples and counts of holes and of what does not fit."""
    has_commas = has_decimal_commas(parts, forms)
    return {name: _reading(name, form, parts, has_commas=has_commas) for name, form in forms.items()}


def _reading(name: str, form: Form, parts: Sequence[Part], *, has_commas: bool) -> str:
    columns = [part.column(name) for part in parts]
    found = str(columns[0].type)
    if form == "other":
        kind = columns[0].type
        are_lists = is_list(kind) and not pa.types.is_nested(kind.value_type)
        return "lists of words" if are_lists else f"{_TITLES[form]} ({found})"
    if form == "numbers":
        return f"{_TITLES[form]}, an input if stated as vector={name}"
    if form in ("image", "audio") and is_embedded(columns[0].type):
        return f"{_TITLES[form]}, in the table"
    names = next((names for part in parts if (names := part.class_names(name))), None)
    cells = named([cell for column in columns for cell in column.slice(0, _LOOKED_AT).to_pylist()], names)
    kept = (*kept_words(cells), *(names or ()))
    words = [cleaned(str(cell)) for cell in cells if not is_blank(cell, kept)]
    style = column_style(form, columns, has_commas=has_commas)
    said = style.title if style else _of_words(form, words)
    said += _examples(words, " (", ")")
    said += f"; {style.doubt}" if style is not None and style.doubt else ""
    said += "; they number or name the rows" if form in OF_TABLES and are_row_numbers(name, parts) else ""
    said += "; the same in all rows" if len(words) == len(cells) > 1 == len(set(words)) else ""
    num_empty = sum(map(is_empty, cells))
    nothing = [cleaned(str(cell)) for cell in cells if is_blank(cell, kept) and not is_empty(cell)]
    said += f"; {num_empty:,} empty" if num_empty else ""
    said += f"; {len(nothing):,} taken for empty: {_examples(nothing)}" if nothing else ""
    odd = misfits(style, columns, kept) if style is not None else []
    if odd:
        said += f"; {len(odd):,} taken for empty, being no {_noun(style.title if style else '')}: {_examples(odd)}"
    return said


def _of_words(form: Form, words: Sequence[str]) -> str:
    said = counted(len(set(words)), "category") if form == "category" else _TITLES[form]
    some = words[:: -(-len(words) // _SAMPLE) or 1]
    for noun, num_fitting in (
        ("dates", sum(map(looks_like_date, some))),
        ("numbers", round(share_of_numbers(some) * len(some))),
    ):
        if num_fitting >= len(some) / 2 > 0 and form in ("category", "text"):
            return f"{said}, though {num_fitting:,} of {len(some):,} are {noun}: write all in one way"
    return said


def _noun(title: str) -> str:
    return "date" if title.startswith("dates") else "time" if title.startswith("times") else "number"


def _examples(words: Sequence[str], before: str = "", after: str = "") -> str:
    shown = ", ".join(word[:30] for word in list(dict.fromkeys(words))[:_SHOWN])
    return before + shown + after if shown else ""
