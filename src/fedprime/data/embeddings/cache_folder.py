"""The folder of cached embeddings on this machine: where it is, how large it may grow, what goes first.

Several processes may read and write it at once. Chunks appear whole or not at all and never change; whoever finds one
gone computes its embeddings again.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from fedprime.reproducibility.atomic_files import replaced_file, write_whole
from fedprime.reproducibility.errors import FedprimeError

#: Environment variable that names the folder, or is "off".
PLACE_VARIABLE = "FEDPRIME_CACHE"
#: Environment variable that says how large it may grow, for example "50 GB".
LIMIT_VARIABLE = "FEDPRIME_CACHE_LIMIT"

#: The folder in it of encoders' weights that are unpacked once.
UNPACKED = "encoders"

_DEFAULT_LIMIT = 20 * 10**9
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_DESCRIPTION = "space.json"
_SECONDS_UNTIL_LEFT_OVER = 3600.0  # no chunk takes so long to write; whoever began it is dead


class CacheError(FedprimeError):
    """A cache folder, or a limit of its size, that cannot be used."""


class CacheFullError(OSError):
    """A chunk for which there is no room within the limit."""


@dataclass(frozen=True)
class CachedChunk:
    """A chunk file.

    Attributes:
        used: When it was last used, in seconds since 1970.
    """

    path: Path
    size_bytes: int
    used: float


def parse_bytes(text: str, name: str) -> int:
    """Returns the number of bytes that a text such as "20 GB" means.

    Args:
        name: What it was given for, for the error.

    Raises:
        CacheError: If it means none.

    >>> parse_bytes("1.5gb", "the limit")
    1500000000
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]B)\s*", text.upper())
    if found is None:
        raise CacheError(f"{name} is {text!r}; expected a number with KB, MB, GB or TB, for example 20GB")
    return int(float(found[1]) * _UNITS[found[2]])


