"""The labels of a table: a column of classes, a column with any number of labels, or a column for each label."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from fedprime.data.sets.table.columns import column_names, is_list, need_column
from fedprime.data.sets.table.embedded_files import is_embedded
from fedprime.data.sets.table.label_words import cell_words, cells_of, labels_in, listed_words, without_zeros, word_of
from fedprime.data.sets.table.number_words import TRUTH
from fedprime.data.sets.table.parts import Part
from fedprime.data.sets.table.plain_words import is_blank, is_empty
from fedprime.data.sources import DataError, Task
from fedprime.reproducibility.errors import counted, nearest_name, quoted

_logger = logging.getLogger(__name__)

_USUAL_NAMES = ("label", "labels", "class", "category", "target")
_MOST_CLASSES = 1000
_SEPARATORS = ("|", ";", ",")
_HINT = "; if other sites or splits have more, name all classes by --data.classes"
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no", "")
#: What classes are called that tables write in several spellings.
_TRUTH_NAMES = {"yes", "no"}


@dataclass(frozen=True)
class Labels:
    """What is to be learnt about the rows.

    Attributes:
        columns: Where it stands.
        names: Name of every class or label.
        values: The class of every row, or 1 where a label applies; of rows without any it means nothing.
        known: Which rows have it.
    """

    task: Task
    columns: tuple[str, ...]
    names: tuple[str, ...]
    values: Int[np.ndarray, " row"] | Float[np.ndarray, "row label"]
    known: Bool[np.ndarray, " row"]


def read_labels(
    stated: Sequence[str], parts: Sequence[Part], *, several_labels: bool, classes: Sequence[str] = ()
) -> Labels:
    """Reads the labels of all rows.

    Args:
        stated: The column; several columns with yes or no for a label each; none means one with a usual name.
        several_labels: Whether one column has any number of labels: a list, or words with ``|``, ``;`` or ``,`` between
            them (the first of these that any cell has).
        classes: All classes or labels, in their order, if some may not be there.

    Raises:
        DataError: If there is no such column, or what stands there are no classes or labels.
    """
    columns = list(stated) or [name for name in _USUAL_NAMES if name in column_names(parts)][:1]
    if not columns:
        raise DataError(
            f"{parts[0].place} has no column {' or '.join(_USUAL_NAMES[:3])}, but "
            f"{quoted(', '.join(column_names(parts)))}; name the one with the classes, --data.label COLUMN, or several "
            f"with yes or no for a label each{_one_column_hint(parts)}"
        )
    for column in columns:
        need_column(column, parts, "data.label")
        _refuse_objects(column, parts)
    if len(columns) > 1:
        return _yes_or_no(tuple(columns), parts)
    return (_any_number if several_labels else _one_class)(columns[0], parts, classes)


def _one_column_hint(parts: Sequence[Part]) -> str:
    return "; if this is several columns, say what divides them, --data.delimiter" * (len(column_names(parts)) == 1)


def _refuse_objects(column: str, parts: Sequence[Part]) -> None:
    """Raises a `DataError` if a column holds structs, maps or bytes, whose words would be taken for classes."""
    for part in parts:
        found = part.column(column).type
        inner = found.value_type if is_list(found) else found
        if (pa.types.is_nested(inner) and not is_list(inner)) or is_embedded(inner):
            raise DataError(
                f"{part.place} has cells of {found} in the column {column}; expected classes or lists of labels, as "
                "words or numbers"
            )


def read_known_labels(
    parts: Sequence[Part], columns: Sequence[str], names: Sequence[str], *, several_labels: bool
) -> Int[np.ndarray, " row"] | Float[np.ndarray, "row label"]:
    """Reads the labels of rows to measure a model on.

    Args:
        columns: As they were found in training.
        names: The labels of the model, in order.
        several_labels: Whether one column has any number of labels.

    Raises:
        DataError: If there is no such column, or a row has no label or another; the message names it.
    """
    for column in columns:
        need_column(column, parts, "the labels")
    if several_labels or len(columns) > 1:
        own = read_labels(columns, parts, several_labels=several_labels)
        unknown = next((name for name in own.names if name not in names), None)
        if unknown is not None:
            raise DataError(f"{unknown!r} is no label of the model: {', '.join(names)}{nearest_name(unknown, names)}")
        values = np.zeros((len(own.known), len(names)), dtype=np.float32)
        values[:, [names.index(name) for name in own.names]] = own.values
        return values
    words = cell_words(columns[0], parts, names)
    if set(names) == _TRUTH_NAMES:
        words = [str(TRUTH.parse(word)) if word and TRUTH.fits(word) else word for word in words]
    for row, word in enumerate(words, start=1):
        if word not in names:
            said = "has no label" if word is None else f"has {word!r}, which is no label of the model"
            raise DataError(f"row {row} {said}; expected one of {', '.join(names)}")
    return np.array([names.index(word or "") for word in words], dtype=np.int64)


def _in_order(words: set[str]) -> tuple[str, ...]:
    """Sorts names, numbers by their size."""
    are_numbers = all(word.lstrip("-").isdecimal() for word in words)
    return tuple(sorted(words, key=int) if are_numbers else sorted(words))


def _all_classes(found: tuple[str, ...], stated: Sequence[str], column: str, parts: Sequence[Part]) -> tuple[str, ...]:
    """Returns the stated names, if there are any and no others are found."""
    if not stated:
        return found
    unknown = [name for name in found if name not in stated]
    if unknown:
        raise DataError(
            f"{parts[0].place} has {unknown[0]!r} in the column {column}, which data.classes does not name: "
            f"{', '.join(stated)}{nearest_name(unknown[0], stated)}"
        )
    return tuple(dict.fromkeys(stated))


def _one_class(column: str, parts: Sequence[Part], classes: Sequence[str]) -> Labels:
    words = cell_words(column, parts, classes)
    words = words if classes else _one_spelling(words)
    known = np.array([word is not None for word in words], dtype=bool)
    names = _all_classes(_in_order({word for word in words if word is not None}), classes, column, parts)
    place = parts[0].place
    lists = [name for name in names if listed_words(name) is not None]
    if not lists:
        _refuse_json_objects(names, column, place)
    joined = lists or _joined_labels(names)
    if joined and not classes:
        raise DataError(
            f"{place} has {joined[0][:100]!r} in the column {column}: are several labels meant? say so by "
            "--data.several-labels; if it is one class, name all of them by --data.classes"
        )
    if len(names) < 2:
        found = f"only one class, {quoted(names[0], 100)}" if names else "no class at all"
        raise DataError(
            f"{place} has {found}, in the column {column}{_holes(column, parts)}; there is nothing to learn{_HINT}"
        )
    most = min(_MOST_CLASSES, max(20, int(known.sum()) // 2))
    if len(names) > most:
        raise DataError(
            f"{place} has {counted(len(names), 'different value')} in {counted(int(known.sum()), 'row')} of the column "
            f"{column}; expected classes that rows share, at most {most:,}; name another column, --data.label COLUMN"
        )
    number = {name: label for label, name in enumerate(names)}
    values = np.array([0 if word is None else number[word] for word in words], dtype=np.int64)
    return Labels("one_class", (column,), names, values, known)


def _holes(column: str, parts: Sequence[Part]) -> str:
    """Says which words of a column are taken for holes."""
    words = dict.fromkeys(str(cell) for cell in cells_of(column, parts) if is_blank(cell) and not is_empty(cell))
    return f" (taken for empty: {quoted(', '.join(words), 100)})" if words else ""


def _refuse_json_objects(names: Sequence[str], column: str, place: str) -> None:
    found = next((name for name in names if name[:2] in ('{"', "{'") and name.endswith("}")), None)
    if found:
        raise DataError(
            f"{place} has the object {quoted(found, 100)} in the column {column}; expected classes or lists of labels; "
            "write each of its values into a column of its own"
        )


def _one_spelling(words: list[str | None]) -> list[str | None]:
    """Returns yes and no where a column has either in several spellings: True beside 1."""
    said = {word: str(TRUTH.parse(word)) for word in set(words) if word is not None and TRUTH.fits(word)}
    if len(said) == len(set(said.values())) or any(word is not None and word not in said for word in words):
        return words
    return [None if word is None else said[word] for word in words]


def _joined_labels(names: Sequence[str]) -> list[str]:
    """Returns the names that are made of words which others have, too: ``Action|Drama`` beside ``Drama|War``."""
    for sign in _SEPARATORS:
        of_names = {name: {word.strip() for word in name.split(sign)} for name in names}
        words = Counter(word for own in of_names.values() for word in own)
        # A name may well have a comma: all of its words have to stand elsewhere, and one of them alone.
        meant = all if sign == "," else any
        joined = [name for name, own in of_names.items() if len(own) > 1 and meant(words[word] > 1 for word in own)]
        if joined and (sign != "," or any(of_names[name] & set(names) for name in joined)):
            return joined
    return []


def _any_number(column: str, parts: Sequence[Part], classes: Sequence[str]) -> Labels:
    cells = cells_of(column, parts)
    texts = [cell for cell in cells if isinstance(cell, str) and listed_words(cell.strip()) is None]
    separator = next((sign for sign in _SEPARATORS if any(sign in text for text in texts)), _SEPARATORS[0])
    of_rows = [labels_in(cell, separator) for cell in cells]
    if all(len(labels or ()) < 2 for labels in of_rows):
        _logger.warning(
            "%s: no row has several labels in the column %s; they are lists, or have |, ; or , between them",
            *(parts[0].place, column),
        )
    names = _in_order({label for labels in of_rows for label in labels or ()})
    names = _all_classes(names, classes, column, parts)
    _refuse_json_objects(names, column, parts[0].place)
    if not names:
        raise DataError(
            f"{parts[0].place} has no label at all in the column {column}; there is nothing to learn{_HINT}"
        )
    if len(names) > _MOST_CLASSES:
        raise DataError(
            f"{parts[0].place} has {len(names):,} different labels in the column {column}, separated by {separator!r}; "
            f"expected at most {_MOST_CLASSES:,}"
        )
    number = {name: label for label, name in enumerate(names)}
    values = np.zeros((len(cells), len(names)), dtype=np.float32)
    for row, labels in enumerate(of_rows):
        values[row, [number[label] for label in labels or ()]] = 1
    return Labels("several_labels", (column,), names, values, np.array([own is not None for own in of_rows]))


def _yes_or_no(columns: tuple[str, ...], parts: Sequence[Part]) -> Labels:
    values: list[list[float]] = []
    filled: list[list[bool]] = []
    for column in columns:
        words = without_zeros(["" if is_empty(cell) else word_of(cell) for cell in cells_of(column, parts)])
        odd = next((word for word in words if word is not None and word.lower() not in (*_YES, *_NO)), None)
        if odd is not None:
            raise DataError(
                f"{parts[0].place} has {odd!r} in the column {column}; of several columns of labels each has 1 or 0, "
                "yes or no, true or false"
            )
        values.append([float((word or "").lower() in _YES) for word in words])
        filled.append([bool(word) for word in words])
    known: Bool[np.ndarray, " row"] = np.logical_or.reduce(np.array(filled, dtype=bool), axis=0)
    return Labels("several_labels", columns, columns, np.array(values, dtype=np.float32).T.copy(), known)
