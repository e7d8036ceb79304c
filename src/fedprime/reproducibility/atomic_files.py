"""Files and folders that appear whole or not at all: written beside, then renamed."""

import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

_IS_WINDOWS = os.name == "nt"
_SECONDS_UNTIL_LEFT_OVER = 60.0  # where machines share a disk, a process may live on another one


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yields a path to write to; when the block ends without an error, the file takes the place of `path`.

    Whoever reads `path`, also after a crash or a loss of power, sees the old content or the new, never a part.

    Args:
        path: The file to write or replace; its folder is made if needed. Of a link, that is what it leads to.

    Raises:
        OSError: If it cannot be written, or is a device or a pipe, which no file shall take the place of.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "a device or a pipe is not replaced by a file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    try:
        yield beside
        _flush(beside)
        beside.replace(path)
        _flush(path.parent)
    except SafetensorError as error:
        raise _not_written(path, error) from error
    except OSError as error:
        _name(path, error)
        raise
    finally:
        beside.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Writes a file of text in UTF-8, or replaces one, as `replaced_file` does."""
    with replaced_file(path) as beside:
        beside.write_text(text, encoding="utf-8")


@contextmanager
def replaced_folder(path: Path, *, overwrites: bool = True) -> Iterator[Path]:
    """Yields an empty folder to fill; when the block ends without an error, it takes the place of `path`.

    Folders cannot be exchanged in one step: a process that is killed between the two renamings leaves the old content
    beside, as ``.NAME.PID.old``. Files can be read and written by whoever can read and write the folder.

    Args:
        path: The folder to write or replace; its parent is made if needed.
        overwrites: Whether a folder with content may be replaced.

    Raises:
        OSError: If it cannot be written, or there is something at `path` that may not be replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        yield beside
        may = beside.stat().st_mode & 0o666
        for inside in [*beside.rglob("*"), beside]:  # a folder knows the names of what is in it
            if inside.is_file() and not inside.is_symlink():
                inside.chmod(inside.stat().st_mode | may)  # safetensors lets nobody else read what it writes
            if inside.is_dir() or inside.is_file():
                _flush(inside)
        if overwrites and path.exists():
            # Left by a killed process; in a container, all may have the same number.
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        beside.rename(path)
        _flush(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    except SafetensorError as error:
        raise _not_written(path, error) from error
    except OSError as error:
        _name(path, error)
        raise
    finally:
        if old.exists() and not path.exists():
            old.rename(path)  # interrupted between the two renamings
        shutil.rmtree(beside, ignore_errors=True)


def _not_written(path: Path, error: SafetensorError) -> OSError:
    """Returns the error of a full disk as Python would tell it: the library has an error of its own for it."""
    return OSError(f"{path} cannot be written: {error}")


def _name(path: Path, error: OSError) -> None:
    """Adds to an error what could not be written: that of a full disk does not say."""
    if error.filename is None and error.errno is not None:
        error.filename = str(path)


def _beside(path: Path) -> Path:
    """Returns where to write first, and removes what killed processes began to write there."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.tmp")
    for left in path.parent.iterdir():
        found = pattern.fullmatch(left.name)
        if found and not _is_alive(int(found[1])) and _seconds_unchanged(left) > _SECONDS_UNTIL_LEFT_OVER:
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _is_alive(number: int) -> bool:
    if _IS_WINDOWS:
        return True  # nobody can be asked there without being ended
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _seconds_unchanged(path: Path) -> float:
    changed = [0.0]
    for own in [path, *path.rglob("*")]:
        with suppress(FileNotFoundError):  # another process has removed it, or finished it
            changed.append(own.lstat().st_mtime)
    return time.time() - max(changed)


def _flush(path: Path) -> None:
    if _IS_WINDOWS and path.is_dir():
        return  # folders cannot be opened there, nor is what was only read flushed
    descriptor = os.open(path, os.O_RDWR if _IS_WINDOWS else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
