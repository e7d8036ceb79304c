"""Hateful Memes: images with the text on them, hateful or not.

Source: Kiela et al. The hateful memes challenge: detecting hate speech in multimodal memes. NeurIPS 2020. 8,500 memes
    for training, 500 for validation and 1,000 for the test in the first phase.

Layout: ``img/*.png`` and ``train.jsonl``, ``dev.jsonl``, ``test.jsonl`` (or ``dev_seen.jsonl``, ``test_seen.jsonl`` of
the second phase), with lines like ``{"id": 8291, "img": "img/08291.png", "label": 0, "text": "..."}``.
"""

import logging
from pathlib import Path
from typing import Any

from fedprime.data.sets.annotations import find_folder, read_json_lines
from fedprime.data.sets.pairs import Pair, open_pairs
from fedprime.data.sets.table.table import Table
from fedprime.data.sources import DataError

_NAME = "hateful_memes"
_logger = logging.getLogger(__name__)

_LABELS = ("not hateful", "hateful")
_FILES = {
    "train": ("train.jsonl",),
    "validation": ("dev_seen.jsonl", "dev.jsonl"),
    "test": ("test_seen.jsonl", "test.jsonl"),
}


def open_hateful_memes(path: str | Path) -> Table:
    """Opens the data set; images are read when they are needed.

    The first copies of ``test.jsonl`` have no labels. Then the validation samples are the test, and validation samples
    are set apart from the training samples; the log says so.

    Raises:
        DataError: If the folder has another layout, or a file of it is broken.
    """
    folder = find_folder(path, _NAME)
    files = {
        split: file
        for split, names in _FILES.items()
        if (file := next((folder / name for name in names if (folder / name).is_file()), None)) is not None
    }
    if "train" not in files or len(files) == 1:
        raise DataError(
            f"{folder} is not Hateful Memes: found {', '.join(files) or 'none'} of train.jsonl, dev.jsonl and "
            "test.jsonl; expected train.jsonl and at least one of the others, beside img/"
        )
    memes = {split: _read_memes(file, split) for split, file in files.items()}
    if not memes.get("test"):
        _logger.warning("%s: the test samples have no labels; the validation samples are the test", _NAME)
        memes["test"] = [own._replace(split="test") for own in memes.pop("validation", [])]
    names = {"train": "train.jsonl", "test": "dev.jsonl and test.jsonl"}
    lacking = [file for split, file in names.items() if not memes[split]]
    if lacking:
        raise DataError(f"{lacking[0]} of {folder} has no sample with a label; take a copy with labels")
    return open_pairs(_NAME, folder, [own for listed in memes.values() for own in listed], _LABELS)


def _read_memes(file: Path, split: str) -> list[Pair]:
    """Returns the lines of a file that have a label."""
    return [
        Pair(split, str(row["id"]), str(row.get("img", "")), str(row.get("text") or ""), (_LABELS[int(row["label"])],))
        for number, row in enumerate(read_json_lines(file), start=1)
        if "label" in _checked(row, number, file)
    ]


def _checked(row: dict[str, Any], number: int, file: Path) -> dict[str, Any]:
    if "id" not in row:
        raise DataError(f"{file}, line {number}: there is no id; expected id, img, text and label")
    if row.get("label", 0) not in (0, 1):
        raise DataError(f"{file}, line {number}: label is {row['label']!r}, expected 0 (not hateful) or 1 (hateful)")
    return row
