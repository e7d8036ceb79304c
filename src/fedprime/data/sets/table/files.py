"""Where the rows of a table come from: a metadata file beside images, or a data set of the library `datasets`.

Source: the layout of a folder of images with ``metadata.csv``, ``metadata.jsonl`` or ``metadata.parquet`` is that of
    the Hugging Face "imagefolder" (https://huggingface.co/docs/datasets/image_dataset).
"""

import contextlib
import csv
import glob
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from fedprime.data.batches import DataError
from fedprime.data.splits import SPLITS, split_name

__all__ = ["Part", "open_parts"]

_READERS = {".csv": "csv", ".jsonl": "json", ".parquet": "parquet"}
_METADATA = [f"metadata{ending}" for ending in _READERS]
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
            return self.rows[name]
        return self.rows.select_columns([name]).with_format("arrow")[:][name]

    def class_names(self, name: str) -> list[str] | None:
        """Returns what the numbers in a column stand for; None where they are no classes."""
        return getattr(getattr(self.rows, "features", {}).get(name), "names", None)


def open_parts(path: str) -> list[Part]:
    """Opens a table.

    Args:
        path: A folder with one metadata file, or with a folder for each split that has one; such a file itself; a
            folder that ``save_to_disk`` of the library `datasets` wrote; or the name of a data set on the hub.

    Returns:
        The parts, in the order of their splits.

    Raises:
        DataError: If there is no table, more than one, or it cannot be read.
    """
    if not path:
        raise DataError("a table does not come along: name its folder, --data.path FOLDER")
    place = Path(path)
    if place.is_file():
        return [_open_file(place, None)]
    if not place.is_dir():
        return _open_named(path)
    if (place / "state.json").is_file() or (place / "dataset_dict.json").is_file():
        return _open_saved(place)
    named = {split: folder for folder in sorted(place.iterdir()) if (split := split_name(folder.name)) in SPLITS}
    files = {split: _metadata_file(folder) for split, folder in named.items() if folder.is_dir()}
    own = _metadata_file(place)
    if own is not None:
        return [_open_file(own, None)]
    parts = [_open_file(file, split) for split in SPLITS if (file := files.get(split)) is not None]
    if parts:
        return parts
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


def _open_file(file: Path, split: str | None) -> Part:
    ending = file.suffix.lower()
    if ending not in _READERS:
        raise DataError(f"{file} is no table: expected a file that ends in {', '.join(_READERS)}")
    options: dict[str, Any] = {}
    if ending == ".csv":
        from datasets import Features, Value

        # Cells are taken as they are written: "007" stays so, and a column may mix numbers and words.
        header = _check_csv(file)
        options = {"features": Features(dict.fromkeys(header, Value("string"))), "names": header, "header": 0}
        options |= {"na_filter": False, "encoding": "utf-8-sig", "skipinitialspace": True}
    elif not file.stat().st_size:
        raise DataError(f"{file} is empty; expected a row for each sample")
    with _reading(str(file), f"{_READERS[ending].upper()} file"):
        from datasets import load_dataset

        data_files = {"table": [glob.escape(str(file))]}
        rows = load_dataset(_READERS[ending], data_files=data_files, split="table", **options)
        pa.default_memory_pool().release_unused()  # what parsing needed
    return Part(_undecoded(rows), split, file.parent, str(file))


def _check_csv(file: Path) -> list[str]:
    """Returns the header; raises where a parser would guess, which would lose something without a word."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.reader(opened, strict=True, skipinitialspace=True)
            header = [name.strip() for name in next(reader, [])]
            is_empty = True
            for row in reader:
                is_empty = False
                if len(row) > len(header):
                    raise DataError(
                        f"{file}, line {reader.line_num}: {len(row)} cells under {len(header)} columns; "
                        "put texts with commas into quotes"
                    )
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not in UTF-8 (byte {error.start}: {error.object[error.start : error.start + 1]!r}); save it as "
            "CSV in UTF-8"
        ) from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{file} cannot be read as CSV: {error}; save it as CSV in UTF-8") from error
    finally:
        csv.field_size_limit(limit)
    twice = [name for name in dict.fromkeys(header) if header.count(name) > 1]
    if not header or twice or (len(header) == 1 and (";" in header[0] or "\t" in header[0])):
        problem = (
            f"has the column {twice[0]!r} twice; rename one"
            if twice
            else f"has the header {header[0]!r}; expected columns with commas between them"
            if header
            else "is empty; expected a header with the names of columns, and a row for each sample"
        )
        raise DataError(f"{file} {problem}")
    if is_empty:
        raise DataError(f"{file} has no rows; expected one for each sample")
    return header


def _open_saved(folder: Path) -> list[Part]:
    with _reading(str(folder), "data set that save_to_disk wrote"):
        from datasets import load_from_disk

        return _as_parts(load_from_disk(str(folder)), str(folder), folder)


def _open_named(path: str) -> list[Part]:
    if not _HUB_NAME.fullmatch(path) or Path(path).suffix.lower() in _READERS:
        raise DataError(f"{path} is not there; expected the folder of a table (--data.path FOLDER)")
    try:
        with _reading(path, "data set of the hub"):
            from datasets import load_dataset

            return _as_parts(load_dataset(path), path, Path())
    except DataError as error:
        raise DataError(f"there is no folder {path} here, and as the name of a data set on the hub: {error}") from error


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
def _reading(place: str, form: str) -> Iterator[None]:
    """Quiet reading by the library `datasets`, whose errors come out as one line."""
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
        raise DataError(f"{place} cannot be read as a {form}: {said}") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not were_disabled:
            enable_progress_bars()