class CacheFolder:
    """A folder of spaces, each with the chunks of what one backbone makes of one modality.

    Attributes:
        path: The folder; it need not exist.
    """

    def __init__(self, path: Path, limit_bytes: int | None = None) -> None:
        """Names the folder; nothing is made yet.

        Args:
            limit_bytes: How large it may grow; if not given, to 20 GB or half of what the disk has for it, whichever is
                less.
        """
        self.path = path
        self._limit_bytes = limit_bytes
        self._in_use: set[Path] = set()

    @classmethod
    def of_environment(cls) -> "CacheFolder | None":
        """Returns the folder that the environment variables name, or None if they say "off".

        Without ``FEDPRIME_CACHE`` it is ``fedprime`` in the user's folder for caches.

        Raises:
            CacheError: If the limit is no number of bytes.
        """
        place, limit = os.environ.get(PLACE_VARIABLE, ""), os.environ.get(LIMIT_VARIABLE, "")
        if place.lower() == "off":
            return None
        limit_bytes = parse_bytes(limit, LIMIT_VARIABLE) if limit else None
        if place:
            return cls(Path(place).expanduser().absolute(), limit_bytes)
        caches = os.environ.get("XDG_CACHE_HOME", "")
        # As the specification of the variable asks: a relative path does not count.
        return cls((Path(caches) if Path(caches).is_absolute() else Path.home() / ".cache") / "fedprime", limit_bytes)

    def limit_bytes(self) -> int:
        """Returns how large all chunks together may grow."""
        if self._limit_bytes is not None:
            return self._limit_bytes
        existing = next(parent for parent in (self.path, *self.path.parents) if parent.exists())
        used = sum(chunk.size_bytes for chunk in self.chunks())
        return min(_DEFAULT_LIMIT, (shutil.disk_usage(existing).free + used) // 2)

    def space_path(self, space: str) -> Path:
        """Returns the folder of a space."""
        return self._spaces_path / space

    def spaces(self) -> dict[str, dict[str, str]]:
        """Returns by name of every space what it says about itself."""
        return {folder.name: _read_description(folder) for folder in self._space_folders()}

    def chunks(self) -> list[CachedChunk]:
        """Returns all chunks, the least recently used one first.

        Raises:
            OSError: If the folder cannot be read.
        """
        chunks = []
        for folder in self._space_folders():
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.endswith(".safetensors"):
                        try:
                            found = entry.stat()
                        except FileNotFoundError:
                            continue  # another process has just removed it
                        chunks.append(CachedChunk(Path(entry.path), found.st_size, found.st_mtime))
        return sorted(chunks, key=lambda chunk: (chunk.used, chunk.path))

    def note_use(self, path: Path) -> None:
        """Notes that a chunk is being used: it is the last to go, and this process will not remove it to make room."""
        self._in_use.add(path)
        # Of a folder that may only be read, whoever can write it has to know what is used.
        with suppress(OSError):
            os.utime(path)

    def add(self, space: str, description: Mapping[str, str], name: str, content: bytes) -> None:
        """Writes a chunk, for which the least recently used ones make room.

        Raises:
            CacheFullError: If there is no room within the limit.
            OSError: If the folder cannot be written to.
        """
        path = self.space_path(space) / f"{name}.safetensors"
        with self._locked():
            self._make_room(len(content))
            if not (path.parent / _DESCRIPTION).exists():
                write_whole(path.parent / _DESCRIPTION, json.dumps(description, indent=2) + "\n")
            with replaced_file(path) as beside:
                beside.write_bytes(content)
        self._in_use.add(path)

    def prune(self, limit_bytes: int, unused_since: float = 0.0) -> tuple[int, int]:
        """Removes the least recently used chunks, and what killed processes left.

        Args:
            unused_since: Chunks that were last used before go in any case; seconds since 1970.

        Returns:
            How many chunks were removed, and their bytes.

        Raises:
            OSError: If something cannot be removed.
        """
        if not self._spaces_path.is_dir():
            return 0, 0
        removed = []
        with self._locked():
            chunks = self.chunks()
            total = sum(chunk.size_bytes for chunk in chunks)
            for chunk in chunks:
                if total > limit_bytes or chunk.used < unused_since:
                    chunk.path.unlink(missing_ok=True)
                    removed.append(chunk.size_bytes)
                    total -= chunk.size_bytes
            self._tidy()
        return len(removed), sum(removed)

    @property
    def _spaces_path(self) -> Path:
        return self.path / "embeddings"

    def _space_folders(self) -> list[Path]:
        if not self._spaces_path.is_dir():
            return []
        return sorted(folder for folder in self._spaces_path.iterdir() if folder.is_dir())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lets one process at a time write or remove; readers need no lock."""
        self._spaces_path.mkdir(parents=True, exist_ok=True)
        with FileLock(self._spaces_path / ".lock"):
            yield

    def _make_room(self, num_bytes: int) -> None:
        chunks, limit_bytes = self.chunks(), self.limit_bytes()
        excess = sum(chunk.size_bytes for chunk in chunks) + num_bytes - limit_bytes
        dispensable = [chunk for chunk in chunks if chunk.path not in self._in_use]
        if excess > sum(chunk.size_bytes for chunk in dispensable):
            raise CacheFullError(f"what this run uses fills it to its limit of {limit_bytes / 1e9:.3g} GB")
        for chunk in dispensable:
            if excess <= 0:
                break
            chunk.path.unlink(missing_ok=True)
            excess -= chunk.size_bytes

    def _tidy(self) -> None:
        """Removes files that were never finished, and spaces without a chunk."""
        for folder in self._space_folders():
            for file in folder.glob(".*.tmp"):
                if time.time() - file.stat().st_mtime > _SECONDS_UNTIL_LEFT_OVER:
                    file.unlink(missing_ok=True)
            if {file.name for file in folder.iterdir()} <= {_DESCRIPTION}:
                shutil.rmtree(folder)


def _read_description(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return {}  # its chunks are found without it
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
