"""Columns that give the label away: every value of theirs has one label, and comes several times."""

from collections import Counter, defaultdict
from collections.abc import Mapping

__all__ = ["GivenAway"]

_LEAST = 20  # rows
_EACH = 3  # rows with each value, on average


class GivenAway:
    """Which columns of numbers and categories tell the label of every row, found out row by row."""

    def __init__(self) -> None:
        """Has seen no row."""
        self._label_of: dict[str, dict[object, int]] = defaultdict(dict)
        self._filled: Counter[str] = Counter()
        self._others: set[str] = set()

    def see(self, cells: Mapping[str, object], label: int) -> None:
        """Takes a row into account.

        Args:
            cells: Its filled cells by column.
        """
        for name, cell in cells.items():
            if name not in self._others:
                self._filled[name] += 1
                if self._label_of[name].setdefault(cell, label) != label:
                    self._others.add(name)
                    del self._label_of[name]

    def columns(self) -> list[str]:
        """Returns those that give it away, in the order they were seen in."""
        return [
            name
            for name, labels in self._label_of.items()
            if self._filled[name] >= max(_LEAST, _EACH * len(labels)) and len(set(labels.values())) > 1
        ]
