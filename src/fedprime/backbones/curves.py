"""A row of a table seen closer: what is told by where a number lies, not only by how large it is.

A linear model of a number cannot tell that both its smallest and its largest values belong to a class. So each number
is read by waves of several lengths, drawn by a hash of its column: what adds up from them is a curve for each column.
Nothing is fitted, and nobody's values are kept.

Source: Rahimi and Recht. Random Features for Large-Scale Kernel Machines. NeurIPS 2007; Hastie and Tibshirani.
Generalized Additive Models. 1990; Weinberger et al. Feature hashing for large scale multitask learning. ICML 2009.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from hashlib import shake_128

import numpy as np
from jaxtyping import Float

from fedprime.backbones.hashed_table import is_number

#: Numbers of `curves_of`.
NUM_CURVES = 256

_WAVES = 32  # of a column of numbers, each at a place of its own or one that it shares
_OCTAVES = (-1, 6)  # radians for each unit of a compressed number, as powers of two
_PLACES = 4  # of a word
_ALL = 2**16  # values of a hash


def curves_of(cells: Mapping[str, object]) -> Float[np.ndarray, " curve"]:
    """Returns the waves of a row's numbers, compressed as a hashed table does, and its words at signed places.

    Args:
        cells: The filled cells by column, as from `filled_cells`.
    """
    row = np.zeros(NUM_CURVES)
    for name, cell in cells.items():
        if is_number(cell):
            places, lengths, phases = _waves(name)
            np.add.at(row, places, np.cos(lengths * math.asinh(float(cell)) + phases))
        else:
            hashes = _hashes(_PLACES, "word", name, str(cell))
            np.add.at(row, (hashes >> 1) % NUM_CURVES, np.where(hashes & 1, 0.5, -0.5))
    return row


@lru_cache(maxsize=8192)
def _waves(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    places, lengths, phases = _hashes(3 * _WAVES, "waves", name).reshape(3, _WAVES)
    lowest, highest = _OCTAVES
    return places % NUM_CURVES, 2.0 ** (lowest + (highest - lowest) * lengths / _ALL), 2 * np.pi * phases / _ALL


def _hashes(number: int, *words: str) -> np.ndarray:
    digest = shake_128("\0".join(words).encode(errors="replace")).digest(2 * number)
    return np.frombuffer(digest, dtype="<u2").astype(np.int64)
