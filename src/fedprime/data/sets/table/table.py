"""Any table of samples: rows with images, texts, sounds, numbers and categories, of which any may be missing.

Rows are those of a metadata file beside images, or of a data set of the library `datasets` (`files`). Nothing is
decoded before it is needed; what cells hold stays on disk. A hole (an empty cell, NaN, a file that is not there or is
empty) is a missing modality of that row, and so is, from when it is first read, a file that cannot be decoded.
"""

import copy
import logging
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from fedprime.data.sets.table.cells import Cells
from fedprime.data.sets.table.columns import (
    Form,
    ModalityColumns,
    choose_columns,
    column_forms,
    column_names,
    need_column,
)
from fedprime.data.sets.table.csv_format import CsvOptions
from fedprime.data.sets.table.files import open_parts
from fedprime.data.sets.table.label_words import cell_words
from fedprime.data.sets.table.labels import Labels, read_labels
from fedprime.data.sets.table.number_words import PLAIN
from fedprime.data.sets.table.options import TableOptions
from fedprime.data.sets.table.parts import Part
from fedprime.data.sets.table.readings import column_readings
from fedprime.data.sets.table.rows import Rows
from fedprime.data.sets.table.site_columns import NO_COLUMN, SITE_NAMES, site_words, sites_of
from fedprime.data.sets.table.typical_numbers import typical_numbers
from fedprime.data.sources import DataError, Task
from fedprime.data.splits import SPLITS, split_name
from fedprime.reproducibility.errors import counted, nearest_name

_logger = logging.getLogger(__name__)

_LOOKED_AT = 100_000  # cells of training, for what is typical: a second


