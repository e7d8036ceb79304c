"""Arrays of one length, such as embeddings that were computed before, spectra or sensors: each is its own block."""

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.checkpoint_reading import fingerprint_of
from fedprime.backbones.raw_values import as_numbers
from fedprime.data.sources import ValueKind


class Vectors:
    """One token for an array: its numbers, compressed as a hashed table does (inverse hyperbolic sine)."""

    is_normalised = True
    kind: ValueKind = "numbers"
    version = 1  # to be raised when the same value gives other tokens

    def __init__(self, size: int) -> None:
        self.width = self.block_width = size
        self.squared_length = float(size)
        self.fingerprint = fingerprint_of(["vectors", size], {})

    def encode(self, values: Sequence[object]) -> list[Float[Tensor, "1 width"]]:
        """Returns the token of arrays."""
        rows = as_numbers(values)
        for row in rows:
            if len(row) != self.width:
                raise BackboneError(f"found {len(row):,} numbers where {self.width:,} were expected")
        return [row.asinh()[None] for row in rows]

    def pool(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " width"]:
        """Returns the one token."""
        return tokens[0]

    def save(self, folder: Path) -> None:
        """Writes nothing: its size says it all."""
