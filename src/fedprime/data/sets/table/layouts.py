"""Folders of data without a metadata file: files of a split each, in one piece or several, and folders of classes."""

import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from urllib.parse import unquote

from fedprime.data.sets.table.file_names import IMAGE_ENDINGS, SOUND_ENDINGS
from fedprime.data.sets.table.parts import READERS
from fedprime.data.splits import SPLITS, names_of_splits, split_name

_logger = logging.getLogger(__name__)


_SPLIT_FILE = re.compile(rf"([A-Za-z]+)(?:[-_.].*)?({'|'.join(map(re.escape, READERS))})", re.IGNORECASE)
#: Such as part-00000-8f2c.snappy.parquet of Spark, part.0.parquet of Dask, data_0.parquet of DuckDB, 00000000.parquet.
_PART_FILE = re.compile(r"((part|data)[-_.])?\d+([-_.].*)?", re.IGNORECASE)
_WORDS = re.compile(r"[A-Za-z]+")
#: What systems and archives leave in folders.
_LEFTOVERS = ("__macosx", "thumbs.db", "desktop.ini")
_HOLE = "__HIVE_DEFAULT_PARTITION__"


def split_files(folder: Path) -> dict[str, list[Path]]:
    """Returns the files of each split, as ``train.csv`` or ``data/train-00000-of-00002.parquet``, in order.

    Args:
        folder: The folder; its ``data`` folder counts where it has none itself.
    """
    for place in (folder, folder / "data"):
        found: dict[str, list[Path]] = {}
        for file in sorted(place.iterdir()) if place.is_dir() else ():
            match = _SPLIT_FILE.fullmatch(file.name)
            if match and file.is_file() and (split := split_name(match[1])) in SPLITS:
                found.setdefault(split, []).append(file)
        if found:
            return {split: found[split] for split in SPLITS if split in found}
    return {}


def table_files(folder: Path) -> list[Path]:
    """Returns the files of a folder that are called as tables are, in order."""
    return sorted(own for own in folder.iterdir() if own.suffix.lower() in READERS and own.is_file())


def part_files(folder: Path) -> list[Path]:
    """Returns the parts of the one table of a folder; none if it has another, parts of several splits, or no parts."""
    tables = table_files(folder)
    are_parts = all(_PART_FILE.fullmatch(own.name) for own in tables) and len({own.suffix for own in tables}) == 1
    are_parts = are_parts and not any(split_name(word) in SPLITS for own in tables for word in _WORDS.findall(own.stem))
    return tables if are_parts and not (folder / "_delta_log").exists() else []


def are_numbered(files: Sequence[Path]) -> bool:
    """Returns whether files are counted from 0 or 1 on, as programs write the parts of a table, and not by years."""
    return min(int(found[0]) if (found := re.search(r"\d+", own.stem)) else 0 for own in files) <= 1


def partition_files(folder: Path) -> Iterator[tuple[dict[str, str | None], list[Path]]]:
    """Yields the tables in folders called ``column=value``, as Hive has them, with what their folders say."""
    for inside in sorted(folder.iterdir()):
        name, is_partition, value = inside.name.partition("=")
        if is_partition and inside.is_dir():
            own: dict[str, str | None] = {unquote(name): None if value == _HOLE else unquote(value)}
            if files := part_files(inside):
                yield own, files
            for deeper, files in partition_files(inside):
                yield own | deeper, files


def class_folders(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Returns by split the files in folders of classes, each with the name of its class; the log tells what is unused.

    Args:
        folder: The folder, with folders of classes, or of splits that have those.

    Returns:
        By split, empty for none, the names of files relative to the folder, and the class of each.
    """
    inside = _shown(own for own in folder.iterdir() if own.is_dir())
    named = names_of_splits([own.name for own in inside], str(folder))
    splits = {split: folder / name for split, name in named.items() if split in SPLITS}
    places = {split: _shown(own.iterdir()) for split, own in splits.items()} if splits else {"": inside}
    found: dict[str, list[tuple[str, str]]] = {}
    others, unused = Counter[str](), [own.name for own in inside if splits and own not in splits.values()]
    for split, classes in places.items():
        for own in (own for own in classes if own.is_dir()):
            files = _files_below(own)
            used = [file for file in files if file.suffix.lower() in (*IMAGE_ENDINGS, *SOUND_ENDINGS)]
            found.setdefault(split, []).extend((str(file.relative_to(folder)), own.name) for file in used)
            others += Counter(file.suffix for file in files) - Counter(file.suffix for file in used)
            unused += [] if used else [own.name]
    found = {split: found[split] for split in (*SPLITS, "") if found.get(split)}
    if found:
        _tell_unused(folder, others, unused)
        _tell_deeper(folder, {name for own in found.values() for name, _ in own}, has_splits=bool(splits))
    return found


def _shown(paths: Iterable[Path]) -> list[Path]:
    """Returns what is neither hidden nor a leftover of a system, in order."""
    return sorted(own for own in paths if not own.name.startswith(".") and own.name.lower() not in _LEFTOVERS)


def _files_below(folder: Path) -> list[Path]:
    """Returns the files below a folder; a link that leads nowhere is one, too, which is then told to be missing."""
    found: list[Path] = []
    for own in _shown(folder.iterdir()):
        if not own.is_dir():
            found.append(own)
        elif not own.is_symlink():  # which may lead in a circle
            found += _files_below(own)
    return found


def _tell_unused(folder: Path, others: Counter[str], unused: Sequence[str]) -> None:
    if others:
        told = ", ".join(f"{number:,} {ending or 'without an ending'}" for ending, number in others.most_common(5))
        _logger.warning("%s: files that are called neither as images nor as sounds are left out: %s", folder, told)
    if unused:
        _logger.warning("%s: folders of which no file is used: %s", folder, ", ".join(unused[:5]))


def _tell_deeper(folder: Path, names: Collection[str], *, has_splits: bool) -> None:
    """Tells that the folders of files may not be those that are taken for classes, as in fold1/cat and fold2/cat."""
    steps = [PurePath(name).parts[has_splits:] for name in names]
    deeper = {own[:2] for own in steps}
    same = [name for name, number in Counter(name for _, name in deeper).items() if number > 1]
    if same and all(len(own) > 2 for own in steps):
        _logger.warning(
            "%s: %s are taken for classes, though all files lie in folders below them, such as %s; if those are the "
            "classes, put them side by side",
            *(folder, ", ".join(sorted({own[0] for own in steps})[:3]), min(same)),
        )
