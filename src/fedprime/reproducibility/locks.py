"""A lock that is held or refused, never waited for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fedprime.reproducibility.errors import FedprimeError


@contextmanager
def held_lock(path: Path, refusal: FedprimeError) -> Iterator[None]:
    """Holds a lock while the block runs; it is let go of when the process ends, however that is.

    Args:
        refusal: Raised if another process holds it.
    """
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise refusal from error
    try:
        yield
    finally:
        lock.release()
