"""What is sent in a round, by direction and part of the model, for those runs that know it."""

import statistics
from collections.abc import Sequence
from typing import Literal

from fedprime.report.cells import Block, Cell
from fedprime.report.tables import Entry, Table

__all__ = ["traffic_tables"]

_DIRECTIONS: tuple[Literal["down", "up"], ...] = ("down", "up")


def traffic_tables(blocks: Sequence[Block]) -> list[Table]:
    """Returns the table of traffic: a row per cell and direction, a column per part; none if nothing is known.

    Args:
        blocks: What was run.
    """
    cells = [(block, cell) for block in blocks for cell in block.cells if _parts(cell)]
    if not cells:
        return []
    parts = tuple(dict.fromkeys(part for _, cell in cells for part in _parts(cell)))
    axes = tuple(cells[0][0].labels)
    compared = next(axis for axis in cells[0][1].labels if axis not in axes)
    rows: list[tuple[Entry, ...]] = []
    for block, cell in cells:
        for direction in _DIRECTIONS:
            sent = [_kilobytes(cell, direction, part) for part in parts]
            words = [*(block.labels[axis] for axis in axes), cell.label, direction]
            rows.append(tuple(map(Entry, [*words, *(_in_words(amount) for amount in sent), _in_words(sum(sent))])))
    title = "sent in a round, in kB (10³ bytes), by part of the model"
    return [Table(title, (*axes, compared, "direction"), (*parts, "all"), (), tuple(rows))]


def _parts(cell: Cell) -> list[str]:
    """Returns the parts that the runs of a cell sent, in the order in which they are first met."""
    return list(
        dict.fromkeys(part for run in cell.runs for sent in run.results.bytes_by_part.values() for part in sent)
    )


def _kilobytes(cell: Cell, direction: Literal["down", "up"], part: str) -> float:
    """Returns the mean over runs."""
    known = [run.results for run in cell.runs if run.results.bytes_by_part]
    return statistics.fmean(entry.bytes_by_part[direction].get(part, 0) / entry.rounds / 1000 for entry in known)


def _in_words(kilobytes: float) -> str:
    return f"{kilobytes:,.1f}" if kilobytes else "-"
