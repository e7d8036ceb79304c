"""How a CSV file is written: its encoding, its delimiter, its header; found out where nobody states it."""

import csv
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from fedprime.data.sets.table.number_words import PLAIN
from fedprime.data.sets.table.plain_words import cleaned
from fedprime.data.sets.table.text_encoding import found_encoding
from fedprime.data.sources import DataError
from fedprime.reproducibility.errors import counted

_logger = logging.getLogger(__name__)

#: How files begin that are something else, whatever they are called.
_OTHERS = {
    b"PK\x03\x04": "an Excel file or an archive; save its table as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "an Excel file; save its table as CSV in UTF-8",
    b"\x1f\x8b": "compressed; unpack it (gunzip)",
    b"BZh9": "compressed; unpack it (bunzip2)",
    b"\xfd7zXZ\0": "compressed; unpack it (unxz)",
    b"\x28\xb5\x2f\xfd": "compressed; unpack it (unzstd)",
    b"SQLite format 3\0": "a database; save its table as CSV in UTF-8",
    b"ARROW1\0\0": "a file of Arrow; save its table as parquet",
    b"PAR1\x15": "a parquet file; let its name end in .parquet",
    b"%PDF": "a PDF; save its table as CSV in UTF-8",
    b"<!doctype": "a page of the web; download the table itself",
    b"<html": "a page of the web; download the table itself",
    b"<table": "a page of the web; save its table as CSV in UTF-8",
    b"<?xml": "XML; save its table as CSV in UTF-8",
    b'{"': "JSON; let its name end in .jsonl",
    b'[{"': "JSON; let its name end in .json",
}
#: How those begin that are what their name says.
_OWN = {"CSV": (), "JSON": (b'{"', b'[{"'), "PARQUET": (b"PAR1\x15",)}
#: What Excel reads in the first line.
_STATED = re.compile(r"sep=(.)\s*")
_DELIMITERS = (",", ";", "\t", "|")
_LOOKED_AT = 2**20  # letters that tell a delimiter
_ROWS = 100  # that tell a delimiter
_MOST_COLUMNS = 5000


@dataclass(frozen=True)
class CsvOptions:
    """How somebody says that files are written: encoding, and delimiter or "tab"; what is empty is found out.

    Attributes:
        are_usual: Whether this is but how others, as those of training, are written: what a file tells comes first.
    """

    encoding: str = ""
    delimiter: str = ""
    are_usual: bool = False


@dataclass(frozen=True)
class CsvFormat:
    """How a file is written.

    Attributes:
        encoding: As Python names it.
        header: The names of columns; a column without a name, as programs write row numbers, is called ``(index)``.
        num_skipped: Rows before it (how the file is written, a title, nothing), but for lines without any cell.
        num_rows: How few and how many rows are after it: one may take two quotes in a line for a row, and one not.
    """

    encoding: str
    delimiter: str
    header: list[str]
    num_skipped: int = 0
    num_rows: tuple[int, int] = field(default=(0, 0), compare=False)


def read_csv_format(file: Path, options: CsvOptions | None = None) -> CsvFormat:
    """Finds out how a file is written; the log tells what is unusual.

    Raises:
        DataError: Where a parser would guess, which would lose something without a word.
    """
    options = options or CsvOptions()
    delimiter = options.delimiter
    if len(delimiter) > 1 and delimiter.lower() in ("tab", "\\t"):
        delimiter = "\t"
    if len(delimiter) > 1:
        raise DataError(f"the delimiter is {delimiter!r}; expected one character, or tab")
    refuse_other_file(file, "CSV")
    stated = "" if options.are_usual else options.encoding
    encoding = stated or found_encoding(file, options.encoding)
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with file.open(newline="", encoding=encoding) as opened:
            first = opened.readlines(_LOOKED_AT)
        said = _STATED.fullmatch(first[0]) if first else None
        num_skipped = int(said is not None)
        if not delimiter or options.are_usual:
            delimiter = said[1] if said else _delimiter(first, file, delimiter or ",")
        with file.open(newline="", encoding=encoding) as opened:
            lines = islice(opened, num_skipped, None)
            reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
            try:
                header, num_before, num_rows = _checked_header(reader, file, num_skipped)
            except csv.Error as error:
                raise DataError(
                    f"{file} cannot be read as CSV: {error} (line {reader.line_num + num_skipped}); "
                    "close each quote, and double those within a cell"
                ) from error
    except LookupError as error:
        raise DataError(
            f"the encoding is {encoding!r}, which is none: {error}; expected one as utf-8, cp1252"
        ) from error
    except UnicodeError as error:
        raise DataError(
            f"{file} is not in {encoding.upper().removesuffix('-SIG')} ({error}); say what it is by "
            "--data.encoding (to predict, --encoding), as cp1252, or save it as CSV in UTF-8"
        ) from error
    except OSError as error:
        raise DataError(f"{file} cannot be read as CSV: {error}; save it as CSV in UTF-8") from error
    finally:
        csv.field_size_limit(limit)
    return CsvFormat(encoding, delimiter, header, num_skipped + num_before, num_rows)


