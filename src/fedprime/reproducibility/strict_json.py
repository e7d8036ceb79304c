"""JSON that is read and written strictly: numbers are finite, and whatever stands there, an error is one line."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedprime.reproducibility.errors import FedprimeError, quoted

#: Nothing that is written here is nested deeper.
_DEPTH = 32


class JsonError(FedprimeError):
    """A text that is no JSON, or none that anybody here would have written."""


def parse_json(text: str | bytes, *, is_lenient: bool = False) -> Any:
    """Reads JSON that may come from anybody.

    Args:
        text: The text; bytes are UTF-8.
        is_lenient: Whether NaN and Infinity are read as None, which earlier versions wrote.

    Raises:
        JsonError: If it is no JSON, has numbers without end or that are none, or is nested too deeply.

    >>> parse_json('{"rounds": 3}')
    {'rounds': 3}
    """
    try:
        found = json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
            parse_constant=_nothing if is_lenient else _refused,
            parse_float=_finite,
        )
    except RecursionError as error:
        raise JsonError("it is nested too deeply to be JSON of fedprime") from error
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise JsonError(f"it is no JSON: {quoted(error, 200)}") from error
    if is_too_deep(found):
        raise JsonError("it is nested too deeply to be JSON of fedprime")
    return found


def is_too_deep(found: Any) -> bool:
    """Says whether tables and lists are nested deeper than anything that is written here."""
    level = [found]
    for _ in range(_DEPTH + 1):
        level = [inner for value in level if isinstance(value, dict | list) for inner in _inside(value)]
    return bool(level)


def read_json(path: Path) -> dict[str, Any]:
    """Reads a file of JSON that holds a table.

    Raises:
        JsonError: If it is no JSON, or holds something else.
    """
    try:
        found = parse_json(path.read_bytes())
    except JsonError as error:
        raise JsonError(f"{path} is broken ({error}); restore it from a copy") from error
    if not isinstance(found, dict):
        raise JsonError(f"{path} is broken (it holds {type(found).__name__}, expected dict); restore it")
    return found


def dump_json(value: Any, indent: int | None = None) -> str:
    """Writes JSON that every reader understands: a number that is none becomes null.

    Args:
        indent: Spaces for each level; None for one line.

    >>> dump_json({"loss": float("nan"), "rounds": [1, 2.5]})
    '{"loss": null, "rounds": [1, 2.5]}'
    """
    return json.dumps(_without_infinities(value), indent=indent, allow_nan=False)


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{quoted(digits, 40)} is too large for a number")
    return value


def _refused(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _nothing(_: str) -> None:
    return None


def _without_infinities(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _without_infinities(inner) for name, inner in value.items()}
    return [_without_infinities(inner) for inner in value] if isinstance(value, list | tuple) else value
