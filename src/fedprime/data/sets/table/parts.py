"""Rows that lie together, in files of one form: how they are opened, and which files are none of a table."""

import contextlib
import errno
import glob
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from fedprime.data.sets.table.arrow_words import in_words
from fedprime.data.sets.table.copies import note_use, tables_folder
from fedprime.data.sets.table.csv_format import CsvFormat, CsvOptions, read_csv_format, refuse_other_file, refuse_wide
from fedprime.data.sets.table.half_characters import have_halves, in_whole_characters
from fedprime.data.sets.table.json_depth import refuse_bad_lines, refuse_odd_json
from fedprime.data.sources import DataError
from fedprime.reproducibility.errors import quoted

_logger = logging.getLogger(__name__)

#: By ending, how the library calls the form of a file.
READERS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".json": "json", ".ndjson": "json", ".parquet": "parquet"}
_START = 2**20  # bytes of a file
_WHOLE_JSON = 2**30  # bytes of a file that are looked at together


@dataclass(frozen=True)
class Part:
    """Rows that lie together.

    Attributes:
        rows: A `datasets.Dataset`, whose cells are read from disk when they are asked for, images and sounds not
            decoded; or an Arrow table.
        split: The split that they are of, where where they lie says so.
        folder: What the files that they name are relative to.
    """

    rows: Any
    split: str | None
    folder: Path
    place: str

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> pa.ChunkedArray:
        """Returns a column, still on disk where it can stay there; one that is not there is empty cells."""
        if name not in self.rows.column_names:
            return pa.chunked_array([pa.nulls(len(self.rows))])
        rows = self.rows
        if not isinstance(rows, pa.Table):
            # To select a column copies what is known of all: only where rows were chosen, and all others would be, too.
            are_chosen = rows._indices is not None
            rows = rows.select_columns([name]).with_format("arrow")[:] if are_chosen else rows.data
        return in_words(rows.column(name), f"{self.place}, column {name}")

    def class_names(self, name: str) -> list[str] | None:
        """Returns what the numbers in a column stand for; None where they are no classes."""
        feature = getattr(self.rows, "features", {}).get(name)
        return getattr(getattr(feature, "feature", feature), "names", None)  # of lists, those of what they hold


def named(cells: list[Any], names: Sequence[str] | None) -> list[Any]:
    """Returns cells, numbers that stand for classes as their names; a number below zero is a hole."""
    if names is None:
        return cells
    return [
        named(cell, names) if isinstance(cell, list) else names[cell] if cell is not None and cell >= 0 else None
        for cell in cells
    ]


def have_one_schema(files: Sequence[Path]) -> bool:
    """Returns whether columns are of the same types in all files: to cast one to that of another may lose something."""
    if any(own.suffix.lower() != ".parquet" for own in files):
        return True
    from pyarrow import parquet

    try:
        types = [dict(zip(own.names, own.types, strict=True)) for own in map(parquet.read_schema, files)]
    except (OSError, pa.ArrowException):
        return True  # whoever opens them says what is wrong
    return all(own == types[0] for own in types)


def open_files(files: Sequence[Path], split: str | None, folder: Path, options: CsvOptions) -> Part:
    """Opens a table that lies in one file, or in several of the same form.

    Args:
        folder: What the files that it names are relative to.

    Raises:
        DataError: If a file is of no form that is read, broken or empty, or the files differ in their columns.
    """
    files = [own for own in files if _may_have_rows(own)] or files[:1]  # Spark writes empty parts, too
    file, ending = files[0], files[0].suffix.lower()
    if ending not in READERS or any(other.suffix.lower() != ending for other in files):
        raise DataError(f"{file} is no table: expected a file that ends in {', '.join(READERS)}")
    reader: dict[str, Any] = {}
    found: list[CsvFormat] = []
    form = READERS[ending].upper()
    for own in files if form != "CSV" else ():
        if not own.stat().st_size:
            raise DataError(f"{own} is empty; expected a row for each sample")
        refuse_other_file(own, form)
    if form == "CSV":
        found = [read_csv_format(own, options) for own in files]
        if any(own != found[0] for own in found):
            raise DataError(f"{file.parent}: not all files have the columns and encoding of {file.name}")
        reader = _csv_reader(found[0])
    elif form == "JSON":
        refuse_odd_json(files)
        # What a column holds is decided by all of a file: its first rows may have nothing in it.
        reader = {"chunksize": min(_WHOLE_JSON, max(own.stat().st_size for own in files) + 1)}
    with reading(str(file), f"{form} file", files if form == "JSON" else ()):
        from datasets import load_dataset

        if form == "PARQUET":
            if not any(_num_parquet_rows(own) for own in files):
                raise DataError(f"{file} has no rows; expected one for each sample")
            reader = _parquet_columns(file)
        is_mended = form == "JSON" and have_halves(files)
        cache = tables_folder(lasts=not is_mended)
        read = in_whole_characters(files, cache) if is_mended else files
        data_files = {"table": [glob.escape(str(own)) for own in read]}
        rows = load_dataset(READERS[ending], data_files=data_files, split="table", cache_dir=str(cache), **reader)
        note_use(rows.cache_files)
        pa.default_memory_pool().release_unused()  # what parsing needed
    refuse_wide(len(rows.column_names), file)
    _refuse_lost(len(rows), found, str(file))
    if form == "JSON" and len(rows) == 1 and _holds_all_rows(list(rows[0].values())):
        raise DataError(
            f"{file} has one object for all rows; write an object for each row, a line each, as "
            "to_json(orient='records', lines=True) of pandas does"
        )
    return Part(undecoded(rows), split, folder, str(file))


