"""Rows of a table as samples; those to predict for have no labels, and may lack any modality altogether."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from fedprime.data.sets.table.cells import Cells
from fedprime.data.sets.table.columns import (
    Form,
    ModalityColumns,
    choose_columns,
    column_forms,
    column_names,
    usual_columns,
)
from fedprime.data.sets.table.number_words import PLAIN
from fedprime.data.sets.table.options import stated_columns
from fedprime.data.sets.table.parts import Part
from fedprime.data.sources import DataError, Task, ValueKind
from fedprime.reproducibility.errors import counted, quoted

_logger = logging.getLogger(__name__)

#: Columns that a table may be expected to have read, whatever the model reads.
_USUAL = ("image", "text", "readings", "audio")


class Rows:
    """Rows of a table, whose values are read one by one.

    Attributes:
        place: Where they lie, for messages.
        there: What of each there is, without having opened a file.
    """

    reads_in_threads = True

    def __init__(
        self, cells: Sequence[Cells], modalities: Sequence[str], rows: Int[np.ndarray, " sample"], place: str
    ) -> None:
        """Takes the cells of the modalities that the table has, of those that are asked for."""
        self.modalities, self.place, self._rows = tuple(modalities), place, rows
        self._cells = {own.own.modality: own for own in cells}
        self.there: Bool[np.ndarray, "sample modality"] = np.zeros((len(rows), len(modalities)), dtype=bool)
        for modality, own in self._cells.items():
            self.there[:, self.modalities.index(modality)] = own.there[rows]

    def __len__(self) -> int:
        return len(self._rows)

    def row_of(self, index: int) -> int:
        """Returns the row of a sample in the table."""
        return int(self._rows[index])

    def name_of(self, index: int) -> str:
        """Returns what to call a sample: the name of its file, or the number of its row."""
        row = self.row_of(index)
        return next((name for own in self._cells.values() if (name := own.named(row))), f"row {row + 1}")

    def place_of(self, index: int) -> str:
        """Returns where to find a sample."""
        return f"{self.place}, row {self.row_of(index) + 1}"

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        """Returns the asked modalities of one sample, and does not touch the others.

        Returns:
            By modality its value, as `Cells.read` says.

        Raises:
            InputError: If its file cannot be read.
        """
        return {modality: self._cells[modality].read(self.row_of(index)) for modality in modalities}

    def identity(self, index: int, modality: str) -> str | None:
        """Returns what tells a raw value from all others, see `Cells.identity`."""
        return self._cells[modality].identity(self.row_of(index))


class UnlabelledRows(Rows):
    """Rows as a data set without labels."""

    task: Task = "one_class"

    def __init__(self, cells: Sequence[Cells], modalities: Sequence[str], num_rows: int, place: str) -> None:
        super().__init__(cells, modalities, np.arange(num_rows), place)
        self.labels: Int[np.ndarray, " sample"] = np.zeros(num_rows, dtype=np.int64)
        self.sites, self.label_names = self.labels, ()
        self.splits: Mapping[str, Int[np.ndarray, " _"]] = {}

    def __iter__(self) -> Iterator[tuple[str, dict[str, object]]]:
        """Yields the name of each row and what there is of it; what cannot be read is missing, and the log names it."""
        for row, there in enumerate(self.there):
            values: dict[str, object] = {}
            for modality in (modality for modality, own in zip(self.modalities, there, strict=True) if own):
                try:
                    values |= self.read(row, (modality,))
                except Exception as error:  # of whatever library decodes it
                    _logger.warning("%s: a missing %s: %s", self.place_of(row), modality, error)
            yield self.name_of(row), values


def unlabelled_rows(
    parts: Sequence[Part],
    place: str,
    stated: Sequence[str],
    kinds: Mapping[str, ValueKind],
    label: Sequence[str] = (),
    trained: Sequence[str] = (),
    about: Mapping[str, Any] = MappingProxyType({}),
) -> UnlabelledRows:
    """Takes rows of which nothing is read yet.

    A modality is in the columns that are stated of it, or else in the column that is called as it is; where nothing is
    stated, in one with a usual name.

    Args:
        stated: Which column is which modality, as for `columns.choose_columns`; what is stated of modalities that are
            not asked for, or of columns that the table does not have, is left out.
        kinds: By modality that is asked for, of what kind its values are to be.
        label: Columns that are no inputs, if the table has them.
        trained: Which column was which modality in training; where nothing is stated, those that the table has are.
        about: What is known of the table of training, as `Table.about` says it: a few new rows may not tell of what
            form their cells are. What training did not read is then nothing to tell.

    Raises:
        DataError: If the table has none of the modalities, or one of another kind.
    """
    stated, tries_usual = stated or trained, not stated
    known: Mapping[str, Form] = about.get("forms", {})
    forms: dict[str, Form] = {name: form for name, form in column_forms(parts).items() if name not in label}
    forms |= {name: form for name, form in known.items() if name in forms}
    chosen = _chosen(stated, kinds, parts, forms, tries_usual=tries_usual)
    for own in chosen:
        if own.kind != kinds[own.modality]:
            raise DataError(
                f"{parts[0].place}: {own} is stated, but the model reads {own.modality} as {kinds[own.modality]}"
            )
    _tell_absent(place, {stated_columns(word)[0]: word for word in stated}, kinds, chosen, column_names(parts))
    read = {name for own in chosen for name in own.columns}
    unread = [name for name in _USUAL if name in forms and name not in read]
    if unread and not known:
        _logger.warning("%s has the column %s, which is not read", place, ", ".join(unread))
    written = {name: PLAIN.title if form == "number" else "" for name, form in known.items()}
    cells = [Cells(own, parts, forms, written | about.get("styles", {})) for own in chosen]
    for own in cells:
        own.typical = about.get("typical", {}).get(own.own.modality, {})
        if own.lost.any():
            number, first = int(own.lost.sum()), own.named(int(own.lost.argmax()))
            named = f"{counted(number, 'row')} with a file that is not there or is empty, first {first[:100]!r}"
            _logger.warning("%s: a missing %s: %s", place, own.own.modality, named)
    return UnlabelledRows(cells, tuple(kinds), sum(map(len, parts)), place)


def _chosen(
    stated: Sequence[str],
    kinds: Mapping[str, ValueKind],
    parts: Sequence[Part],
    forms: Mapping[str, Form],
    *,
    tries_usual: bool,
) -> list[ModalityColumns]:
    names = column_names(parts)
    asked = [word for word in stated if stated_columns(word)[0] in kinds]
    usable = [own for word in asked if (own := _without_absent(word, kinds, names))]
    found = {stated_columns(word)[0] for word in usable}
    usable += [f"{name}={name}" for name in kinds if name in forms and name not in found]
    # A few new rows would not tell what kind they are of.
    chosen = choose_columns(usable, parts, forms, kinds) if usable else []
    if tries_usual:
        found = {own.modality for own in chosen}
        chosen += [own for own in usual_columns(parts, forms) if own.modality in kinds and own.modality not in found]
    if not chosen:
        has = f"the columns {', '.join(names)}" if names else "no columns"
        raise DataError(
            f"{parts[0].place} has {has}; expected some called {', '.join(kinds)}"
            f"{', or those of ' if asked else ''}{', '.join(asked)}; rename a column"
            f"{f', or let fedprime predict know it by --columns {next(iter(kinds))}=COLUMN' if tries_usual else ''}"
        )
    return chosen


def _without_absent(word: str, kinds: Mapping[str, ValueKind], names: Sequence[str]) -> str:
    """Returns what is stated of a modality with the columns that there are; empty if it cannot be read from these.

    In a row of numbers and categories and in a text of several columns, one that is not there is as one that is empty.
    """
    modality, columns = stated_columns(word, names)
    there = [column for column in columns if column in names]
    if there == columns:
        return word
    return f"{word.partition('=')[0]}={'+'.join(there)}" if there and kinds[modality] in ("table", "text") else ""


def _tell_absent(
    place: str,
    asked: Mapping[str, str],
    kinds: Mapping[str, ValueKind],
    chosen: Sequence[ModalityColumns],
    names: Sequence[str],
) -> None:
    """Says which columns are not there, and what that costs."""
    stated = {modality: stated_columns(word, names)[1] for modality, word in asked.items()}
    lacking = {modality: [name for name in own if name not in names] for modality, own in stated.items()}
    for own in chosen:
        if set(own.columns) < set(stated.get(own.modality, ())):
            said = quoted(", ".join(lacking[own.modality]))
            _logger.warning("%s has no column %s; %s is read from its other columns", place, said, own.modality)
    read = {own.modality for own in chosen}
    absent = [modality for modality in kinds if modality not in read]
    if absent:
        said = quoted(", ".join(column for modality in absent for column in lacking.get(modality) or [modality]))
        _logger.warning("%s has no column %s, so that %s is missing of all rows", place, said, ", ".join(absent))
