"""Folders of data without a metadata file: files of a split each, in one piece or several, and folders of classes."""

import re
from pathlib import Path

from fedprime.data.sets.table.parts import READERS
from fedprime.data.splits import SPLITS, split_name

__all__ = ["class_folders", "part_files", "split_files"]

_SPLIT_FILE = re.compile(rf"([A-Za-z]+)(?:[-_.].*)?({'|'.join(map(re.escape, READERS))})", re.IGNORECASE)
#: Such as part-00000-8f2c.snappy.parquet of Spark, part.0.parquet of Dask, data_0.parquet of DuckDB, 00000000.parquet.
_PART_FILE = re.compile(r"((part|data)[-_.])?\d+([-_.].*)?", re.IGNORECASE)
_WORDS = re.compile(r"[A-Za-z]+")
_FILES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".wav", ".flac", ".ogg", ".mp3", ".opus")


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


def part_files(folder: Path) -> list[Path]:
    """Returns the parts of the one table of a folder; none if it has another, parts of several splits, or no parts."""
    tables = [own for own in sorted(folder.iterdir()) if own.suffix.lower() in READERS and own.is_file()]
    are_parts = all(_PART_FILE.fullmatch(own.name) for own in tables) and len({own.suffix for own in tables}) == 1
    are_parts = are_parts and not any(split_name(word) in SPLITS for own in tables for word in _WORDS.findall(own.stem))
    return tables if are_parts and not (folder / "_delta_log").exists() else []


def class_folders(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Returns by split the files in folders of classes, each with the name of its class.

    Args:
        folder: The folder, with folders of classes, or of splits that have those.

    Returns:
        By split, empty for none, the names of files relative to the folder, and the class of each.
    """
    inside = sorted(own for own in folder.iterdir() if own.is_dir())
    splits = {split: own for own in inside if (split := split_name(own.name)) in SPLITS}
    places = {split: sorted(own.iterdir()) for split, own in splits.items()} if splits else {"": inside}
    found = {
        split: [
            (str(file.relative_to(folder)), own.name)
            for own in classes
            if own.is_dir()
            for file in sorted(own.rglob("*"))
            if file.suffix.lower() in _FILES and file.is_file()
        ]
        for split, classes in places.items()
    }
    return {split: found[split] for split in (*SPLITS, "") if found.get(split)}
