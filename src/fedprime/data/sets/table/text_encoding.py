"""In which encoding a file of text is written, found out from its letters."""

import codecs
import logging
import re
from collections.abc import Mapping
from pathlib import Path

from fedprime.data.sources import DataError

_logger = logging.getLogger(__name__)

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LOOKED_AT = 2**20  # bytes that tell an encoding
#: Beyond ASCII, what texts in Windows-1252 have; other encodings read as it look otherwise.
_WESTERN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜßàáâãäåæçèéêëìíîïñòóôõöøùúûüÿŒœŠšŽžŸ") | frozenset(
    bytes(range(0x80, 0xC0)).decode("cp1252", errors="ignore")
)
_FOREIGN_RUN = re.compile(r"[^\x00-\x7f]{4,}")


def found_encoding(file: Path, usual: str = "") -> str:
    """Returns what a file is written in, as Python names it; the log tells what is not UTF-8.

    Args:
        usual: What is taken where it would only be guessed.

    Raises:
        DataError: If that is not clear, or a few letters are in another encoding than the rest.
    """
    with file.open("rb") as opened:
        start = opened.read(_LOOKED_AT)
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    # Of every second byte of a text in UTF-16 most are zeros; a few in a file of another encoding are but odd letters,
    # and many side by side what a file was never filled with.
    for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if start[offset:1000:2].count(0) > len(start[:1000]) / 4 > 2 * start[1 - offset : 1000 : 2].count(0):
            return name
    try:
        with file.open(encoding="utf-8") as opened:
            while opened.read(_LOOKED_AT):
                pass
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            raise DataError(
                f"{file} ends within a letter of UTF-8; if it was cut off, copy it again, else say what it is by "
                "--data.encoding (to predict, --encoding), as cp1252"
            ) from error
    else:
        return "utf-8"
    lines = _lines_beyond_ascii(file)
    _refuse_damaged(lines, file)
    content = b"".join(lines.values())
    found = usual if usual and _is_in(content, usual) else _other_encoding(content)
    if not found:
        raise DataError(
            f"{file} is not in UTF-8, and its encoding is not clear; say what it is by --data.encoding (to predict, "
            "--encoding)"
        )
    _logger.warning("%s is not in UTF-8; it is read as %s (data.encoding says otherwise)", file, found)
    return found


def _is_in(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def _lines_beyond_ascii(file: Path) -> dict[int, bytes]:
    """Returns by number the lines that tell an encoding, wherever in the file they stand, up to some megabytes."""
    found: dict[int, bytes] = {}
    size = 0
    with file.open("rb") as opened:
        for number, line in enumerate(opened, start=1):
            if not line.isascii():
                found[number] = line
                size += len(line)
            if size > 8 * _LOOKED_AT:
                break
    return found


def _refuse_damaged(lines: Mapping[int, bytes], file: Path) -> None:
    """Raises a `DataError` where most letters are in UTF-8: to read all as something else would spoil them."""
    texts = {number: line.decode(errors="replace") for number, line in lines.items()}
    num_odd = sum(text.count("\ufffd") for text in texts.values())
    if sum(letter > "\x7f" for text in texts.values() for letter in text) > 3 * num_odd:
        line = next(number for number, text in texts.items() if "\ufffd" in text)
        raise DataError(
            f"{file}, line {line}: a letter is not in UTF-8, as others of the file are; mend it, or say what it is by "
            "--data.encoding (to predict, --encoding), as cp1252"
        )


def _other_encoding(content: bytes) -> str:
    """Returns what a text is in that is not in UTF-8; nothing if that is not clear."""
    western = content.decode("cp1252", errors="replace")
    foreign = [letter for letter in western if ord(letter) > 127]
    if all(letter in _WESTERN for letter in foreign) and not _FOREIGN_RUN.search(western):
        return "cp1252"
    from charset_normalizer import from_bytes  # few need it

    best = from_bytes(content[: _LOOKED_AT // 4]).best()
    return "" if best is None else best.encoding
