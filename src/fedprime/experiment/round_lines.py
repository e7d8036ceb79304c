"""The files of a run that grow by a line: what was measured in each round, and what privacy has to count."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedprime.experiment.saved_states import broken
from fedprime.reproducibility.atomic_files import write_whole
from fedprime.reproducibility.strict_json import JsonError, dump_json, parse_json


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Adds a line, which is on the disk when this returns."""
    with path.open("a", encoding="utf-8") as file:
        file.write(dump_json(record) + "\n")
        file.flush()
        os.fsync(file.fileno())


def whole_lines(path: Path) -> list[str]:
    """Returns the lines of a file but one that was cut off when the process died.

    Raises:
        RunError: If it is not text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise broken(path, error) from error
    return [line for line in lines if line.endswith("\n")]


def read_rounds(path: Path) -> list[dict[str, Any]]:
    """Returns what each line says of its round.

    Raises:
        RunError: If a line says nothing of the kind.
    """
    try:
        found = [parse_json(line) for line in whole_lines(path)]
        if all(type(line["round"]) is int for line in found):
            return found
    except (JsonError, KeyError, TypeError) as error:
        raise broken(path, error) from error
    raise broken(path, "a line has no number of its round")


def lines_before(path: Path, next_round: int) -> list[str]:
    """Returns the lines of the rounds before one."""
    return [text for text, line in zip(whole_lines(path), read_rounds(path), strict=True) if line["round"] < next_round]


def drop_lines(path: Path, next_round: int, num_start_rounds: int) -> None:
    """Drops the lines of rounds that did not come to their end.

    Args:
        next_round: The first that did not.
        num_start_rounds: How many rounds come before the first.

    Raises:
        RunError: If a round before it has no line.
    """
    lines = lines_before(path, next_round)
    if [parse_json(line)["round"] for line in lines] != list(range(-num_start_rounds, next_round)):
        raise broken(path, f"it has no line for some of the {num_start_rounds + next_round} finished rounds")
    write_whole(path, "".join(lines))


def digest_of_lines(lines: Sequence[str]) -> str:
    """Returns the SHA-256 of lines."""
    return hashlib.sha256("".join(lines).encode()).hexdigest()
