"""A picture of some samples: each image or sound with its texts, numbers and class, and what is missing."""

import contextlib
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fedprime.data.images import InputError
from fedprime.data.sources import SampleSource
from fedprime.reproducibility.atomic_files import replaced_file

_SIDE = 180  # pixels of an image
_TEXT = 66  # pixels below it, four lines
_GAP = 8
_LINE = 30  # characters


def draw_contact_sheet(source: SampleSource, indices: Sequence[int], path: Path, columns: int = 6) -> None:
    """Draws samples into a PNG file: the first image or else the wave of a sound, and below it what there is in words.

    Args:
        indices: Which samples, at least one.
    """
    columns = min(columns, len(indices))
    rows = -(-len(indices) // columns)
    sheet = Image.new("RGB", (columns * (_SIDE + _GAP) + _GAP, rows * (_SIDE + _TEXT + _GAP) + _GAP), "white")
    canvas = ImageDraw.Draw(sheet)
    font, known = _font()
    for position, index in enumerate(indices):
        row, column = divmod(position, columns)
        left, top = _GAP + column * (_SIDE + _GAP), _GAP + row * (_SIDE + _TEXT + _GAP)
        there = [name for name, is_there in zip(source.modalities, source.there[index], strict=True) if is_there]
        values = _readable(source, int(index), there)
        picture = _picture(values)
        if picture is not None:
            sheet.paste(picture, (left + (_SIDE - picture.width) // 2, top + (_SIDE - picture.height) // 2))
        else:
            canvas.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), fill="#e4e4e4")
            canvas.text((left + _SIDE // 2, top + _SIDE // 2), "no image", fill="#707070", anchor="mm", font=font)
        words = [_words(name, values.get(name)) for name in source.modalities]
        lines = textwrap.wrap("; ".join(word for word in words if word), _LINE, max_lines=3)
        written = "\n".join([_labels(source, int(index)), *lines])
        drawn = "".join(letter if letter == "\n" or ord(letter) in known else "?" for letter in written)
        canvas.text((left, top + _SIDE + 2), drawn, fill="black", font=font)
    with replaced_file(path) as beside:
        sheet.save(beside, format="PNG")


@cache
def _font() -> tuple[ImageFont.FreeTypeFont, frozenset[int]]:
    """Returns Matplotlib's font and the letters that it knows; Pillow's own has no é."""
    import matplotlib as mpl
    from matplotlib.ft2font import FT2Font

    path = str(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))
    return ImageFont.truetype(path, 10), frozenset(FT2Font(path).get_charmap())


def _readable(source: SampleSource, index: int, there: Sequence[str]) -> dict[str, object]:
    """Returns what can be read of a sample; the rest is drawn as missing."""
    values: dict[str, object] = {}
    for modality in there:
        with contextlib.suppress(InputError):
            values |= source.read(index, (modality,))
    return values


def _picture(values: Mapping[str, object]) -> Image.Image | None:
    """Returns the first image among values, or else the wave of the first sound."""
    images = [value for value in values.values() if isinstance(value, np.ndarray) and value.ndim == 3]
    if images:
        image = Image.fromarray(images[0])
        image.thumbnail((_SIDE, _SIDE))
        return image
    sounds = [value for value in values.values() if isinstance(value, Mapping) and "array" in value]
    if not sounds:
        return None
    samples = np.atleast_2d(np.asarray(sounds[0]["array"], dtype=float)).mean(axis=0)
    wave = Image.new("RGB", (_SIDE, _SIDE), "#eef2f7")
    canvas = ImageDraw.Draw(wave)
    for column, part in enumerate(np.array_split(samples, _SIDE)):
        if len(part):
            top, bottom = ((1 - height) * (_SIDE - 1) / 2 for height in (part.max(), part.min()))
            canvas.line((column, top, column, bottom), fill="#3060a0")
    return wave


def _words(modality: str, value: object) -> str:
    """Returns a value in words; nothing for an image, which is drawn."""
    if value is None:
        return f"(no {modality})"
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and "array" in value:
        return f"{modality} of {np.asarray(value['array']).shape[-1] / value['sampling_rate']:.1f} s"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {cell}" for name, cell in value.items())
    return "" if np.ndim(value) == 3 else f"{modality} of {np.size(value)} numbers"  # pyright: ignore[reportArgumentType]


def _labels(source: SampleSource, index: int) -> str:
    label = source.labels[index]
    names = [source.label_names[int(label)]] if source.task == "one_class" else source.label_names
    applies = [True] if source.task == "one_class" else list(np.asarray(label) > 0)
    return textwrap.shorten(", ".join(name for name, own in zip(names, applies, strict=True) if own), _LINE)
