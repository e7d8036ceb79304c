"""How a CSV file is written: its encoding, its delimiter, its header; found out where nobody states it."""

import codecs
import csv
import logging
import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from fedprime.data.sets.table.plain_words import cleaned
from fedprime.data.sources import DataError
from fedprime.reproducibility.errors import counted

__all__ = ["CsvFormat", "CsvOptions", "read_csv_format", "refuse_other_file"]

_logger = logging.getLogger(__name__)

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
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
_LOOKED_AT = 2**20  # bytes that tell an encoding
_ROWS = 100  # that tell a delimiter
_MOST_COLUMNS = 5000
#: Beyond ASCII, what texts in Windows-1252 have; other encodings read as it look otherwise.
_WESTERN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜßàáâãäåæçèéêëìíîïñòóôõöøùúûüÿŒœŠšŽžŸ") | frozenset(
    bytes(range(0x80, 0xC0)).decode("cp1252", errors="ignore")
)
_FOREIGN_RUN = re.compile(r"[^\x00-\x7f]{4,}")


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
        delimiter: What stands between cells.
        header: The names of columns; a column without a name, as programs write row numbers, is called ``(index)``.
        num_skipped: Lines before it, which say how the file is written, or nothing.
    """

    encoding: str
    delimiter: str
    header: list[str]
    num_skipped: int = 0


def read_csv_format(file: Path, options: CsvOptions | None = None) -> CsvFormat:
    """Finds out how a file is written; the log tells what is unusual.

    Args:
        options: What somebody states.

    Raises:
        DataError: Where a parser would guess, which would lose something without a word.
    """
    options = options or CsvOptions()
    delimiter = options.delimiter
    if len(delimiter) > 1 and delimiter.lower() in ("tab", "\\t"):
        delimiter = "\t"
    if len(delimiter) > 1:
        raise DataError(f"data.delimiter is {delimiter!r}; expected one character, or tab")
    refuse_other_file(file, "CSV")
    stated = "" if options.are_usual else options.encoding
    encoding = stated or _encoding(file, options.encoding)
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
                header, num_blank = _checked_header(reader, file, num_skipped)
            except csv.Error as error:
                raise DataError(
                    f"{file} cannot be read as CSV: {error} (line {reader.line_num + num_skipped}); "
                    "close each quote, and double those within a cell"
                ) from error
    except LookupError as error:
        raise DataError(
            f"data.encoding is {encoding!r}, which is none: {error}; expected one as utf-8, cp1252"
        ) from error
    except UnicodeError as error:
        raise DataError(
            f"{file} is not in {encoding.upper().removesuffix('-SIG')} ({error}); say what it is by "
            "--data.encoding, as cp1252, or save it as CSV in UTF-8"
        ) from error
    except OSError as error:
        raise DataError(f"{file} cannot be read as CSV: {error}; save it as CSV in UTF-8") from error
    finally:
        csv.field_size_limit(limit)
    return CsvFormat(encoding, delimiter, header, num_skipped + num_blank)


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


def _encoding(file: Path, usual: str) -> str:
    """Returns what a file is written in; what is usual is taken where it would only be guessed."""
    with file.open("rb") as opened:
        start = opened.read(_LOOKED_AT)
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    # Of every second byte of a text in UTF-16 most are zeros; a few in a file of another encoding are but odd letters.
    for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if start[offset:1000:2].count(0) > len(start[:1000]) / 4:
            return name
    try:
        with file.open(encoding="utf-8") as opened:
            while opened.read(_LOOKED_AT):
                pass
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            raise DataError(
                f"{file} ends within a letter of UTF-8; if it was cut off, copy it again, else say what it is by "
                "--data.encoding, as cp1252"
            ) from error
    else:
        return "utf-8"
    lines = _lines_beyond_ascii(file)
    _refuse_damaged(lines, file)
    content = b"".join(lines.values())
    found = usual if usual and _is_in(content, usual) else _other_encoding(content)
    if not found:
        raise DataError(f"{file} is not in UTF-8, and its encoding is not clear; say what it is by --data.encoding")
    _logger.warning("%s is not in UTF-8; it is read as %s (data.encoding says otherwise)", file, found)
    return found


def _is_in(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def _lines_beyond_ascii(file: Path) -> dict[int, bytes]:
    """Returns by number the lines that tell an encoding, wherever in the file they stand, up to some megabytes."""
    found: dict[int, bytes] = {}
    size = 0
    with file.open("rb") as opened:
        for number, line in enumerate(opened, start=1):
            if not line.isascii():
                found[number] = line
                size += len(line)
            if size > 8 * _LOOKED_AT:
                break
    return found


def _refuse_damaged(lines: Mapping[int, bytes], file: Path) -> None:
    """Raises a `DataError` where most letters are in UTF-8: to read all as something else would spoil them."""
    texts = {number: line.decode(errors="replace") for number, line in lines.items()}
    num_odd = sum(text.count("\ufffd") for text in texts.values())
    if sum(letter > "\x7f" for text in texts.values() for letter in text) > 3 * num_odd:
        line = next(number for number, text in texts.items() if "\ufffd" in text)
        raise DataError(
            f"{file}, line {line}: a letter is not in UTF-8, as others of the file are; mend it, or say what it is by "
            "--data.encoding, as cp1252"
        )


def _other_encoding(content: bytes) -> str:
    """Returns what a text is in that is not in UTF-8; nothing if that is not clear."""
    western = content.decode("cp1252", errors="replace")
    foreign = [letter for letter in western if ord(letter) > 127]
    if all(letter in _WESTERN for letter in foreign) and not _FOREIGN_RUN.search(western):
        return "cp1252"
    from charset_normalizer import from_bytes  # few need it

    best = from_bytes(content[: _LOOKED_AT // 4]).best()
    return "" if best is None else best.encoding


def _delimiter(lines: list[str], file: Path, usual: str) -> str:
    """Returns what divides the first rows into the most columns that all of them have; if nothing does, the usual."""
    if file.suffix.lower() == ".tsv":
        return "\t"
    best, most = usual, 1
    for delimiter in _DELIMITERS:
        widths = [
            len(row) for row in islice(csv.reader(lines, delimiter=delimiter, skipinitialspace=True), _ROWS) if row
        ]
        if not widths or widths[0] < 2:
            continue
        fitting = Counter(widths)[widths[0]]
        if fitting >= 0.9 * len(widths) and (widths[0] > most):
            best, most = delimiter, widths[0]
    if best != ",":
        _logger.info("%s: cells are divided by %r (data.delimiter says otherwise)", file, best)
    return best


def _first_row(reader: Any) -> tuple[list[str], int]:
    """Returns the first row that is not blank, and how many lines are before it."""
    num_blank = 0
    for row in reader:
        if any(map(cleaned, row)):
            return [cleaned(name) for name in row], num_blank
        num_blank = reader.line_num
    return [], num_blank


def _checked_header(reader: Any, file: Path, num_skipped: int) -> tuple[list[str], int]:
    """Returns the names of columns, and how many lines before them are blank."""
    header, num_blank = _first_row(reader)
    if len(header) > _MOST_COLUMNS:
        raise DataError(
            f"{file} has {len(header):,} columns, more than {_MOST_COLUMNS:,}; leave out those that are not used, or "
            "put numbers that belong together into one column, with spaces between them"
        )
    header = [name or ("(index)" if column == 0 else f"(column {column + 1})") for column, name in enumerate(header)]
    is_empty, short = True, list[int]()
    for row in reader:
        is_empty = is_empty and not any(map(cleaned, row))
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
    return header, num_blank
