"""JSON that parsers take for what it is not: cells that lie too deep in each other, another encoding."""

import json
from collections.abc import Sequence
from pathlib import Path

from fedprime.data.sources import DataError

__all__ = ["refuse_odd_json"]

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


def _refuse_deep_line(line: bytes, place: str) -> None:
    try:
        json.loads(line)
    except RecursionError as error:
        raise DataError(f"{place} has lists or objects that lie too deep in each other; make its cells flat") from error
    except ValueError:
        pass  # whoever parses it says what is wrong
