"""Image files as arrays of RGB pixels."""

import io
import math
import os
import warnings
from hashlib import blake2b
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from fedprime.reproducibility.errors import FedprimeError

#: Raise it when the same file gives other pixels: embeddings that were cached before are then computed anew.
VERSION = 1

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # such images are refused here

_LOOKED_AT = 2**14  # bytes of a file at each of three places
_PNG = b"\x89PNG\r\n\x1a\n"
_NOTES = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf")


class InputError(FedprimeError):
    """A sample that cannot be read or used."""


def read_image(file: Path | bytes, name: str = "") -> UInt8[np.ndarray, "height width 3"]:
    """Reads an image as RGB, turned upright as its EXIF data says, transparent parts on white.

    Args:
        file: The file, or what is in it.
        name: What to call it in messages; the path, if not given.

    Raises:
        InputError: If it is missing, no image, truncated, or implausibly large (more pixels than Pillow's
            ``MAX_IMAGE_PIXELS``, 89 million).
    """
    name = name or (str(file) if isinstance(file, Path) else "an image")
    if isinstance(file, Path) and file.exists() and not file.is_file():  # to open a pipe would wait for ever
        raise InputError(f"{name} is no file; name an image file")
    try:
        return _pixels(file)
    except FileNotFoundError:
        raise InputError(f"there is no image {name}") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read {name} as an image: {error}; save it smaller") from error
    except UnidentifiedImageError:
        raise InputError(
            f"cannot read {name} as an image: it is none of a known form; save it as PNG or JPEG"
        ) from None
    # Decoders raise whatever broken bytes lead them to: ValueError, SyntaxError, TypeError, struct.error.
    except Exception as error:
        raise InputError(f"cannot read {name} as an image: {error}; save it as PNG or JPEG") from error


def _pixels(file: Path | bytes) -> UInt8[np.ndarray, "height width 3"]:
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            # Pillow only warns of it, and filters of warnings are those of all threads.
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
                raise Image.DecompressionBombError(f"it has {image.width:,} x {image.height:,} pixels")
            if image.format == "EPS":  # Pillow would have another program carry it out
                raise InputError("it is a program that draws (EPS)")
            return image_pixels(image)
    except ValueError:
        content = file if isinstance(file, bytes) else file.read_bytes()
        plain = _without_notes(content)
        if len(plain) == len(content):
            raise
        # Pillow refuses notes and colour profiles above a size; the pixels are as good.
        return _pixels(plain)


def _without_notes(content: bytes) -> bytes:
    """Returns a PNG without its chunks of texts and colour profile; anything else as it is."""
    if not content.startswith(_PNG):
        return content
    kept, start = [_PNG], len(_PNG)
    while start + 12 <= len(content):
        stop = start + 12 + int.from_bytes(content[start : start + 4], "big")
        if content[start + 4 : start + 8] not in _NOTES:
            kept.append(content[start:stop])
        start = stop
    return b"".join(kept)


def image_pixels(image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    """Returns an image as RGB, as `read_image` does that of a file.

    Raises:
        ValueError: If nobody knows what its numbers mean; and what its decoder raises, if it has not been decoded yet.
    """
    return np.asarray(_as_rgb(ImageOps.exif_transpose(image)))


def file_identity(path: Path) -> str | None:
    """Returns what tells the content of a file from that of all others, wherever it lies; None if it is not there.

    That is its size, its time of last change, and a digest of its beginning, middle and end, which is all of a small
    file: to read large files in order to know them would cost what is to be saved.
    """
    try:
        with path.open("rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            digest = blake2b(digest_size=16)
            for start in sorted({0, max(0, found.st_size // 2 - _LOOKED_AT // 2), max(0, found.st_size - _LOOKED_AT)}):
                file.seek(start)
                digest.update(file.read(_LOOKED_AT))
    except OSError:
        return None
    return f"{found.st_size} {found.st_mtime_ns} {digest.hexdigest()}"


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow would cut off at 255 instead of scaling.
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError("its numbers have 32 bits, and what they mean is not known")
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
