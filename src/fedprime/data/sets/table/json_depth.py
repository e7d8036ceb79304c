"""JSON that parsers take for what it is not, or of which they do not say where it is wrong."""

import json
from collections.abc import Sequence
from pathlib import Path

from fedprime.data.sources import DataError
from fedprime.reproducibility.errors import quoted

_DEEP = 200  # brackets in a line from which on it is looked at


def refuse_odd_json(files: Sequence[Path]) -> None:
    """Raises a `DataError` that names the line if a file of JSON is nested too deep or not in UTF-8."""
    for file in files:
        with file.open("rb") as opened:
            for number, line in enumerate(opened, start=1):
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    said = f"{file}, line {number}, is not in UTF-8 ({error.reason}); save it in UTF-8"
                    raise DataError(said) from error
                if line.count(b"[") + line.count(b"{") > _DEEP:
                    _refuse_deep_line(line, f"{file}, line {number}")


def refuse_bad_lines(files: Sequence[Path]) -> None:
    """Raises a `DataError` that names the first line that is no object, in files that have one in each line."""
    for file in files:
        with file.open("rb") as opened:
            for number, line in enumerate(opened, start=1):
                if line.strip() in (b"[", b"{") or (number == 1 and line.startswith(b"[")):
                    break  # an object may have several lines
                try:
                    found = json.loads(line.decode("utf-8-sig").strip()) if line.strip() else {}
                    said = "" if isinstance(found, dict) else "it holds no object"
                except json.JSONDecodeError as error:
                    said = f"{error.msg}, letter {error.pos + 1}"
                except ValueError as error:
                    said = quoted(error, 200)
                if said:
                    raise DataError(f"{file}, line {number}, is no row: {said}; expected an object in JSON")


def _refuse_deep_line(line: bytes, place: str) -> None:
    try:
        json.loads(line)
    except RecursionError as error:
        raise DataError(f"{place} has lists or objects that lie too deep in each other; make its cells flat") from error
    except ValueError:
        pass  # whoever parses it says what is wrong
