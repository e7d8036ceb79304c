"""What a composite needs of an encoder: one modality's raw values in, a row of numbers for each token out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.backbones.curves import NUM_CURVES, curves_of
from fedprime.backbones.hashed_table import HashedTable, filled_cells
from fedprime.backbones.log_mel import NUM_FRAMES, LogMel
from fedprime.backbones.raw_values import as_images, as_texts
from fedprime.backbones.shapes import NUM_COLOURS, NUM_SHAPES, SHAPES, look_of, shapes_of
from fedprime.backbones.words import NUM_WORDS, WORDS, words_of
from fedprime.data.sources import ValueKind


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

    Behind it stand, as blocks of their own that are no part of the token, what was counted (the shapes of an image or
    of the spectrogram of a sound, which frames a sound has, the words of a text, the curves of a hashed row) if that is
    asked for, and what lower layers make of the value, where the encoder inside tells that. Joint layers read the first
    `width` numbers.

    Attributes:
        beside: By what it is, how many numbers each block behind the token has, in their order.
    """

    is_normalised = True

    def __init__(self, inside: Encoder, *, shapes: bool = False) -> None:
        """Wraps an encoder.

        Args:
            shapes: Whether images and sounds have their shapes beside, where there is a picture to see them in, sounds
                their frames, texts their words, and hashed rows their curves.
        """
        self.inside = inside
        self.kind: ValueKind = inside.kind
        self.width = self.block_width = inside.block_width
        self.squared_length = float(self.width)
        self.fingerprint = f"pooled {inside.fingerprint}"
        counted: dict[str, int] = {}
        if shapes and (isinstance(inside, LogMel) or inside.kind == "image"):
            counted["shapes"] = NUM_SHAPES + (NUM_COLOURS if inside.kind == "image" else 0)
            self.fingerprint += f" with {SHAPES}"
        # Earlier versions had none of these: the same backbone, which tells more, so that their models can be read.
        later = {"words": NUM_WORDS} if shapes and inside.kind == "text" else {}
        if later:  # earlier versions counted no parts of words
            self.fingerprint += f" with {WORDS}"
        if shapes and isinstance(inside, HashedTable):
            later["curves"] = NUM_CURVES
        if shapes and isinstance(inside, LogMel):
            later["frames"] = NUM_FRAMES
        self._layered = inside if isinstance(inside, LayeredEncoder) and inside.layers_width else None
        if self._layered is not None:
            later["layers"] = self._layered.layers_width
        self.beside: Mapping[str, int] = counted | later
        self.version = inside.version + len(later)

    def encode(self, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns one token of each value, and behind it what stands beside."""
        if self._layered is not None:
            encoded = self._layered.encode_with_layers(values)
        else:
            encoded = [(tokens, tokens.new_empty(0)) for tokens in self.inside.encode(values)]
        return [
            torch.cat([self.inside.pool(tokens).cpu(), self._counted(value, tokens), layers.cpu()])[None]
            for value, (tokens, layers) in zip(values, encoded, strict=True)
        ]

    def pool(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " width"]:
        """Returns the one token, and all that stands behind it."""
        return tokens[0]

    def save(self, folder: Path) -> None:
        """Writes what the encoder inside was loaded from."""
        self.inside.save(folder)

    def _counted(self, value: object, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " counted"]:
        if "words" in self.beside:
            counted = words_of(*as_texts([value]))
        elif "curves" in self.beside:
            counted = curves_of(filled_cells(value))
        elif "shapes" not in self.beside:
            return torch.empty(0)
        elif isinstance(self.inside, LogMel):
            shapes = torch.from_numpy(shapes_of(self.inside.bands(tokens).T.numpy())).float()
            return torch.cat([shapes, self.inside.which_frames(tokens)])
        else:
            counted = look_of(*as_images([value]))
        return torch.from_numpy(counted).float()
