"""Where the rows of a table come from: a metadata file beside images, or a data set of the library `datasets`.

Source: the layout of a folder of images with ``metadata.csv``, ``metadata.jsonl`` or ``metadata.parquet`` is that of
    the Hugging Face "imagefolder" (https://huggingface.co/docs/datasets/image_dataset).
"""

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from fedprime.data.sets.table.csv_format import CsvOptions
from fedprime.data.sets.table.layouts import (
    are_numbered,
    class_folders,
    part_files,
    partition_files,
    split_files,
    table_files,
)
from fedprime.data.sets.table.parts import READERS, Part, have_one_schema, open_files, reading, undecoded
from fedprime.data.sources import DataError
from fedprime.data.splits import SPLITS, names_of_splits
from fedprime.reproducibility.errors import as_word, quoted

_logger = logging.getLogger(__name__)

_METADATA = [f"metadata{ending}" for ending in READERS]
#: Endings of tables that nothing here reads.
_OTHER_TABLE = re.compile(
    r".*\.(xls[xmb]?|ods|arrow|feather|ipc|orc|avro|dta|sav|rds|rda|pkl|h5|npz|db|sqlite3?|gz|zip|bz2|xz|zst)",
    re.IGNORECASE,
)
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def open_parts(path: str, options: CsvOptions | None = None) -> list[Part]:
    """Opens a table.

    Args:
        path: A folder with one metadata file, or with a folder for each split that has one; with files of a split each,
            in one piece or several; with one table of any name; with a folder for each class or partition; such a
            file itself; a folder that ``save_to_disk`` of the library `datasets` wrote; or the name of a data set on
            the hub.
        options: How CSV files are written, if it is not to be found out.

    Returns:
        The parts, in the order of their splits.

    Raises:
        DataError: If there is no table, more than one, or it cannot be read.
    """
    if not path:
        raise DataError("a table does not come along: name its folder, --data.path FOLDER")
    place, options = Path(path), options or CsvOptions()
    if place.is_file():
        return [open_files([place], None, place.parent, options)]
    if not place.is_dir():
        return _open_named(path)
    if (place / "state.json").is_file() or (place / "dataset_dict.json").is_file():
        return _open_saved(place)
    _refuse_logged(place)
    own = _files_of_table(place)
    if len(own) > 1 or _metadata_file(place):  # a single file of any name may stand beside folders of splits or classes
        return _open_shards(own, None, place, options)
    folders = sorted(folder.name for folder in place.iterdir() if folder.is_dir())
    named = {split: place / name for split, name in names_of_splits(folders, str(place)).items() if split in SPLITS}
    files = {split: _files_of_table(folder) for split, folder in named.items()}
    shards = {split: (own, named[split]) for split in SPLITS if (own := files.get(split))}
    shards = shards or {split: (own, place) for split, own in split_files(place).items()}
    if used := [file for own, _ in shards.values() for file in own]:
        tables = [file for at in (place, *map(place.joinpath, folders)) for file in table_files(at)]
        _tell_unused(str(place), "tables", [str(file.relative_to(place)) for file in tables if file not in used])
    parts = [part for split, (own, at) in shards.items() for part in _open_shards(own, split, at, options)]
    return parts or _open_partitions(place, options) or _open_otherwise(place, options)


def _open_shards(files: list[Path], split: str | None, folder: Path, options: CsvOptions) -> list[Part]:
    """Opens files of one table together; if their columns are of different types, one by one."""
    if len(files) > 1 and not are_numbered(files):
        _logger.warning(
            "%s: %d files are joined to one table, such as %s and %s; if they are not its parts, name one file by "
            "--data.path, or call them as splits are (train.csv, test.csv)",
            *(folder, len(files), files[0].name, files[1].name),
        )
    if len(files) == 1 or have_one_schema(files):
        return [open_files(files, split, folder, options)]
    return [open_files([own], split, folder, options) for own in files]


def _refuse_logged(place: Path) -> None:
    """Raises a `DataError` for a table of which a log says which files are still valid."""
    for log, name in (("_delta_log", "Delta"), (".hoodie", "Hudi")):
        if (place / log).is_dir() and not _metadata_file(place):
            raise DataError(
                f"{place} is a table of {name}, whose log says which of its files count; write it as one file, as "
                "to_pandas().to_parquet('metadata.parquet') does"
            )


def _open_partitions(place: Path, options: CsvOptions) -> list[Part]:
    """Opens a table in partitions, as ``label=cat/part-0.parquet``: what their folders say become columns."""
    parts: list[Part] = []
    for cells, files in partition_files(place):
        for part in _open_shards(files, None, place, options):
            rows = part.rows
            for name, cell in cells.items():
                if name in rows.column_names:  # polars writes it into the files, too
                    _refuse_other_words(part, name, cell)
                    continue
                rows = rows.add_column(name, pa.array([cell] * len(rows), pa.string()))
            parts.append(replace(part, rows=rows))
    if parts and (tables := table_files(place)):
        raise DataError(
            f"{place} has a table, {tables[0].name}, and folders of partitions; name it, "
            f"--data.path {as_word(tables[0])}, or move it away"
        )
    return parts


