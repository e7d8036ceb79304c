"""One modality of a table: which rows have it, found out without opening a file, and its values, read one by one."""

import json
import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from fedprime.data import images, sounds
from fedprime.data.images import InputError, file_identity, read_image
from fedprime.data.sets.table.column_styles import are_numbers, column_style, has_decimal_commas, kept_in, misfits
from fedprime.data.sets.table.columns import Form, ModalityColumns
from fedprime.data.sets.table.embedded_files import is_embedded, lengths_and_paths
from fedprime.data.sets.table.file_names import FileNames, is_web_address
from fedprime.data.sets.table.parts import Part
from fedprime.data.sets.table.plain_words import is_blank, plain_word, row_of_numbers
from fedprime.data.sets.table.typical_numbers import filled_row
from fedprime.data.sounds import read_sound
from fedprime.data.sources import DataError, ValueKind
from fedprime.reproducibility.errors import counted

_logger = logging.getLogger(__name__)

_LOOKED_FOR = 200  # names, in folders that the table does not say

_AT_ONCE = 10_000  # rows in memory while holes are looked for
_NOT_THERE, _NO_BYTES, _WEB = "file not there", "file of 0 bytes", "web address"


def read_value(word: str, kind: ValueKind) -> object:
    """Returns the raw value that a word stands for.

    Args:
        word: A file of an image or sound, a text, numbers with spaces between them, or a row as a JSON object.

    Raises:
        InputError: If the file cannot be read, or the word is no row or no numbers.
    """
    if kind == "image":
        return read_image(Path(word))
    if kind == "audio":
        return read_sound(Path(word))
    if kind == "numbers":
        return _parse_numbers(word)
    return _parse_row(word) if kind == "table" else word


def _parse_row(word: str) -> dict[str, object]:
    try:
        row = json.loads(word)
    except (json.JSONDecodeError, RecursionError):
        row = None
    if not isinstance(row, dict) or not row:
        raise InputError(f'a row is {word[:200]!r}, expected a JSON object such as {{"price": 3.5, "colour": "red"}}')
    return row


def _parse_numbers(word: str) -> np.ndarray:
    try:
        numbers = np.array(row_of_numbers(word), dtype=np.float32)
    except ValueError:
        raise InputError(f"readings are {word[:200]!r}, expected numbers separated by spaces") from None
    if not np.isfinite(numbers).all():
        raise InputError(
            f"readings are {word[:200]!r}, expected finite numbers; leave the cell empty if they are missing"
        )
    return numbers


