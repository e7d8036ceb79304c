"""What a composite needs of an encoder: one modality's raw values in, a row of numbers for each token out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.backbones.log_mel import LogMel
from fedprime.backbones.raw_values import as_images
from fedprime.backbones.shapes import NUM_COLOURS, NUM_SHAPES, SHAPES, look_of, shapes_of
from fedprime.data.sources import ValueKind

__all__ = ["Encoder", "PooledEncoder"]


@runtime_checkable
class Encoder(Protocol):
    """A frozen encoder of one modality. Values are encoded one by one: who shares a call changes nothing.

    Attributes:
        kind: What the values of its modality are.
        version: Raised when the same value gives other tokens with the same `fingerprint`, or `pool` another block
            of them.
        width: Numbers of a token.
        squared_length: Squared length of a typical token, once normalised; a random projection is scaled by it.
        is_normalised: Whether a token is brought to a mean of 0 and a variance of 1 before it is projected.
        block_width: Numbers of what `pool` returns.
        fingerprint: Digest of everything that decides its tokens.
    """

    kind: ValueKind
    version: int
    width: int
    squared_length: float
    is_normalised: bool
    block_width: int
    fingerprint: str

    def encode(self, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns the tokens of each value, at least one.

        Raises:
            BackboneError: If a value is not of its kind.
        """
        ...

    def pool(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " block"]:
        """Returns what a value's tokens say together, as this kind of encoder is usually pooled.

        Args:
            tokens: Those of one value.
        """
        ...

    def save(self, folder: Path) -> None:
        """Writes what it was loaded from; nothing if its settings say it all.

        Args:
            folder: An empty folder.
        """
        ...


class PooledEncoder:
    """An encoder around another one whose only token of a value is what the one inside pools its tokens to.

    With shapes, those of an image, or of the spectrogram of a sound, stand behind it. They are a block of their own and
    no part of the token: joint layers read its first `width` numbers.

    Attributes:
        shapes_width: How many numbers the shapes are; 0 without them.
    """

    is_normalised = True

    def __init__(self, inside: Encoder, *, shapes: bool = False) -> None:
        """Wraps an encoder.

        Args:
            shapes: Whether images and sounds have their shapes beside, where there is a picture to see them in.
        """
        self.inside = inside
        self.kind: ValueKind = inside.kind
        self.version = inside.version
        self.width = self.block_width = inside.block_width
        self.squared_length = float(self.width)
        self.fingerprint = f"pooled {inside.fingerprint}"
        self.shapes_width = 0
        if shapes and (isinstance(inside, LogMel) or inside.kind == "image"):
            self.shapes_width = NUM_SHAPES + (NUM_COLOURS if inside.kind == "image" else 0)
            self.fingerprint += f" with {SHAPES}"

    def encode(self, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns one token of each value, and its shapes behind it."""
        tokens = self.inside.encode(values)
        rows = [self.inside.pool(own).cpu() for own in tokens]
        if self.shapes_width:
            shapes = [self._shapes(value, own) for value, own in zip(values, tokens, strict=True)]
            rows = [torch.cat(both) for both in zip(rows, shapes, strict=True)]
        return [row[None] for row in rows]

    def pool(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " width"]:
        """Returns the one token, and its shapes behind it."""
        return tokens[0]

    def save(self, folder: Path) -> None:
        """Writes what the encoder inside was loaded from."""
        self.inside.save(folder)

    def _shapes(self, value: object, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " shape"]:
        if isinstance(self.inside, LogMel):
            shapes = shapes_of(self.inside.bands(tokens).T.numpy())
        else:
            shapes = look_of(*as_images([value]))
        return torch.from_numpy(shapes).float()
