"""Where the library `datasets` puts its copies of tables: in fedprime's own cache, which nobody else reads."""

import contextlib
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from fedprime.data.embeddings.cache_folder import CacheFolder

#: The folder of copies in the cache.
TABLES = "tables"
_SECONDS_UNUSED = 30 * 86_400.0  # each version of a table has a copy: they would fill the disk in time


def tables_folder(*, lasts: bool = True) -> Path:
    """Returns the folder for copies, for its owner alone.

    Args:
        lasts: Whether it is the one of the cache; where that is off or cannot be written, and otherwise, it lasts as
            long as this process.
    """
    cache = CacheFolder.of_environment() if lasts else None
    place = None if cache is None else cache.path / TABLES
    if place is None or not _is_made(place):
        place = _temporary()
    _remove_unused(place)
    return place


def note_use(files: Sequence[Mapping[str, str]]) -> None:
    """Takes down that copies were used now; what is not used for 30 days is removed.

    Args:
        files: What the library `datasets` says of the files behind rows.
    """
    for file in files:
        os.utime(Path(file["filename"]).parents[2])  # the library keeps a file in FORM/COPY/VERSION/DIGEST


def _remove_unused(place: Path) -> None:
    for copy in place.glob("*/*/"):
        with contextlib.suppress(FileNotFoundError):  # another process is at it
            if time.time() - copy.stat().st_mtime > _SECONDS_UNUSED:
                for lock in place.glob(f"*_{glob.escape(copy.name)}_*.lock"):
                    lock.unlink(missing_ok=True)
                shutil.rmtree(copy)


def _is_made(place: Path) -> bool:
    try:
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o700)
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False


@lru_cache(maxsize=1)
def _temporary() -> Path:
    import atexit

    place = Path(tempfile.mkdtemp(prefix="fedprime-tables-"))  # for its owner alone
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place
