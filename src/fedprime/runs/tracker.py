"""What a tracker of experiments has to do, and what it is told of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fedprime.reproducibility.markdown import markdown_escaped, markdown_rows

Plain = str | int | float | bool


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a run before its first round.

    Attributes:
        group: What it belongs to, as the name of its grid; empty if to nothing.
        folder: Its run folder.
        home: The folder for what is kept on this machine, of this run or of several.
        settings: Every setting by its dotted name.
    """

    name: str
    group: str
    folder: Path
    home: Path
    settings: Mapping[str, Plain]


@dataclass(frozen=True)
class Line:
    """Numbers that were measured at one time.

    Attributes:
        place: The how many-th line of the run it is, from 0.
        step: Rounds that were finished; those of a start come before 1.
        seconds: When, since 1970.
        values: By name.
    """

    place: int
    step: int
    seconds: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class TrackedTable:
    """The final table: test scenarios, and what was measured of them."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Plain]]

    def markdown(self) -> str:
        """Returns it in Markdown."""
        heads, *rows = [[markdown_escaped(cell) for cell in row] for row in (self.columns, *self.rows)]
        return markdown_rows(heads, rows)


class Tracker(Protocol):
    """One run in one tracker.

    Attributes:
        key: What the tracker knows the run by.
    """

    key: str

    @staticmethod
    def place(run: TrackedRun) -> str:
        """Returns where it would be written to: what stands there under a key is gone on with, elsewhere it is not."""
        ...

    def __init__(self, run: TrackedRun, key: str, going_on: Line | None) -> None:
        """Begins a run in the tracker, or goes on with it.

        Args:
            key: What it is known by, or may be if it is new.
            going_on: The last line that is there; None if the run is new.
        """
        ...

    def log_line(self, line: Line) -> None:
        """Adds a line; it is safe when this returns."""
        ...

    def log_end(self, last: Line, table: TrackedTable, model: Path | None) -> None:
        """Adds what is known at the end.

        Args:
            model: The folder of the saved model; None if there is none that all clients share.
        """
        ...

    def close(self, *, is_finished: bool) -> None:
        """Lets go of it."""
        ...