def _csv_reader(found: CsvFormat) -> dict[str, Any]:
    """Returns what the library is told of a CSV file."""
    from datasets import Features, Value

    # Cells are taken as they are written: "007" stays so, and a column may mix numbers and words.
    reader: dict[str, Any] = {"features": Features(dict.fromkeys(found.header, Value("string")))}
    reader |= {"names": found.header, "header": found.num_skipped, "skipinitialspace": True, "na_filter": False}
    return reader | {"encoding": found.encoding, "sep": found.delimiter}


def _refuse_lost(num_read: int, found: Sequence[CsvFormat], place: str) -> None:
    """Raises a `DataError` where two parsers of CSV differ in what a row is."""
    few, many = (sum(own.num_rows[at] for own in found) for at in (0, 1))
    if found and not few <= num_read <= many:
        raise DataError(
            f"{place}: two ways to read it find {few:,} and {num_read:,} rows; save it anew as CSV in UTF-8, without "
            "blank lines"
        )


def _holds_all_rows(cells: Sequence[object]) -> bool:
    """Returns whether the cells of a single row are whole columns, or one of them is the table."""
    tables = [cell for cell in cells if isinstance(cell, list) and cell and isinstance(cell[0], dict)]
    return bool(tables) or all(isinstance(cell, list | dict) for cell in cells)


def _parquet_columns(file: Path) -> dict[str, Any]:
    """Returns the columns to read, if there are others that the library `datasets` cannot; these are told."""
    from datasets import Features
    from datasets.features.features import generate_from_arrow_type
    from pyarrow import parquet

    odd: dict[str, pa.DataType] = {}
    schema = parquet.read_schema(file)
    twice = [name for name, number in Counter(schema.names).items() if number > 1]
    if twice:
        raise DataError(f"{file} has the column {twice[0]!r} twice; rename one")
    for field in schema:
        try:
            generate_from_arrow_type(field.type)
        except ValueError:
            odd[field.name] = field.type
    if odd:
        told = ", ".join(f"{name} ({kind})" for name, kind in odd.items())
        _logger.warning("%s: left out, for nothing reads cells of their type: %s", file, quoted(told))
        usable = pa.schema([field for field in schema if field.name not in odd], metadata=schema.metadata)
        return {"columns": usable.names, "features": Features.from_arrow_schema(usable)}
    return {}


def _may_have_rows(file: Path) -> bool:
    """Returns whether a file holds more than nothing, or than the names of columns."""
    if file.suffix.lower() == ".parquet":
        return True
    with file.open("rb") as opened:
        lines = opened.read(_START).strip().splitlines()
    return len(lines) > (READERS.get(file.suffix.lower()) == "csv")


def _num_parquet_rows(file: Path) -> int:
    from pyarrow import parquet

    return parquet.read_metadata(file).num_rows


def undecoded(rows: Any) -> Any:
    """Returns rows of the library `datasets` whose images and sounds stay as they were written."""
    from datasets import Audio, Image

    for name, feature in rows.features.items():
        if isinstance(feature, Image | Audio):
            rows = rows.cast_column(name, type(feature)(decode=False))
    return rows


@contextlib.contextmanager
def reading(place: str, form: str, lines: Sequence[Path] = ()) -> Iterator[None]:
    """Quiet reading by the library `datasets`, whose errors come out as one line.

    Args:
        lines: The files, if they are JSON, of which the first bad line is named.
    """
    # Its import takes a second, which runs on other data need not wait for.
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    were_disabled = are_progress_bars_disabled()
    disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    except DataError:
        raise
    # The library raises errors of its own, of Arrow, of pandas and of the hub's client.
    except Exception as error:
        cause = error.__cause__ or error
        said = " ".join(str(cause).split()) or type(cause).__name__
        is_full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        if is_full or said.startswith("Not enough disk space"):  # as the library says it, without a number
            said = (
                f"{said}; rows are kept in fedprime's cache: make room there, or name another folder by FEDPRIME_CACHE"
            )
            raise DataError(f"{place} cannot be opened: {said}") from error
        if "corresponds to no data" in said:
            raise DataError(f"{place} has no rows; expected one for each sample") from error
        refuse_bad_lines(lines)
        mended = "check its name" if form.endswith("hub") else "check that it is whole, or write it anew"
        raise DataError(f"{place} cannot be read as a {form}: {said.rstrip('.')}; {mended}") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not were_disabled:
            enable_progress_bars()