def _refuse_other_words(part: Part, name: str, cell: str | None) -> None:
    """Raises a `DataError` if rows say something else in a column than the folder of their partition."""
    words = [None if own is None else str(own) for own in part.column(name).unique().to_pylist()]
    if other := [word for word in words if str(word).lower() != str(cell).lower()]:  # true, as folders say True
        raise DataError(
            f"{part.place} has {quoted(other[0], 100)} in the column {name}, and its folder says {cell}; leave out one"
        )


def _open_otherwise(place: Path, options: CsvOptions) -> list[Part]:
    """Opens the one table that has a name of its own, or a folder of class folders."""
    tables = table_files(place)
    classes = _open_classes(place)
    labels = {label for part in classes for label in part.class_names("label") or ()}
    if len(tables) == 1 and len(labels) <= 1:
        _logger.warning("%s has no metadata file; its one table, %s, is taken", place, tables[0].name)
        return [open_files(tables, None, place, options)]
    if tables and classes:
        raise DataError(
            f"{place} has a table, {tables[0].name}, and folders of files, such as {min(labels)}, that may be classes; "
            f"name the table, --data.path {as_word(tables[0])}, or move it away"
        )
    return classes or _refuse_folder(place)


def _open_classes(place: Path) -> list[Part]:
    """Opens a folder of class folders: a row for each file, whose label is the name of its folder."""
    found = class_folders(place)
    if not found:
        return []
    from datasets import ClassLabel, Dataset, Features, Value

    # Folders name classes, whatever they are called: NA is no hole.
    classes = sorted({label for own in found.values() for _, label in own})
    features = Features(file_name=Value("string"), label=ClassLabel(names=classes))
    return [
        Part(
            Dataset.from_dict(
                {"file_name": [name for name, _ in own], "label": [classes.index(label) for _, label in own]}, features
            ),
            split or None,
            place,
            str(place),
        )
        for split, own in found.items()
    ]


def _files_of_table(folder: Path) -> list[Path]:
    """Returns the metadata file of a folder, or the parts of its table, as Spark and other programs write them."""
    own = _metadata_file(folder)
    return [own] if own else part_files(folder)


def _refuse_folder(place: Path) -> NoReturn:
    tables = table_files(place)
    hint = f"; or name the file: --data.path {as_word(tables[0])}" if tables else ""
    other = next((file for file in sorted(place.iterdir()) if _OTHER_TABLE.fullmatch(file.name)), None)
    if other and not tables:
        hint = f"; it has {other.name}, of a form that is not read: save its table as metadata.csv or metadata.parquet"
    raise DataError(
        f"{place} is no table: expected metadata.csv, metadata.jsonl or metadata.parquet with a row for each "
        f"sample{hint}"
    )


def _metadata_file(folder: Path) -> Path | None:
    found = [folder / name for name in _METADATA if (folder / name).is_file()] if folder.is_dir() else []
    if len(found) > 1:
        names = " and ".join(file.name for file in found)
        raise DataError(f"{folder} has {names}; keep one, or name the file: --data.path {as_word(found[0])}")
    return found[0] if found else None


def _open_saved(folder: Path) -> list[Part]:
    with reading(str(folder), "data set that save_to_disk wrote"):
        from datasets import load_from_disk

        return _as_parts(load_from_disk(str(folder)), str(folder), folder)


def _open_named(path: str) -> list[Part]:
    if not _HUB_NAME.fullmatch(path) or Path(path).suffix.lower() in READERS:
        raise DataError(f"{path} is not there; expected a table: a file, or the folder of one")
    try:
        with reading(path, "data set of the hub"):
            from datasets import load_dataset

            return _as_parts(load_dataset(path), path, Path())
    except DataError as error:
        raise DataError(f"there is no file or folder {path} here; looked for on the hub: {error}") from error


def _tell_unused(place: str, what: str, names: list[str]) -> None:
    if names:
        said = quoted(", ".join(names), 200)
        _logger.warning("%s: %s that are neither train, validation nor test are not used: %s", place, what, said)


def _as_parts(rows: Any, place: str, folder: Path) -> list[Part]:
    if not isinstance(rows, dict):
        return [Part(undecoded(rows), None, folder, place)]
    named = names_of_splits(rows, place)
    known = [split for split in SPLITS if split in named]
    if not known:
        if len(rows) > 1:
            raise DataError(f"{place} has the splits {', '.join(rows)}; expected train, validation (or dev) and test")
        return [Part(undecoded(own), None, folder, place) for own in rows.values()]
    _tell_unused(place, "splits", [name for split, name in named.items() if split not in SPLITS])
    return [Part(undecoded(rows[named[split]]), split, folder, place) for split in known]
