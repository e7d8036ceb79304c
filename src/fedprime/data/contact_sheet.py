"""A picture of some samples: each image with its text and class, and what is missing."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from fedprime.data.batches import SampleSource
from fedprime.durable import replaced_file

__all__ = ["draw_contact_sheet"]

_SIDE = 180  # pixels of an image
_TEXT = 66  # pixels below it, four lines
_GAP = 8
_LINE = 30  # characters


def draw_contact_sheet(source: SampleSource, indices: Sequence[int], path: Path, columns: int = 6) -> None:
    """Draws samples with image and text into a PNG file.

    Args:
        source: The data set.
        indices: Which samples, at least one.
        path: The file.
        columns: How many samples stand beside each other.
    """
    columns = min(columns, len(indices))
    rows = -(-len(indices) // columns)
    sheet = Image.new("RGB", (columns * (_SIDE + _GAP) + _GAP, rows * (_SIDE + _TEXT + _GAP) + _GAP), "white")
    canvas = ImageDraw.Draw(sheet)
    for position, index in enumerate(indices):
        row, column = divmod(position, columns)
        left, top = _GAP + column * (_SIDE + _GAP), _GAP + row * (_SIDE + _TEXT + _GAP)
        there = [name for name, is_there in zip(source.modalities, source.there[index], strict=True) if is_there]
        values = source.read(int(index), [name for name in there if name in ("image", "text")])
        if "image" in values:
            image = Image.fromarray(np.asarray(values["image"]))
            image.thumbnail((_SIDE, _SIDE))
            sheet.paste(image, (left + (_SIDE - image.width) // 2, top + (_SIDE - image.height) // 2))
        else:
            canvas.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), fill="#e4e4e4")
            canvas.text((left + _SIDE // 2, top + _SIDE // 2), "no image", fill="#707070", anchor="mm")
        lines = textwrap.wrap(str(values["text"]), _LINE, max_lines=3) if "text" in values else ["(no text)"]
        written = "\n".join([_labels(source, int(index)), *lines])
        # The font that comes along with Pillow knows Latin letters only.
        canvas.text((left, top + _SIDE + 2), written.encode("latin-1", "replace").decode("latin-1"), fill="black")
    with replaced_file(path) as beside:
        sheet.save(beside, format="PNG")


def _labels(source: SampleSource, index: int) -> str:
    label = source.labels[index]
    names = [source.label_names[int(label)]] if source.task == "one_class" else source.label_names
    applies = [True] if source.task == "one_class" else list(np.asarray(label) > 0)
    return textwrap.shorten(", ".join(name for name, own in zip(names, applies, strict=True) if own), _LINE)
