"""Which file a cell names: as it is written, or as another system writes the same name."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePath

#: How files of images and sounds are called, those among them that cannot be decoded: each is then told.
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif")
IMAGE_ENDINGS += (".heic", ".heif", ".svg", ".tga", ".ico", ".ppm", ".pgm", ".pbm", ".pnm")
SOUND_ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".mp3", ".aiff", ".aif", ".opus")
SOUND_ENDINGS += (".au", ".caf", ".m4a", ".aac", ".wma")

_MOST_FOLDERS, _DEEP = 1000, 2  # that are looked into
_WEB_ADDRESS = re.compile(r"\s*(https?|ftps?|s3|gs|hdfs|az|abfss?|hf)://", re.IGNORECASE)


def is_web_address(word: str) -> bool:
    """Returns whether a cell names something that would have to be downloaded.

    >>> is_web_address("https://example.org/1.jpg"), is_web_address("photos/1.jpg")
    (True, False)
    """
    return _WEB_ADDRESS.match(word) is not None


class FileNames:
    """The files below a folder by the names that cells give them.

    A name is taken as it is. Where no such file is there, backslashes separate folders, letters with accents are the
    same however they are composed, and the case of an ending does not matter. Where none of the names leads anywhere,
    `look_below` finds the folders that they are in.

    Attributes:
        folder: What names are relative to.
    """

    def __init__(self, folder: Path) -> None:
        """Names the folder; nothing is looked at yet."""
        self.folder = folder
        self._sizes: dict[str, dict[str, int]] = {}
        self._loose: dict[Path, dict[str, str]] = {}
        self._below: dict[str, Path] = {}

    def find(self, word: str) -> Path:
        """Returns the file that a cell names; as it is written, if there is none."""
        word = word.strip()
        if self._size(word) is not None:
            return self.folder / word
        return self._find_loosely(word) or self._below.get(_last(word)) or self.folder / word

    def size(self, word: str) -> int | None:
        """Returns the bytes of the file that a cell names; None if there is none."""
        word = word.strip()
        size = self._size(word)
        if size is None and (found := self._find_loosely(word) or self._below.get(_last(word))) is not None:
            return found.stat().st_size if found.is_file() else None
        return size

    def look_below(self, words: Sequence[str]) -> list[str]:
        """Looks for names in the folders below, and without the endings of files, if none of them is where it says.

        Args:
            words: Some of the names that cells give.

        Returns:
            The folders that files are found in from now on: none if names are where they say, if less than half of them
            are below, or if one of them is there twice.
        """
        wanted = {_last(word) for word in words}
        if not wanted or any(self.size(word) is not None for word in words):
            return []
        found: dict[str, Path] = {}
        times, folders = Counter[str](), dict[str, None]()
        for folder in islice(_folders(self.folder), _MOST_FOLDERS):
            files = {name: folder / name for name in _names(folder)}
            keys = {_loose(name): path for name, path in files.items()}
            stems = Counter(PurePath(key).stem for key in keys)
            keys = {PurePath(key).stem: path for key, path in keys.items() if stems[PurePath(key).stem] == 1} | keys
            if here := wanted & keys.keys():
                times.update(here)
                folders[folder.relative_to(self.folder).as_posix()] = None
                found |= keys
        if 2 * len(times) < len(wanted) or any(number > 1 for number in times.values()):
            return []
        self._below = found
        return list(folders)

    def is_outside(self, word: str) -> bool:
        """Returns whether a name leads out of the folder."""
        path = word.strip().replace("\\", "/")
        if not path.startswith("/") and ".." not in path:
            return False
        return not Path(os.path.normpath(self.folder.absolute() / path)).is_relative_to(self.folder.absolute())

    def _size(self, word: str) -> int | None:
        parent, name = os.path.split(word)
        if parent not in self._sizes:
            self._sizes[parent] = _file_sizes(self.folder, parent)
        return self._sizes[parent].get(name)

    def _find_loosely(self, word: str) -> Path | None:
        place = Path("/") if word.startswith("/") else self.folder
        for step in word.replace("\\", "/").split("/"):
            if step in ("", "."):
                continue
            if step == "..":
                place /= step
                continue
            if place not in self._loose:
                self._loose[place] = {_loose(name): name for name in _names(place)}
            name = self._loose[place].get(_loose(step))
            if name is None:
                return None
            place /= name
        return place


def _last(word: str) -> str:
    """Returns the name of the file without its folders, as `_loose` returns it."""
    return _loose(word.strip().replace("\\", "/").rsplit("/", 1)[-1])


def _folders(folder: Path) -> Iterator[Path]:
    """Yields a folder and those below it, in order, two deep."""
    for place, inside, _ in os.walk(folder):  # passes over what cannot be listed
        own = Path(place)
        inside[:] = sorted(inside) if len(own.relative_to(folder).parts) < _DEEP else []
        yield own


def _loose(name: str) -> str:
    name = unicodedata.normalize("NFC", name)
    ending = PurePath(name).suffix
    return name.removesuffix(ending) + ending.lower()


def _names(folder: Path) -> list[str]:
    try:
        return sorted(own.name for own in folder.iterdir())
    except OSError:
        return []  # none of its files can be had, and each of them is told


def _file_sizes(folder: Path, parent: str) -> dict[str, int]:
    """Returns the size of every file of a folder; of one that is not there or cannot be listed, none."""
    try:
        with os.scandir(folder / parent) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    except (OSError, ValueError):  # a cell may hold anything: no name of a folder, or a text without end
        return {}
