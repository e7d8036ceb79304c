"""Where the library `datasets` puts its copies of tables: in fedprime's own cache, which nobody else reads."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from fedprime.data.embeddings.cache_folder import CacheFolder

#: The folder of copies in the cache.
TABLES = "tables"


@contextlib.contextmanager
def tables_folder() -> Iterator[Path]:
    """Yields the folder for copies, for its owner alone.

    Where the cache is off or cannot be written, it lasts as long as this process.
    """
    cache = CacheFolder.of_environment()
    place = None if cache is None else cache.path / TABLES
    if place is None or not _is_made(place):
        place = _temporary()
    yield place


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
