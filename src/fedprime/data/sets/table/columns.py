"""Which column of a table is what: stated as ``image=file_name text=title+text``, or found out from names and cells."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, cast, get_args

import pyarrow as pa

from fedprime.data.sets.table.arrow_words import some_cells
from fedprime.data.sets.table.embedded_files import is_embedded, looks_like_files
from fedprime.data.sets.table.file_names import IMAGE_ENDINGS, SOUND_ENDINGS, is_web_address
from fedprime.data.sets.table.number_words import number_style
from fedprime.data.sets.table.options import stated_columns
from fedprime.data.sets.table.parts import Part
from fedprime.data.sets.table.plain_words import cleaned, is_blank, row_of_numbers
from fedprime.data.sets.table.row_numbers import are_row_numbers
from fedprime.data.sources import DataError, ValueKind
from fedprime.reproducibility.errors import nearest_name, quoted

#: What the cells of a column are: files or bytes of images and sounds, a number, several numbers, few repeated words,
#: other words.
Form = Literal["image", "audio", "number", "numbers", "category", "text", "other"]

_STATED = re.compile(r"(?P<modality>\w+)(:(?P<kind>\w+))?=(?P<columns>.+)", re.DOTALL)
_MOST_CATEGORIES = 50  # or as many as come ten times each
_ALL = "*"
#: Forms of what rows of a table are made of.
OF_TABLES = ("number", "category")
#: By modality, names of columns that are taken for it where nothing is stated.
_USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "image": ("file_name", "image", "photo", "img", "picture"),
    "text": ("text", "caption", "description", "title", "sentence"),
    "audio": ("audio", "sound", "file_name"),
}


@dataclass(frozen=True)
class ModalityColumns:
    """The columns of one modality.

    Attributes:
        columns: The columns: one of files, or several, whose texts are joined or whose cells are a row.
    """

    modality: str
    kind: ValueKind
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.modality}:{self.kind}={'+'.join(self.columns)}"


def column_names(parts: Sequence[Part]) -> list[str]:
    """Returns the names of all columns, in order."""
    return list(dict.fromkeys(name for part in parts for name in part.rows.column_names))


def need_column(name: str, parts: Sequence[Part], what_for: str) -> None:
    """Raises a `DataError` that names the nearest column if one is not there.

    Args:
        what_for: The setting that names it.

    Raises:
        DataError: If it is not there.
    """
    names = column_names(parts)
    if name not in names:
        hint = nearest_name(name, names)
        shown = ", ".join(own if own == own.strip() else repr(own) for own in names)
        raise DataError(f"{parts[0].place} has no column {name!r} ({what_for}); it has {shown}{hint}")


def column_forms(parts: Sequence[Part]) -> dict[str, Form]:
    """Returns of what form the cells of every column are, as some filled cells tell."""
    forms: dict[str, Form] = {}
    for name in column_names(parts):
        holder = next(part for part in parts if name in part.rows.column_names)
        features = getattr(holder.rows, "features", None)
        if features is None and pa.types.is_struct(holder.column(name).type):
            forms[name] = _form_of_files(holder.column(name))
        else:
            forms[name] = _form(name, type(features and features[name]).__name__, holder.column(name))
    return forms


def choose_columns(
    stated: Sequence[str],
    parts: Sequence[Part],
    forms: Mapping[str, Form],
    kinds: Mapping[str, ValueKind] | None = None,
    apart: Collection[str] = (),
) -> list[ModalityColumns]:
    """Returns the columns of every modality, as stated, or else those with usual names, or the only ones of their form.

    Args:
        stated: As ``modality=column`` or ``modality:kind=column+column``; ``table=*`` means all numbers and categories
            that nothing else is stated of, but row numbers; none means to find out, which is ``table=*`` where there is
            nothing else.
        forms: As from `column_forms`, of the columns that may be inputs.
        kinds: By modality, of what kind it is known to be, where that is not stated.
        apart: Columns that ``*`` does not mean: splits, clients.

    Raises:
        DataError: If something is stated that is not there or cannot be, or nothing can be found out.
    """
    if not stated:
        if chosen := usual_columns(parts, forms):
            return chosen
        of_inputs = [form for name, form in forms.items() if name not in apart]
        has_numbers = any(form in OF_TABLES for form in of_inputs)
        if not has_numbers or any(form not in (*OF_TABLES, "other") for form in of_inputs):
            raise _nothing_found(parts, forms, has_numbers=has_numbers)
        stated = [f"table={_ALL}"]
    named = {column for word in stated for column in stated_columns(word)[1]}
    free = [name for name, form in forms.items() if form in OF_TABLES and name not in {*named, *apart}]
    numbering = [name for name in free if are_row_numbers(name, parts)]
    free = [name for name in free if name not in numbering]
    chosen = [_parse(_spelled_out(word, free, numbering), parts, forms, kinds or {}) for word in stated]
    twice = [own.modality for own in chosen if sum(own.modality == other.modality for other in chosen) > 1]
    if twice:
        raise DataError(f"data.columns states {twice[0]!r} twice; join several columns as {twice[0]}=title+text")
    return chosen


def _nothing_found(parts: Sequence[Part], forms: Mapping[str, Form], *, has_numbers: bool) -> DataError:
    example = f"table={_ALL}, which means all numbers and categories" if has_numbers else "text=title"
    example = next((f"vector={name}" for name, form in forms.items() if form == "numbers"), example)
    shown = [f"{name} ({parts[0].column(name).type})" if form == "other" else name for name, form in forms.items()]
    return DataError(
        f"{parts[0].place} has no column that looks like an image, a text or a sound, but "
        f"{quoted(', '.join(shown)) or 'the label alone'}; name those to use in data.columns, as {example}"
    )


def usual_columns(parts: Sequence[Part], forms: Mapping[str, Form]) -> list[ModalityColumns]:
    """Returns the columns of images, texts and sounds that have usual names, or are the only ones of their form.

    Raises:
        DataError: If there are several columns of images or sounds, and none has a usual name.
    """
    chosen: list[ModalityColumns] = []
    for modality in ("image", "text", "audio"):
        # Names of files that are called otherwise than files are may look like texts, and are none.
        files = {*_USUAL_NAMES["image"], *_USUAL_NAMES["audio"]} if modality == "text" else ()
        possible = [name for name, form in forms.items() if form == modality and name not in files]
        # Short texts that come again and again look like categories.
        named = [
            name for name, form in forms.items() if form == modality or (modality == "text" and form == "category")
        ]
        usual = [name for name in _USUAL_NAMES[modality] if name in named]
        if not usual and modality != "text" and len(possible) > 1:
            raise DataError(
                f"{parts[0].place} has several columns of {modality}s, {', '.join(possible)}; name those to use in "
                f"data.columns, as {modality}={possible[0]}"
            )
        if usual or (possible and modality != "text") or len(possible) == 1:
            chosen.append(ModalityColumns(modality, modality, (next(iter(usual or possible)),)))
    return chosen


def _spelled_out(word: str, free: Sequence[str], numbering: Sequence[str]) -> str:
    """Puts the names of all numbers and categories that are left in the place of ``*``, but of those numbering rows."""
    modality, _, column = word.partition("=")
    if column != _ALL:
        return word
    if not free:
        beside = f" beside what numbers or names the rows ({', '.join(numbering)})" if numbering else ""
        raise DataError(
            f"{word} means all other numbers and categories, and there are none{beside}; name those to use in "
            "data.columns"
        )
    return f"{modality}={'+'.join(free)}"


def _parse(
    word: str, parts: Sequence[Part], forms: Mapping[str, Form], kinds: Mapping[str, ValueKind]
) -> ModalityColumns:
    match = _STATED.fullmatch(word)
    if not match or match["modality"][0].isdigit():
        raise DataError(
            f"data.columns states {word!r}; expected MODALITY=COLUMN, as image=file_name, text=title+text, or "
            "MODALITY:KIND=COLUMN"
        )
    if match["kind"] and match["kind"] not in get_args(ValueKind):
        possible = ", ".join(get_args(ValueKind))
        raise DataError(f"data.columns states {word!r}: {match['kind']!r} is not one of the kinds {possible}")
    columns: list[str] = [match["columns"]] if match["columns"] in forms else match["columns"].split("+")
    for column in columns:
        need_column(column, parts, f"data.columns, {word}")
        if column not in forms:
            raise DataError(f"data.columns states {word!r}, but {column} is the label; an input cannot be the answer")
    known = cast("ValueKind | None", match["kind"] or kinds.get(match["modality"]))
    kind = known or _kind(match["modality"], [forms[column] for column in columns])
    for column in columns:
        _refuse_objects(word, kind, column, parts)
    if kind in ("image", "audio"):
        form = forms[columns[0]]
        if len(columns) > 1:
            raise DataError(f"data.columns states {word!r}: {kind}s are in one column; make a modality of each")
        is_other = form == "other" or (form in ("image", "audio") and form != kind)
        if is_other or (form == "number" and not _may_be_names(columns[0], parts)):
            raise DataError(f"data.columns states {word!r}, but {columns[0]!r} has no {kind}s ({form})")
    return ModalityColumns(match["modality"], kind, tuple(columns))


def _may_be_names(column: str, parts: Sequence[Part]) -> bool:
    """Returns whether numbers may be names of files without their endings: they are whole."""
    cells = (cell for part in parts for cell in some_cells(part.column(column)))
    return all(str(cell).strip().isdigit() for cell in cells if not is_blank(cell))


def _refuse_objects(word: str, kind: ValueKind, column: str, parts: Sequence[Part]) -> None:
    """Raises a `DataError` if a column of texts, numbers or categories holds what is none of these."""
    found = next((part.column(column).type for part in parts if column in part.rows.column_names), pa.null())
    is_object = pa.types.is_nested(found) or pa.types.is_duration(found) or is_embedded(found)
    is_object = is_object and not is_list(found)
    if (kind in ("text", "table", "numbers") and is_object) or (kind == "table" and is_list(found)):
        hint = f"; lists of numbers can be stated as NAME:numbers={column}" if is_list(found) else ""
        raise DataError(
            f"data.columns states {word!r}, but cells of {column!r} are {found}; expected words or numbers{hint}"
        )


def _kind(modality: str, forms: Sequence[Form]) -> ValueKind:
    if modality in get_args(ValueKind):
        return modality  # pyright: ignore[reportReturnType]
    if set(forms) in ({"image"}, {"audio"}):
        return "image" if "image" in forms else "audio"
    if set(forms) == {"numbers"}:
        return "numbers"
    return "table" if all(form in OF_TABLES for form in forms) else "text"


def _form_of_files(cells: pa.ChunkedArray) -> Form:
    """Returns of what form files are whose bytes stand in a data frame."""
    paths = [cell["path"] for cell in some_cells(cells) if cell and cell["path"]]
    return "audio" if sum(is_sound(path) for path in paths) > len(paths) / 2 else "image"


def is_list(kind: pa.DataType) -> bool:
    """Returns whether cells are lists."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def is_sound(path: str) -> bool:
    """Returns whether a file is called as sounds are."""
    return PurePath(path).suffix.lower() in SOUND_ENDINGS