def refuse_other_file(file: Path, form: str) -> None:
    """Raises a `DataError` if a file begins as those of another form do.

    Args:
        form: What it is said to be: CSV, JSON or PARQUET.
    """
    with file.open("rb") as opened:
        start = opened.read(1000).lstrip()
    for sign, what in _OTHERS.items():
        if sign not in _OWN[form] and start[: len(sign)].lower() == sign.lower():
            raise DataError(f"{file} is no {form} file but {what}")


def refuse_wide(num_columns: int, file: Path) -> None:
    """Raises a `DataError` if a table has more columns than are read."""
    if num_columns > _MOST_COLUMNS:
        raise DataError(
            f"{file} has {num_columns:,} columns, more than {_MOST_COLUMNS:,}; leave out those that are not used, or "
            "put numbers that belong together into one column, with spaces between them"
        )


def _delimiter(lines: list[str], file: Path, usual: str) -> str:
    """Returns what divides the first rows into the most columns that all of them have; if nothing does, the usual."""
    if file.suffix.lower() == ".tsv":
        return "\t"
    best, most = usual, 1
    for delimiter in _DELIMITERS:
        rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        widths = [len(row) for row in islice((row for row in rows if any(map(cleaned, row))), _ROWS)]
        if not widths or widths[0] < 2:
            continue
        fitting = Counter(widths)[widths[0]]
        if fitting >= 0.9 * len(widths) and (widths[0] > most):
            best, most = delimiter, widths[0]
    if best != ",":
        _logger.info("%s: cells are divided by %r (data.delimiter says otherwise)", file, best)
    return best


def _is_row(row: Sequence[str]) -> bool:
    """Returns whether a line is a row: one with blanks alone is none."""
    return len(row) > 1 or any(cell.strip(" \t") for cell in row)


def _first_row(reader: Any, file: Path) -> tuple[list[str], int, Iterator[list[str]]]:
    """Returns the row that names the columns, how many are before it, and the rows after it."""
    row, num_before = _written(reader)
    if len(row) < 3 or not row[0] or any(row[1:]):
        return row, num_before, reader
    # One cell above several columns is a title, if what comes next is all words; else it is the only name.
    later, num_between = _written(reader)
    if sum(map(bool, later)) < 2 or any(map(PLAIN.fits, later)):
        return row, num_before, chain([[""] * len(row)] * num_between, [later], reader)
    _logger.warning("%s: %r is above the names of columns, and taken for a title", file, row[0][:100])
    return later, num_before + 1 + num_between, reader


def _written(reader: Any) -> tuple[list[str], int]:
    """Returns the next row in which something is written, and how many are before it."""
    num_blank = 0
    for row in reader:
        if any(map(cleaned, row)):
            return [cleaned(name) for name in row], num_blank
        num_blank += _is_row(row)
    return [], num_blank


def _checked_header(reader: Any, file: Path, num_skipped: int) -> tuple[list[str], int, tuple[int, int]]:
    """Returns the names of columns, how many rows are before them, and how few and many rows after them."""
    names, num_before, rows = _first_row(reader, file)
    header = [name or ("(index)" if column == 0 else f"(column {column + 1})") for column, name in enumerate(names)]
    refuse_wide(len(header), file)
    is_empty, short, num_rows, num_perhaps = True, list[int](), 0, 0
    for row in rows:
        num_rows += _is_row(row)
        num_perhaps += len(row) > 0
        is_empty = is_empty and not any(map(cleaned, row))
        is_same_width = len(row) == len(names) > 1
        if is_same_width and all(cleaned(cell) == name for cell, name in zip(row, names, strict=True)):
            raise DataError(
                f"{file}, line {reader.line_num + num_skipped}, names the columns once more; leave it out, as well as "
                "where files were joined"
            )
        if len(row) > len(header):
            raise DataError(
                f"{file}, line {reader.line_num + num_skipped}: {counted(len(row), 'cell')} under "
                f"{counted(len(header), 'column')}; put texts with commas into quotes, and let the first line name the "
                "columns"
            )
        if row and len(row) < len(header):
            short.append(reader.line_num + num_skipped)
    twice = [name for name in dict.fromkeys(header) if header.count(name) > 1]
    if twice:
        raise DataError(f"{file} has the column {twice[0]!r} twice; rename one")
    if not header:
        raise DataError(f"{file} is empty; expected a header with the names of columns, and a row for each sample")
    if is_empty:
        raise DataError(f"{file} has no rows; expected one for each sample")
    if short:
        _logger.warning(
            "%s: %s with fewer cells than there are columns, first line %d: their last cells are taken for empty",
            *(file, counted(len(short), "line"), short[0]),
        )
    return header, num_before, (num_rows, num_perhaps)
