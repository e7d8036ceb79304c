"""Images as patches of pixels: an encoder without weights, for composites that are trained from scratch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.checkpoint_reading import fingerprint_of
from fedprime.backbones.log_mel import NUM_PLACES, place_numbers
from fedprime.backbones.raw_values import as_images
from fedprime.data.sources import ValueKind


class PixelPatches:
    """Square patches of an image that is resized to a square, each with numbers that tell its row and column."""

    is_normalised = False
    kind: ValueKind = "image"
    version = 1  # to be raised when the same value gives other tokens

    def __init__(self, side: int, patch_size: int) -> None:
        """Sets the patches up.

        Args:
            side: Pixels of a side that every image is resized to.
            patch_size: Pixels of a side of a patch.

        Raises:
            BackboneError: If patches do not fill the image.
        """
        if side % patch_size:
            raise BackboneError(
                f"an image of {side} x {side} pixels has no whole patches of {patch_size} x {patch_size}"
            )
        self._side, self._patch_size = side, patch_size
        num_pixels = 3 * patch_size**2
        self.width = num_pixels + 2 * NUM_PLACES
        self.block_width = num_pixels
        # The mean square of a number between -1 and 1 is a third.
        self.squared_length = num_pixels / 3 + 2 * NUM_PLACES
        self.fingerprint = fingerprint_of(["pixel_patches", side, patch_size], {})
        places = place_numbers(side // patch_size)
        rows, columns = np.repeat(places, len(places), axis=0), np.tile(places, (len(places), 1))
        self._places: Float[np.ndarray, "token place"] = np.concatenate([rows, columns], axis=1)

    def encode(self, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns the tokens of images as (height, width, 3) uint8, row by row."""
        return [self._encode(image) for image in as_images(values)]

    def pool(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " pixel"]:
        """Returns the mean patch."""
        return tokens[:, : self.block_width].mean(dim=0)

    def save(self, folder: Path) -> None:
        """Writes nothing: its settings say it all."""

    def _encode(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Float[Tensor, "token width"]:
        if 0 in image.shape:
            raise BackboneError(f"found an image of {image.shape[0]} x {image.shape[1]} pixels; count it as missing")
        side, size = self._side, self._patch_size
        resized = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
        pixels = np.asarray(resized, dtype=np.float32) / 127.5 - 1
        cut = pixels.reshape(side // size, size, side // size, size, 3).transpose(0, 2, 1, 3, 4)
        patches = cut.reshape(-1, size * size * 3)
        return torch.from_numpy(np.concatenate([patches, self._places], axis=1).astype(np.float32))