class Table(Rows):
    """A table as a data set.

    Attributes:
        forms: Of what form the cells of every column of the table are.
        site_names: Name of every natural group; empty where there are none.
        report: What was found, in one line.
        num_unlabelled: How many rows were left out, because they have no label.
        parts: What it was opened from.
        classes_are_stated: Whether somebody named all classes, of which some may not be here.
    """

    def __init__(
        self,
        place: str,
        cells: Sequence[Cells],
        forms: Mapping[str, Form],
        labels: Labels,
        rows: Int[np.ndarray, " sample"],
        sites: tuple[Int[np.ndarray, " sample"], tuple[str, ...]],
        splits: Mapping[str, Int[np.ndarray, " _"]],
    ) -> None:
        """Takes what was read, see `open_table`; the log tells once what was taken for what, and what is missing.

        Args:
            rows: Which rows of the table are samples.
            sites: The natural group of every sample, and the groups' names.
        """
        self.columns: tuple[ModalityColumns, ...] = tuple(own.own for own in cells)
        super().__init__(cells, [own.modality for own in self.columns], rows, place)
        self.forms = dict(forms)
        self.task: Task = labels.task
        self.label_columns, self.label_names = labels.columns, labels.names
        self.labels: Int[np.ndarray, " sample"] | Float[np.ndarray, "sample label"] = labels.values[rows]
        self.sites, self.site_names = sites
        self.splits: Mapping[str, Int[np.ndarray, " _"]] = dict(splits)
        self.num_unlabelled = int((~labels.known).sum())
        self.classes_are_stated = False
        self.parts: tuple[Part, ...] = ()
        _logger.info("%s: %s", place, self.report)
        if self.holes:
            _logger.warning("%s: missing values of %s: %s", place, counted(len(labels.known), "row"), self.holes)
        if self.num_unlabelled:
            _logger.warning("%s: left out without a label: %s", place, counted(self.num_unlabelled, "row"))

    def place_of(self, index: int) -> str:
        """Returns where to find a sample: the name of its file, if it has one, and the number of its row."""
        name, row = self.name_of(index), f"row {self.row_of(index) + 1}"
        return super().place_of(index) if name == row else f"{self.place}: {name} ({row})"

    def cells_of(self, modality: str) -> Cells:
        """Returns the cells of a modality, by row of the table."""
        return self._cells[modality]

    def why_absent(self, modality: str) -> str:
        """Returns, of a modality that no row has, which files its rows name in vain; nothing if all cells are empty."""
        cells = self._cells[modality]
        lost = np.flatnonzero(cells.lost[self._rows])
        if not len(lost):
            return ""
        first = self._rows[int(lost[0])]
        return f": {counted(len(lost), 'row')} with a file that is not there or is empty, first {cells.named(first)!r}"

    @property
    def readings(self) -> dict[str, str]:
        """By column, what its cells are taken for, with examples and counts of what does not fit."""
        return column_readings(self.parts, self.forms) if self.parts else {}

    @property
    def report(self) -> str:
        """What was taken for what."""
        used = {*self.label_columns, *(name for own in self.columns for name in own.columns)}
        unused = [name for name in self.forms if name not in used]
        sizes = ", ".join(f"{len(own):,} {split}" for split, own in self.splits.items())
        name = "label" if self.task == "several_labels" else "class"
        said = [
            f"{counted(len(self), 'sample')} ({sizes})",
            *(str(own) for own in self.columns),
            f"{counted(len(self.label_names), name)} of {'+'.join(self.label_columns)}",
            *([counted(len(self.site_names), "natural client")] if self.site_names else []),
            *([f"not used as input: {', '.join(unused)} (data.columns names inputs)"] if unused else []),
        ]
        return "; ".join(said)

    def about(self) -> dict[str, object]:
        """Returns what has to be known to read other tables as this one was read, as plain values."""
        read = [name for own in self.columns for name in own.columns]
        forms = {name: self.forms[name] for name in read if name in self.forms}
        styles = {name: style.title for cells in self._cells.values() for name, style in cells.styles.items()}
        styles = {name: title for name, title in styles.items() if title != PLAIN.title}
        typical = {name: dict(cells.typical) for name, cells in self._cells.items() if cells.typical}
        told: dict[str, object] = {"columns": [str(own) for own in self.columns], "labels": list(self.label_columns)}
        told["forms"] = forms
        return told | {name: own for name, own in (("styles", styles), ("typical", typical)) if own}

    def with_typical_numbers(self) -> "Table":
        """Returns a copy in which empty numbers of columns that no training sample lacks are what is typical there."""
        filled = copy.copy(self)
        filled._cells = {name: copy.copy(cells) for name, cells in self._cells.items()}
        for name, cells in filled._cells.items():
            cells.typical = {}
            if cells.own.kind == "table":
                train = self.splits["train"]
                train = train[self.there[train, self.modalities.index(name)]]
                step = max(1, len(train) * len(cells.own.columns) // _LOOKED_AT)
                rows = (cells.read(self.row_of(index)) for index in train[::step].tolist())
                cells.typical = typical_numbers([row for row in rows if isinstance(row, Mapping)])
        return filled

    @property
    def holes(self) -> str:
        """What is missing of which modality, with its number of rows; empty if nothing is."""
        return "; ".join(
            f"{modality}: " + ", ".join(f"{count:,} {reason}" for reason, count in sorted(cells.holes.items()))
            for modality, cells in self._cells.items()
            if cells.holes
        )


def open_table(path: str, options: TableOptions | None = None) -> Table:
    """Opens a table; no file that it names is opened.

    The log tells once what was taken for what, and what is missing.

    Args:
        path: Where it is, as `files.open_parts` takes it.

    Raises:
        DataError: If there is none, it cannot be read, or columns, labels or splits are not what they should be.
    """
    options = options or TableOptions()
    return table_of(open_parts(path, CsvOptions(options.encoding, options.delimiter)), path, options)


def table_of(parts: Sequence[Part], place: str, options: TableOptions) -> Table:
    """Makes a table of rows that are open already, as `open_table` does."""
    if not any(len(part) for part in parts):
        raise DataError(f"{parts[0].place} has no rows; expected one for each sample")
    forms = column_forms(parts)
    labels = read_labels(options.label, parts, several_labels=options.several_labels, classes=options.classes)
    is_used = labels.known & _chosen_rows(options.rows, parts)
    words = site_words(options.client, parts)
    of_split = _splits_of_rows(options.split, parts, is_used)
    apart = {options.split or "split", options.client, *SITE_NAMES}
    # Nobody can be given the answer as an input by mistake.
    inputs: dict[str, Form] = {name: form for name, form in forms.items() if name not in labels.columns}
    modalities = choose_columns(options.columns, parts, inputs, apart=apart)
    rows = np.flatnonzero(is_used)
    splits = {split: np.flatnonzero(of_split[rows] == split) for split in SPLITS if (of_split[rows] == split).any()}
    if "train" not in splits:
        among = f" among the rows with {' and '.join(options.rows)}" if options.rows else ""
        raise DataError(f"{parts[0].place} has no training sample with a label{among}")
    cells = [Cells(own, parts, forms) for own in modalities]
    table = Table(place, cells, forms, labels, rows, sites_of(words, rows), splits)
    table.parts = tuple(parts)
    table.classes_are_stated = bool(options.classes)
    return table


def _chosen_rows(conditions: Sequence[str], parts: Sequence[Part]) -> Bool[np.ndarray, " row"]:
    chosen = np.ones(sum(len(part) for part in parts), dtype=bool)
    for condition in conditions:
        column, is_condition, values = condition.partition("=")
        if not is_condition:
            raise DataError(f"data.rows states {condition!r}; expected COLUMN=VALUE,VALUE")
        need_column(column, parts, "data.rows")
        wanted = values.split(",")
        words = cell_words(column, parts, wanted)
        unknown = sorted(set(wanted) - {word for word in words if word is not None})
        if unknown:
            hint = nearest_name(unknown[0], {word for word in words if word is not None})
            raise DataError(f"{parts[0].place} has no {unknown[0]!r} in the column {column} (data.rows){hint}")
        chosen &= np.array([word in wanted for word in words])
    return chosen


def _splits_of_rows(stated: str, parts: Sequence[Part], is_used: Bool[np.ndarray, " row"]) -> np.ndarray:
    """Returns the name of the split of every row."""
    of_parts = np.repeat([part.split or "train" for part in parts], [len(part) for part in parts]).astype(object)
    is_found = not stated and "split" in column_names(parts) and all(part.split is None for part in parts)
    column = "split" if is_found else stated
    if column in ("", NO_COLUMN):
        return of_parts
    need_column(column, parts, "data.split")
    words = cell_words(column, parts)
    found = Counter(word for word, own in zip(words, is_used, strict=True) if own)
    unknown = [word for word in found if word is None or split_name(word) not in SPLITS]
    if unknown:
        told = ", ".join(
            f"{'an empty cell' if word is None else repr(word)} ({counted(found[word], 'row')})" for word in unknown[:3]
        )
        hint = nearest_name(unknown[0], SPLITS) if unknown[0] else ""
        raise DataError(
            f"{parts[0].place} has {told} in the column {column} (data.split); expected train, validation (or val, "
            f"dev) and test{hint}"
        )
    return np.array(["" if word is None else split_name(word) for word in words], dtype=object)