class Cells:
    """The cells of one modality.

    Attributes:
        own: Its columns.
        there: Which rows have it: of a file, that it lies there and is not empty; of texts and of numbers and
            categories, that a cell of theirs is filled.
        lost: Which rows name a file that is not there or is empty.
        holes: By reason, how many rows lack it.
        styles: By column, what its words stand for, where that is not themselves.
        typical: By column, what is read in the place of an empty number.
    """

    def __init__(
        self,
        own: ModalityColumns,
        parts: Sequence[Part],
        forms: Mapping[str, Form],
        known: Mapping[str, str] | None = None,
    ) -> None:
        """Looks for holes; reads texts and numbers once, and no files.

        Args:
            known: By column, the title of its style in training.
        """
        self.own = own
        self.typical: Mapping[str, float] = {}
        self._forms = forms
        self._files = [FileNames(part.folder) for part in parts]
        #: Cells that name something on the web, and files that lie elsewhere than the table.
        self.web_addresses: list[str] = []
        self.outside: list[str] = []
        self._columns = {name: [part.column(name) for part in parts] for name in own.columns}
        self._kept = {name: kept_in(columns) if own.kind == "table" else () for name, columns in self._columns.items()}
        # Of a single column of numbers, each cell is an array.
        read = self._columns if own.kind == "table" or (own.kind == "numbers" and len(own.columns) > 1) else {}
        if own.kind == "numbers":
            read = {name: columns for name, columns in read.items() if not all(map(are_numbers, columns))}
        has_commas = bool(read) and known is None and has_decimal_commas(parts, forms)
        styles = {
            name: column_style(forms[name], columns, (known or {}).get(name), has_commas=has_commas)
            for name, columns in read.items()
            if name in forms
        }
        self.styles = {name: style for name, style in styles.items() if style is not None}
        for name in self._columns:
            if own.kind == "table" and forms.get(name) == "text":
                _logger.warning("%s: words, of which each is taken for a category; write numbers all in one way", name)
        for name, style in self.styles.items():
            if style.doubt:
                _logger.warning("%s: %s; %s", name, style.title, style.doubt)
            if odd := misfits(style, self._columns[name], self._kept[name]):
                cells, told = counted(len(odd), "cell"), ", ".join(word[:30] for word in odd[:3])
                _logger.warning("%s: %s taken for empty, for want of %s: %s", name, cells, style.title, told)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self._class_names = {
            name: next((names for part in parts if (names := part.class_names(name))), None) for name in own.columns
        }
        reasons = list(self._reasons())
        self.there: Bool[np.ndarray, " row"] = np.array([reason is None for reason in reasons], dtype=bool)
        self.lost: Bool[np.ndarray, " row"] = np.array(
            [own in (_NOT_THERE, _NO_BYTES, _WEB) for own in reasons], dtype=bool
        )
        self.holes = Counter(reason for reason in reasons if reason is not None)
        if len(self.web_addresses) > self.there.sum():
            raise DataError(
                f"the column {own.columns[0]} holds web addresses ({len(self.web_addresses):,} of {len(reasons):,} "
                f"rows; the first is {self.web_addresses[0][:100]}); download the files, and name them in the table"
            )
        if self.outside:
            _logger.warning(
                "%s: %s outside of the folder of the table, such as %s; what lies there has to come along with it",
                *(own.columns[0], counted(len(self.outside), "file"), self.outside[0]),
            )

    def named(self, row: int) -> str:
        """Returns the name of the file of a row, or nothing where it has none."""
        if self.own.kind not in ("image", "audio"):
            return ""
        (cell,) = self._cells(row).values()
        path = cell.get("path") if isinstance(cell, Mapping) else cell
        return "" if isinstance(path, bytes) else str(path or "")

    def read(self, row: int) -> object:
        """Returns the value of a row that has the modality.

        Returns:
            An image as (height, width, 3) uint8; a sound as `sounds.read_sound` gives it; a text with single spaces, of
            several columns one after the other; the filled cells of numbers and categories by column, or what the JSON
            object in the modality's only column says; an array of numbers.

        Raises:
            InputError: If its file cannot be read, or there are no numbers.
        """
        cells = self._cells(row)
        if self.own.kind == "text":
            words = (word for cell in cells.values() for word in (cell if isinstance(cell, list) else [cell]))
            return " ".join(" ".join(str(word).split()) for word in words if not is_blank(word))
        if self.own.kind == "numbers":
            each = (cell if isinstance(cell, list) else [self._number(name, cell)] for name, cell in cells.items())
            numbers = _parse_numbers(" ".join(str(number).strip() for own in each for number in own))
            if not numbers.size:
                raise InputError("an empty list of numbers; leave the cell empty if they are missing")
            return numbers
        if self.own.kind == "table":
            only = next(iter(cells.values()))
            if self.own.columns == (self.own.modality,) and isinstance(only, str) and only.strip().startswith("{"):
                return _parse_row(only)
            named = {name: value for name, cell in cells.items() if (value := self._value(name, cell)) is not None}
            return filled_row(named, self.typical) if self.typical else named
        file, name = self.file(row)
        return read_image(file, name) if self.own.kind == "image" else read_sound(file, name)

    def file(self, row: int) -> tuple[Path | bytes, str]:
        """Returns the file of an image or sound, or what is in it, and its name for messages."""
        (cell,) = self._cells(row).values()
        if isinstance(cell, Mapping):
            name = str(cell.get("path") or f"row {row + 1}")
            return (bytes(cell["bytes"]), name) if cell.get("bytes") else (self._file_names(row).find(name), name)
        if isinstance(cell, bytes):
            return cell, f"row {row + 1}"
        path = self._file_names(row).find(str(cell))
        return path, str(path)

    def identity(self, row: int) -> str | None:
        """Returns what tells the value of a row from all others without decoding it; None if that cannot be known.

        That is the value itself where it is a text, or numbers and categories; of a file, what `file_identity` returns,
        and of bytes that stand in the table their digest, with the version of what decodes them.
        """
        if self.own.kind in ("image", "audio"):
            file, _ = self.file(row)
            found = file_identity(file) if isinstance(file, Path) else blake2b(file, digest_size=16).hexdigest()
            return found and f"{found} {(images if self.own.kind == 'image' else sounds).VERSION}"
        try:
            value = self.read(row)
        except InputError:
            return None
        return repr(value.tolist() if isinstance(value, np.ndarray) else value)

    def _file_names(self, row: int) -> FileNames:
        return self._files[int(np.searchsorted(self._starts, row, side="right")) - 1]

    def _cells(self, row: int) -> dict[str, object]:
        part = int(np.searchsorted(self._starts, row, side="right")) - 1
        cells = {name: columns[part][row - int(self._starts[part])].as_py() for name, columns in self._columns.items()}
        return {name: self._named_class(name, cell) for name, cell in cells.items()}

    def _named_class(self, name: str, cell: object) -> object:
        names = self._class_names[name]
        return cell if names is None or not isinstance(cell, int) else names[cell] if cell >= 0 else None

    def _reasons(self) -> Iterator[str | None]:
        """Yields for every row why it lacks the modality, None if it does not."""
        is_file = self.own.kind in ("image", "audio")
        for part, files in enumerate(self._files):
            columns = [self._columns[name][part] for name in self.own.columns]
            if is_file and not is_embedded(columns[0].type):
                some = [str(cell) for cell in columns[0].slice(0, _LOOKED_FOR).to_pylist() if not is_blank(cell)]
                if folders := files.look_below([word for word in some if not is_web_address(word)]):
                    named = ", ".join(folder if folder == "." else f"{folder}/" for folder in folders[:3])
                    _logger.warning("%s: files are found in %s, not where the table says", self.own.columns[0], named)
            yield from self._file_lacks(columns[0], files) if is_file else self._cells_lack(columns)

    def _cells_lack(self, columns: Sequence[pa.ChunkedArray]) -> Iterator[str | None]:
        at_once = max(100, _AT_ONCE // len(columns))  # of a wide table, fewer
        for start in range(0, len(columns[0]), at_once):
            of_rows = zip(*(column.slice(start, at_once).to_pylist() for column in columns), strict=True)
            for cells in of_rows:
                are_blank = [is_blank(cell, kept) for cell, kept in zip(cells, self._kept.values(), strict=True)]
                named = dict(zip(self.own.columns, cells, strict=True))
                if all(are_blank) or (self.own.kind == "numbers" and any(are_blank)):
                    yield "empty"
                elif (
                    self.own.kind == "table"
                    and not any(
                        self._value(name, self._named_class(name, cell)) is not None for name, cell in named.items()
                    )
                ) or (
                    self.own.kind == "numbers" and any(self._number(name, cell) is None for name, cell in named.items())
                ):
                    yield "no number"
                else:
                    yield None

    def _number(self, name: str, cell: object) -> object:
        """Returns what a cell among several of numbers stands for; None for a hole."""
        return self._value(name, cell) if name in self.styles and not isinstance(cell, list) else cell

    def _value(self, name: str, cell: object) -> int | float | str | None:
        """Returns a cell of a table as a number or the name of a category; None for a hole."""
        if is_blank(cell, self._kept[name]):
            return None
        style = self.styles.get(name)
        if style is None:
            return plain_word(cell)
        if isinstance(cell, int | float) and self._forms[name] == "number" and not style.is_time:
            return (int(cell) if isinstance(cell, bool) else cell) if math.isfinite(cell) else None
        try:
            return style.parse(plain_word(cell))
        except (ValueError, OverflowError):
            return None

    def _file_lacks(self, column: pa.ChunkedArray, files: FileNames) -> Iterator[str | None]:
        for start in range(0, len(column), _AT_ONCE):
            cells = column.slice(start, _AT_ONCE)
            if is_embedded(column.type):
                num_bytes, paths = lengths_and_paths(cells)
            else:
                num_bytes, paths = [0] * len(cells), cells.to_pylist()
            for size, path in zip(num_bytes, paths, strict=True):
                if size:
                    yield None
                elif is_blank(path):
                    yield "empty"
                elif is_web_address(str(path)):
                    self.web_addresses.append(str(path))
                    yield _WEB
                else:
                    found = files.size(str(path))
                    self.outside += [str(path)] if found and files.is_outside(str(path)) else []
                    yield _NOT_THERE if found is None else None if found else _NO_BYTES
