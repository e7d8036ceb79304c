"""JSON whose cells lie in each other so deep that a parser would take the interpreter along."""

import json
from collections.abc import Sequence
from pathlib import Path

from fedprime.data.batches import DataError

__all__ = ["refuse_deep"]

_DEEP = 200  # brackets in a line from which on it is looked at


def refuse_deep(files: Sequence[Path]) -> None:
    """Raises a `DataError` that names the line if a file of JSON is nested too deep."""
    for file in files:
        with file.open("rb") as opened:
            for number, line in enumerate(opened, start=1):
                if line.count(b"[") + line.count(b"{") > _DEEP:
                    _refuse_deep_line(line, f"{file}, line {number}")


def _refuse_deep_line(line: bytes, place: str) -> None:
    try:
        json.loads(line)
    except RecursionError as error:
        raise DataError(f"{place} has lists or objects that lie too deep in each other; make its cells flat") from error
    except ValueError:
        pass  # whoever parses it says what is wrong
