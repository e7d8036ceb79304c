"""The text files beside images that say what samples are: JSON, JSON lines, CSV without a header."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedprime.data.sources import DataError


def find_folder(path: str | Path, data_set: str) -> Path:
    """Returns the folder of a data set.

    Args:
        path: As a user names it.
        data_set: Its name, for messages.

    Raises:
        DataError: If none is named, or there is no such folder.
    """
    if not str(path):
        raise DataError(f"{data_set} does not come along: name the folder where it lies, --data.path FOLDER")
    folder = Path(path)
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "is not there"
        raise DataError(f"{folder} {found}; expected the folder of {data_set} (--data.path FOLDER)")
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object that a JSON file holds.

    Raises:
        DataError: If there is none, it is not JSON in UTF-8, or it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _unreadable(path, "JSON", error) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}, expected a JSON object {{ }}")
    return content


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the objects of a file with one JSON object per line; blank lines are skipped.

    Raises:
        DataError: If there is none, or a line is not a JSON object; not before that line is reached.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _json_object(line.strip(), number, path)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, "JSON lines", error) from error


def _json_object(line: str, number: int, path: Path) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise _unreadable(path, f"JSON in line {number}", error) from error
    if not isinstance(row, dict):
        raise DataError(f"{path}, line {number}: found {line[:40]!r}, expected a JSON object {{ }}")
    return row


def read_rows(path: Path, num_cells: int) -> list[list[str]]:
    """Returns the rows of a CSV file, those without any cell left out.

    Raises:
        DataError: If it cannot be read, or a row has another number of cells.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, "CSV", error) from error
    for number, row in enumerate(rows, start=1):
        if len(row) != num_cells:
            raise DataError(f"{path}, row {number}: found {len(row)} cells, expected {num_cells}: {','.join(row)[:60]}")
    return rows


def _unreadable(path: Path, form: str, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path} is not there; put it back, or name another folder with --data.path")
    return DataError(f"{path} cannot be read as {form} in UTF-8: {error}; take another copy of it")