def _form(name: str, feature: str, cells: pa.ChunkedArray) -> Form:
    if feature in ("Image", "Audio"):
        return "image" if feature == "Image" else "audio"
    kind = cells.type
    if is_embedded(kind):
        return cast("Form", looks_like_files(cells) or "other")
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "category" if feature == "ClassLabel" else "number"
    if pa.types.is_null(kind):
        return "text"
    if pa.types.is_boolean(kind):
        return "category"
    if is_list(kind) and (pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)):
        return "numbers"
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return "other"
    return _form_of_words(name, [cleaned(word) for word in some_cells(cells) if not is_blank(word)])


def _form_of_words(name: str, words: Sequence[str]) -> Form:
    if not words:
        return "text"
    if name in _USUAL_NAMES["image"] and sum(is_web_address(word) for word in words) > len(words) / 2:
        return "image"  # which is then told to be none
    endings = [PurePath(word).suffix.lower() for word in words]
    if sum(ending in IMAGE_ENDINGS for ending in endings) > len(words) / 2:
        return "image"
    if sum(ending in SOUND_ENDINGS for ending in endings) > len(words) / 2:
        return "audio"
    if number_style(words):
        return "number"
    distinct = len(set(words))
    if distinct <= min(max(_MOST_CATEGORIES, len(words) / 10), len(words) / 2):
        return "category"
    return "numbers" if all(map(_is_row_of_numbers, words)) else "text"


def _is_row_of_numbers(word: str) -> bool:
    try:
        return len(row_of_numbers(word)) > 1
    except ValueError:
        return False
