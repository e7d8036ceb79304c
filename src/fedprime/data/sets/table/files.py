"""Where the rows of a table come from: a metadata file beside images, or a data set of the library `datasets`.

Source: the layout of a folder of images with ``metadata.csv``, ``metadata.jsonl`` or ``metadata.parquet`` is that of
    the Hugging Face "imagefolder" (https://huggingface.co/docs/datasets/image_dataset).
"""

import contextlib
import errno
import glob
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from fedprime.data.sets.table.arrow_words import in_words
from fedprime.data.sets.table.copies import tables_folder
from fedprime.data.sets.table.csv_format import read_csv_format, refuse_other_file
from fedprime.data.sets.table.json_depth import refuse_bad_lines, refuse_odd_json
from fedprime.data.sets.table.layouts import class_folders, part_files, split_files
from fedprime.data.sources import DataError
from fedprime.data.splits import SPLITS, split_name
from fedprime.reproducibility.errors import quoted

__all__ = ["Part", "open_parts"]

_logger = logging.getLogger(__name__)

_READERS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".json": "json", ".ndjson": "json", ".parquet": "parquet"}
_METADATA = [f"metadata{ending}" for ending in _READERS]
_MOST_COLUMNS = 5000
_WHOLE_JSON = 2**30  # bytes of a file that are looked at together
#: Encoding and delimiter of CSV files, if somebody states them.
CsvOptions = tuple[str, str]
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class Part:
    """Rows that lie together.

    Attributes:
        rows: A `datasets.Dataset`, whose cells are read from disk when they are asked for, images and sounds not
            decoded; or an Arrow table.
        split: The split that they are of, where where they lie says so.
        folder: What the files that they name are relative to.
        place: Where they were found, for messages.
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
        if isinstance(self.rows, pa.Table):
            return in_words(self.rows[name], f"{self.place}, column {name}")
        return in_words(self.rows.select_columns([name]).with_format("arrow")[:][name], f"{self.place}, column {name}")

    def class_names(self, name: str) -> list[str] | None:
        """Returns what the numbers in a column stand for; None where they are no classes."""
        return getattr(getattr(self.rows, "features", {}).get(name), "names", None)


def open_parts(path: str, encoding: str = "", delimiter: str = "") -> list[Part]:
    """Opens a table.

    Args:
        path: A folder with one metadata file, or with a folder for each split that has one; with files of a split each,
            in one piece or several; with one table of any name; with a folder for each class; such a file itself; a
            folder that ``save_to_disk`` of the library `datasets` wrote; or the name of a data set on the hub.
        encoding: Of CSV files, if it is not to be found out.
        delimiter: Likewise, what stands between their cells.

    Returns:
        The parts, in the order of their splits.

    Raises:
        DataError: If there is no table, more than one, or it cannot be read.
    """
    if not path:
        raise DataError("a table does not come along: name its folder, --data.path FOLDER")
    place, options = Path(path), (encoding, delimiter)
    if place.is_file():
        return [_open_files([place], None, place.parent, options)]
    if not place.is_dir():
        return _open_named(path)
    if (place / "state.json").is_file() or (place / "dataset_dict.json").is_file():
        return _open_saved(place)
    own = _table_files(place)
    if own:
        return [_open_files(own, None, place, options)]
    named = {split: folder for folder in sorted(place.iterdir()) if (split := split_name(folder.name)) in SPLITS}
    files = {split: _table_files(folder) for split, folder in named.items() if folder.is_dir()}
    parts = [_open_files(own, split, named[split], options) for split in SPLITS if (own := files.get(split))]
    parts = parts or [_open_files(own, split, place, options) for split, own in split_files(place).items()]
    return parts or _open_otherwise(place, options)


def _open_otherwise(place: Path, options: CsvOptions) -> list[Part]:
    """Opens the one table that has a name of its own, or a folder of class folders."""
    tables = sorted(file for file in place.iterdir() if file.suffix.lower() in _READERS and file.is_file())
    classes = _open_classes(place)
    labels = {label for part in classes for label in part.rows["label"]}
    if len(tables) == 1 and len(labels) <= 1:
        _logger.warning("%s has no metadata file; its one table, %s, is taken", place, tables[0].name)
        return [_open_files(tables, None, place, options)]
    if tables and classes:
        raise DataError(
            f"{place} has a table, {tables[0].name}, and folders of files, such as {min(labels)}, that may be classes; "
            f"name the table, --data.path {tables[0]}, or move it away"
        )
    return classes or _refuse_folder(place)


def _open_classes(place: Path) -> list[Part]:
    """Opens a folder of class folders: a row for each file, whose label is the name of its folder."""
    found = class_folders(place)
    if not found:
        return []
    from datasets import Dataset

    return [
        Part(
            Dataset.from_dict({"file_name": [name for name, _ in own], "label": [label for _, label in own]}),
            split or None,
            place,
            str(place),
        )
        for split, own in found.items()
    ]


def _table_files(folder: Path) -> list[Path]:
    """Returns the metadata file of a folder, or the parts of its table, as Spark and other programs write them."""
    own = _metadata_file(folder)
    return [own] if own else part_files(folder)


def _refuse_folder(place: Path) -> NoReturn:
    partition = next((own.name for own in sorted(place.iterdir()) if own.is_dir() and "=" in own.name), None)
    if partition:
        raise DataError(
            f"{place} is a table in partitions, such as {partition}; write it as one file, as "
            "pandas.read_parquet(FOLDER).to_parquet('metadata.parquet') does"
        )
    others = sorted(file.name for file in place.iterdir() if file.suffix in _READERS)
    hint = f"; or name the file: --data.path {place / others[0]}" if others else ""
    raise DataError(
        f"{place} is no table: expected metadata.csv, metadata.jsonl or metadata.parquet with a row for each "
        f"sample{hint}"
    )


def _metadata_file(folder: Path) -> Path | None:
    found = [folder / name for name in _METADATA if (folder / name).is_file()] if folder.is_dir() else []
    if len(found) > 1:
        names = " and ".join(file.name for file in found)
        raise DataError(f"{folder} has {names}; keep one, or name the file: --data.path {found[0]}")
    return found[0] if found else None


def _open_files(files: Sequence[Path], split: str | None, folder: Path, options: CsvOptions) -> Part:
    """Opens a table that lies in one file, or in several of the same form."""
    file, ending = files[0], files[0].suffix.lower()
    if ending not in _READERS or any(other.suffix.lower() != ending for other in files):
        raise DataError(f"{file} is no table: expected a file that ends in {', '.join(_READERS)}")
    reader: dict[str, Any] = {}
    form = _READERS[ending].upper()
    for own in files if form != "CSV" else ():
        if not own.stat().st_size:
            raise DataError(f"{own} is empty; expected a row for each sample")
        refuse_other_file(own, form)
    if form == "CSV":
        from datasets import Features, Value

        # Cells are taken as they are written: "007" stays so, and a column may mix numbers and words.
        found = [read_csv_format(own, *options) for own in files]
        if any(own != found[0] for own in found):
            raise DataError(f"{file.parent}: not all files have the columns and encoding of {file.name}")
        header = found[0].header
        reader = {"features": Features(dict.fromkeys(header, Value("string"))), "names": header, "header": 0}
        reader |= {"na_filter": False, "encoding": found[0].encoding, "sep": found[0].delimiter}
        reader |= {"skipinitialspace": True, "skiprows": found[0].num_skipped}
    elif form == "JSON":
        refuse_odd_json(files)
        # What a column holds is decided by all of a file: its first rows may have nothing in it.
        reader = {"chunksize": min(_WHOLE_JSON, max(own.stat().st_size for own in files) + 1)}
    with _reading(str(file), f"{form} file", files if form == "JSON" else ()):
        from datasets import load_dataset

        if form == "PARQUET":
            if not any(_num_parquet_rows(own) for own in files):
                raise DataError(f"{file} has no rows; expected one for each sample")
            reader = _parquet_columns(file)
        data_files = {"table": [glob.escape(str(own)) for own in files]}
        with tables_folder() as cache:
            rows = load_dataset(_READERS[ending], data_files=data_files, split="table", cache_dir=str(cache), **reader)
        pa.default_memory_pool().release_unused()  # what parsing needed
    _refuse_wide(rows, str(file))
    if form == "JSON" and len(rows) == 1 and _holds_all_rows(list(rows[0].values())):
        raise DataError(
            f"{file} has one object for all rows; write an object for each row, a line each, as "
            "to_json(orient='records', lines=True) of pandas does"
        )
    return Part(_undecoded(rows), split, folder, str(file))


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


def _num_parquet_rows(file: Path) -> int:
    from pyarrow import parquet

    return parquet.read_metadata(file).num_rows


def _refuse_wide(rows: Any, place: str) -> None:
    if len(rows.column_names) > _MOST_COLUMNS:
        raise DataError(
            f"{place} has {len(rows.column_names):,} columns, more than {_MOST_COLUMNS:,}; leave out those that are "
            "not used, or put numbers that belong together into one column"
        )


def _open_saved(folder: Path) -> list[Part]:
    with _reading(str(folder), "data set that save_to_disk wrote"):
        from datasets import load_from_disk

        return _as_parts(load_from_disk(str(folder)), str(folder), folder)


def _open_named(path: str) -> list[Part]:
    if not _HUB_NAME.fullmatch(path) or Path(path).suffix.lower() in _READERS:
        raise DataError(f"{path} is not there; expected a table: a file, or the folder of one")
    try:
        with _reading(path, "data set of the hub"):
            from datasets import load_dataset

            return _as_parts(load_dataset(path), path, Path())
    except DataError as error:
        raise DataError(f"there is no file or folder {path} here; looked for on the hub: {error}") from error


def _as_parts(rows: Any, place: str, folder: Path) -> list[Part]:
    if not isinstance(rows, dict):
        return [Part(_undecoded(rows), None, folder, place)]
    named = {split_name(name): own for name, own in rows.items()}
    known = [split for split in SPLITS if split in named]
    if not known:
        if len(rows) > 1:
            raise DataError(f"{place} has the splits {', '.join(rows)}; expected train, validation (or dev) and test")
        return [Part(_undecoded(own), None, folder, place) for own in rows.values()]
    return [Part(_undecoded(named[split]), split, folder, place) for split in known]


def _undecoded(rows: Any) -> Any:
    from datasets import Audio, Image

    for name, feature in rows.features.items():
        if isinstance(feature, Image | Audio):
            rows = rows.cast_column(name, type(feature)(decode=False))
    return rows


@contextlib.contextmanager
def _reading(place: str, form: str, lines: Sequence[Path] = ()) -> Iterator[None]:
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
