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

__all__ = ["Encoder", "LayeredEncoder", "PooledEncoder"]


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


@runtime_checkable
class LayeredEncoder(Protocol):
    """An encoder that can also tell what its lower layers make of a value.

    What the last layer was trained to forget may tell the classes at hand apart: words from what they mean, drawings
    from photos.

    Attributes:
        layers_width: How many numbers that is; 0 if the model does not tell.

    Source: Evci et al. Head2Toe: Utilizing Intermediate Representations for Better Transfer Learning. ICML 2022.
    """

    layers_width: int

    def encode_with_layers(
        self, values: Sequence[object]
    ) -> list[tuple[Float[Tensor, "_ width"], Float[Tensor, " layers"]]]:
        """Returns of each value what `encode` does, and the mean state of some lower layers, side by side."""
        ...


class PooledEncoder:
    """An encoder around another one whose only token of a value is what the one inside pools its tokens to.

    With shapes, those of an image, or of the spectrogram of a sound, stand behind it, and what lower layers make of the
    value, where the encoder inside tells that. Each is a block of its own and no part of the token: joint layers read
    its first `width` numbers.

    Attributes:
        shapes_width: How many numbers the shapes are; 0 without them.
        layers_width: How many numbers lower layers make; 0 if they are not told.
    """

    is_normalised = True

    def __init__(self, inside: Encoder, *, shapes: bool = False) -> None:
        """Wraps an encoder.

        Args:
            shapes: Whether images and sounds have their shapes beside, where there is a picture to see them in.
        """
        self.inside = inside
        self.kind: ValueKind = inside.kind
        self.width = self.block_width = inside.block_width
        self.squared_length = float(self.width)
        self.fingerprint = f"pooled {inside.fingerprint}"
        self.layers_width = inside.layers_width if isinstance(inside, LayeredEncoder) else 0
        self.version = inside.version + bool(self.layers_width)  # earlier ones had no layers behind them
        self.shapes_width = 0
        if shapes and (isinstance(inside, LogMel) or inside.kind == "image"):
            self.shapes_width = NUM_SHAPES + (NUM_COLOURS if inside.kind == "image" else 0)
            self.fingerprint += f" with {SHAPES}"

    def encode(self, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns one token of each value, and behind it its shapes and what lower layers make of it."""
        if self.layers_width and isinstance(self.inside, LayeredEncoder):
            encoded = self.inside.encode_with_layers(values)
        else:
            encoded = [(tokens, tokens.new_empty(0)) for tokens in self.inside.encode(values)]
        return [
            torch.cat([self.inside.pool(tokens).cpu(), self._shapes(value, tokens), layers.cpu()])[None]
            for value, (tokens, layers) in zip(values, encoded, strict=True)
        ]

    def pool(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " width"]:
        """Returns the one token, and all that stands behind it."""
        return tokens[0]

    def save(self, folder: Path) -> None:
        """Writes what the encoder inside was loaded from."""
        self.inside.save(folder)

    def _shapes(self, value: object, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " shape"]:
        if not self.shapes_width:
            return torch.empty(0)
        if isinstance(self.inside, LogMel):
            shapes = shapes_of(self.inside.bands(tokens).T.numpy())
        else:
            shapes = look_of(*as_images([value]))
        return torch.from_numpy(shapes).float()
