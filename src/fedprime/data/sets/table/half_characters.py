"""Halves of characters that JSON can hold and UTF-8 cannot, as of a text that was cut off within an emoji."""

import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from fedprime.reproducibility.errors import counted

_logger = logging.getLogger(__name__)

#: An escape: both halves of a character, half of one, or any other.
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>u[dD][89a-fA-F]..)|.)", re.DOTALL)
_SIGN = rb"\ufffd"  # that of replacement


def whole(word: str) -> str:
    """Returns a word in which each half of a character, which Arrow cannot hold, is a sign of replacement."""
    return word if word.isascii() else word.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def have_halves(files: Sequence[Path]) -> bool:
    """Returns whether files of JSON have half of a character; the log tells where."""
    places = [(file, number, half) for file in files for number, half in _halves(file)]
    if places:
        file, number, half = places[0]
        _logger.warning(
            "%s, line %d, has half of a character, \\%s, as of a text that was cut off; read as %s, in %s",
            *(file, number, half, "\N{REPLACEMENT CHARACTER}"),
            counted(len({place[:2] for place in places}), "line"),
        )
    return bool(places)


def in_whole_characters(files: Sequence[Path], folder: Path) -> list[Path]:
    """Returns copies of files of JSON in which half of a character is a sign of replacement.

    Args:
        folder: Where the copies are put.
    """
    place = Path(tempfile.mkdtemp(dir=folder))
    copies = [place / f"{number}{file.suffix}" for number, file in enumerate(files)]
    for file, copy in zip(files, copies, strict=True):
        with file.open("rb") as opened, copy.open("wb") as written:
            for line in opened:
                written.write(_ESCAPE.sub(lambda own: _SIGN if own["half"] else own[0], line))
    return copies


def _halves(file: Path) -> Iterator[tuple[int, str]]:
    with file.open("rb") as opened:
        for number, line in enumerate(opened, start=1):
            if rb"\ud" in line or rb"\uD" in line:
                halves = (own["half"] for own in _ESCAPE.finditer(line) if own["half"])
                yield from ((number, half.decode(errors="replace")) for half in halves)
