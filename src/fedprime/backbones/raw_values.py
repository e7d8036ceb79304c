"""Raw values as backbones take them: images, texts, sounds and rows of numbers; and embedding them in chunks."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fedprime.backbones.backbone import BackboneError

_EMBED_AT_ONCE = 64  # samples per call of the embedding layers, which bounds memory
#: Tokenizers read all of a text before they cut it, which may take all memory; none keeps nearly as much.
_MOST_LETTERS = 1_000_000
_HALF = re.compile("[\ud800-\udfff]")
_MOST_HERTZ = 1_000_000  # samples of a second; to resample more would take all memory


def embed_in_chunks(embed: Callable[[Sequence[object]], list[Tensor]], values: Sequence[object]) -> list[Tensor]:
    """Embeds any number of values, a few at a time and without gradients; embeddings are in main memory."""
    embedded: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, len(values), _EMBED_AT_ONCE):
            embedded += [tokens.cpu() for tokens in embed(values[start : start + _EMBED_AT_ONCE])]
    return embedded


def as_texts(values: Sequence[object]) -> list[str]:
    """Returns values as the texts that they are, of very long ones their beginning.

    Raises:
        BackboneError: If one is no text.
    """
    for value in values:
        if not isinstance(value, str):
            raise BackboneError(f"found {type(value).__name__} where a text was expected")
        if not value.isascii() and _HALF.search(value):
            raise BackboneError("found half of a character in a text (a lone surrogate)")
    return [value[:_MOST_LETTERS] for value in cast("Sequence[str]", values)]


def as_images(values: Sequence[object]) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """Returns values as the images that they are.

    Raises:
        BackboneError: If one is no (height, width, 3) array of bytes.
    """
    for value in values:
        if not (isinstance(value, np.ndarray) and value.ndim == 3 and value.shape[2] == 3 and value.dtype == np.uint8):
            shape = getattr(value, "shape", "no shape")
            raise BackboneError(
                f"found {type(value).__name__} of {shape} where a (height, width, 3) uint8 image was expected"
            )
    return cast("list[np.ndarray]", list(values))


def as_numbers(values: Sequence[object]) -> list[Float[Tensor, " number"]]:
    """Returns rows of numbers as tensors of 32-bit floats.

    Args:
        values: One-dimensional arrays.

    Raises:
        BackboneError: If one is no such array, or has a number that is not finite.
    """
    for value in values:
        if not (isinstance(value, np.ndarray) and value.ndim == 1 and np.isfinite(value).all()):
            raise BackboneError(
                f"found {type(value).__name__} where a one-dimensional array of finite numbers was expected"
            )
    return [torch.from_numpy(np.asarray(value, dtype=np.float32)) for value in values]


def as_sounds(values: Sequence[object], sampling_rate: int) -> list[Float[np.ndarray, " time"]]:
    """Returns the samples of sounds at one sampling rate, several channels averaged.

    Args:
        values: Sounds as the library `datasets` decodes them: mappings with ``array``, samples of (time,) or
            (channel, time) between -1 and 1, and ``sampling_rate``.
        sampling_rate: Samples of a second that are wanted; sounds of another rate are resampled.

    Raises:
        BackboneError: If one is no such mapping, is empty, or has a sample that is not finite.
    """
    sounds = []
    for value in values:
        array = np.asarray(value["array"]) if isinstance(value, Mapping) and "array" in value else None
        rate = value.get("sampling_rate") if isinstance(value, Mapping) else None
        if (
            array is None
            or not isinstance(rate, int)
            or not 1 <= rate <= _MOST_HERTZ
            or array.ndim not in (1, 2)
            or array.size == 0
            or array.dtype.kind not in "fiu"
            or not np.isfinite(array).all()
        ):
            raise BackboneError(
                f"found {type(value).__name__} where a sound was expected: a mapping with array (finite samples) and "
                f"sampling_rate (at most {_MOST_HERTZ:,})"
            )
        sound = array.astype(np.float32)
        sound = sound.mean(axis=0) if sound.ndim == 2 else sound
        if rate != sampling_rate:
            divisor = math.gcd(rate, sampling_rate)
            from scipy.signal import resample_poly  # slow to import, and few need it

            sound = resample_poly(sound, sampling_rate // divisor, rate // divisor).astype(np.float32)
        sounds.append(sound)
    return sounds
