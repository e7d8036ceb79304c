"""Rows of a table as tokens: one for each cell that is filled, a number or a category.

Source: the feature tokenizer of Gorishniy et al. Revisiting Deep Learning Models for Tabular Data. NeurIPS 2021; here a
cell is a fixed vector, which the composite's projection maps to an embedding.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.checkpoint_reading import fingerprint_of
from fedprime.data.sources import ValueKind


class TableTokens:
    """A token for each filled cell: which column it is of, and its value.

    A number is standardised and stands beside its column's 1; a category is a 1 of its own, and there is one more per
    column for categories that were not named. An empty cell (None, NaN, or left out) has no token.
    """

    is_normalised = False
    kind: ValueKind = "table"
    version = 1  # to be raised when the same value gives other tokens

    def __init__(
        self, numbers: Mapping[str, tuple[float, float]], categories: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Lays the columns out.

        Args:
            numbers: By column of numbers, mean and standard deviation that its values are standardised by.
            categories: By column of categories, their names.

        Raises:
            BackboneError: If there is no column, one has both kinds, or a standard deviation is not positive.
        """
        categories = categories or {}
        both = sorted(numbers.keys() & categories.keys())
        flat = sorted(name for name, (_, deviation) in numbers.items() if not deviation > 0)
        if both or flat or not (numbers or categories):
            problem = (
                f"{both[0]!r} is a number and a category"
                if both
                else f"the standard deviation of {flat[0]!r} is not positive"
                if flat
                else "there is no column"
            )
            raise BackboneError(f"a table needs columns, each of numbers or of categories: {problem}")
        self._numbers = {name: (float(mean), float(deviation)) for name, (mean, deviation) in numbers.items()}
        self._categories = {name: tuple(names) for name, names in categories.items()}
        # Where the ones of each column begin: (column, value) of a number, (others, first, second, ...) of a category.
        sizes = {
            **dict.fromkeys(self._numbers, 2),
            **{name: 1 + len(names) for name, names in self._categories.items()},
        }
        starts = np.cumsum([0, *sizes.values()])
        self._starts = dict(zip(sizes, starts.tolist(), strict=False))
        self.width = int(starts[-1])
        self.squared_length = 2.0
        self.block_width = self.width
        columns = [list(self._numbers.items()), list(self._categories.items())]
        self.fingerprint = fingerprint_of(["table", columns], {})

    def encode(self, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns the tokens of rows: by column the cell, or of numbers alone an array in the order of columns."""
        return [self._encode(self._cells(value)) for value in values]

    def pool(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " width"]:
        """Returns the whole row: the cells' places side by side, zeros for empty cells."""
        return tokens.sum(dim=0)

    def save(self, folder: Path) -> None:
        """Writes nothing: its settings say it all."""

    def _cells(self, value: object) -> Mapping[str, object]:
        if isinstance(value, np.ndarray) and value.shape == (len(self._numbers),) and not self._categories:
            return dict(zip(self._numbers, value.tolist(), strict=True))
        if not isinstance(value, Mapping):
            expected = "a row by column" if self._categories else f"an array of {len(self._numbers)} numbers"
            shape = f" of shape {value.shape}" if isinstance(value, np.ndarray) else ""
            raise BackboneError(f"found {type(value).__name__}{shape} where {expected} was expected")
        unknown = sorted(str(name) for name in value if name not in self._starts)
        if unknown:
            raise BackboneError(f"the table has no column {unknown[0]!r}; it has {', '.join(self._starts)}")
        return value

    def _encode(self, cells: Mapping[str, object]) -> Float[Tensor, "token width"]:
        rows = []
        for name, start in self._starts.items():
            cell = cells.get(name)
            if cell is None or (isinstance(cell, float) and math.isnan(cell)):
                continue
            row = torch.zeros(self.width)
            if name in self._categories:
                names = self._categories[name]
                row[start + 1 + names.index(str(cell)) if str(cell) in names else start] = 2.0**0.5
            else:
                row[start], row[start + 1] = 1.0, self._standardised(name, cell)
            rows.append(row)
        if not rows:
            raise BackboneError("found a row without any filled cell; count it as missing")
        return torch.stack(rows)

    def _standardised(self, name: str, cell: object) -> float:
        if isinstance(cell, bool) or not isinstance(cell, int | float | np.number) or not math.isfinite(float(cell)):
            raise BackboneError(f"found {cell!r} in the column {name!r} where a finite number was expected")
        mean, deviation = self._numbers[name]
        return (float(cell) - mean) / deviation
