"""Rows of any table in a fixed width, without having seen the table: columns and words find their places by a hash.

So nothing has to be fitted, told or agreed on: clients with different categories, and rows of years to come, are read
alike. Source: Weinberger et al. Feature hashing for large scale multitask learning. ICML 2009.
"""

import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, TypeGuard

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.checkpoint_reading import fingerprint_of
from fedprime.data.sources import ValueKind

_PLACES = 4  # of a word: two of which all coincide are one in many millions


class Places(NamedTuple):
    """How many places there are for what stands in a row."""

    numbers: int
    """Of numbers, in each of two rows."""
    words: int


#: For rows of up to about a hundred columns.
NARROW = Places(64, 128)
#: For longer ones.
WIDE = Places(512, 1024)


class HashedTable:
    """One token for a row: its numbers, each at two places of its column, and its words, each at four signed places.

    Two columns of numbers may share one place, hardly ever both. A number is compressed (inverse hyperbolic sine: like
    a logarithm, of both signs), since nothing tells its scale. That a number is there counts as a word.
    """

    is_normalised = True
    version = 1  # to be raised when the same value gives other tokens

    def __init__(self, places: Places = NARROW, kind: ValueKind = "table") -> None:
        """Takes how many places there are, and whether rows come by column or as arrays: there is nothing to fit."""
        self.places = places
        self.kind: ValueKind = kind
        self.width = self.block_width = 2 * places.numbers + places.words
        self.squared_length = float(self.width)
        self.fingerprint = fingerprint_of(["hashed_table", *places, _PLACES], {})

    def encode(self, values: Sequence[object]) -> list[Float[Tensor, "1 width"]]:
        """Returns the token of rows: by column the cell, a number or a word; or an array of numbers."""
        return [self._encode(value)[None] for value in values]

    def pool(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " width"]:
        """Returns the one token."""
        return tokens[0]

    def save(self, folder: Path) -> None:
        """Writes nothing: there is nothing to know."""

    def _encode(self, value: object) -> Float[Tensor, " width"]:
        row = np.zeros(self.width, dtype=np.float32)
        num_numbers, num_words = self.places
        for name, cell in filled_cells(value).items():
            if is_number(cell):
                if not math.isfinite(float(cell)):
                    raise BackboneError(f"found {cell!r} in the column {name!r} where a finite number was expected")
                first, second = _hashes("number", name)[:2] % num_numbers
                row[[first, num_numbers + second]] += math.asinh(float(cell))
                hashes = _hashes("there", name)
            else:
                hashes = _hashes("word", name, str(cell))
            np.add.at(row, 2 * num_numbers + (hashes >> 1) % num_words, np.where(hashes & 1, 0.5, -0.5))
        return torch.from_numpy(row)


def filled_cells(value: object) -> dict[str, object]:
    """Returns by column the cells of a row that are filled; of an array of numbers, columns are called 0, 1 and so on.

    Raises:
        BackboneError: If the value is no row, or has no filled cell.
    """
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = {str(column): cell for column, cell in enumerate(value.tolist())}
    if not isinstance(value, Mapping):
        raise BackboneError(f"found {type(value).__name__} where a row by column was expected")
    cells = {str(name): cell for name, cell in value.items() if not _is_empty(cell)}
    if not cells:
        raise BackboneError("found a row without any filled cell; count it as missing")
    return cells


def is_number(cell: object) -> TypeGuard[int | float | np.number]:
    """Returns whether a cell is a number; yes and no are words."""
    return isinstance(cell, int | float | np.number) and not isinstance(cell, bool)


def _is_empty(cell: object) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _hashes(*words: str) -> np.ndarray:
    digest = blake2b("\0".join(words).encode(), digest_size=2 * _PLACES).digest()
    return np.frombuffer(digest, dtype="<u2").astype(np.int64)
