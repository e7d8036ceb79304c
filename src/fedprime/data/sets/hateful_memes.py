"""Hateful Memes: images with the text on them, hateful or not.

Source: Kiela et al. The hateful memes challenge: detecting hate speech in multimodal memes. NeurIPS 2020. 8,500 memes
    for training, 500 for validation and 1,000 for the test in the first phase.

Layout: ``img/*.png`` and ``train.jsonl``, ``dev.jsonl``, ``test.jsonl`` (or ``dev_seen.jsonl``, ``test_seen.jsonl`` of
the second phase), with lines like ``{"id": 8291, "img": "img/08291.png", "label": 0, "text": "..."}``.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedprime.data.batches import DataError
from fedprime.data.packed_texts import PackedTexts
from fedprime.data.sets.annotations import find_folder, read_json_lines
from fedprime.data.sets.pairs import Pairs
from fedprime.data.splits import without_repeats

__all__ = ["open_hateful_memes"]

_NAME = "hateful_memes"
_logger = logging.getLogger(__name__)

_FILES = {
    "train": ("train.jsonl",),
    "validation": ("dev_seen.jsonl", "dev.jsonl"),
    "test": ("test_seen.jsonl", "test.jsonl"),
}


def open_hateful_memes(path: str | Path) -> Pairs:
    """Opens the data set; images are read when they are needed.

    The first copies of ``test.jsonl`` have no labels. Then the validation samples are the test, and validation samples
    are set apart from the training samples; the log says so.

    Args:
        path: Its folder.

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
    memes = {split: _read_memes(file) for split, file in files.items()}
    if not len(memes.get("test", ())):
        _logger.warning("%s: the test samples have no labels; the validation samples are the test", _NAME)
        memes["test"] = memes.pop("validation", _Memes())
    lacking = [
        names
        for split, names in (("train", "train.jsonl"), ("test", "dev.jsonl and test.jsonl"))
        if not len(memes[split])
    ]
    if lacking:
        raise DataError(f"{lacking[0]} of {folder} has no sample with a label; take a copy with labels")
    splits = without_repeats({split: own.ids for split, own in memes.items()}, str(folder))
    kept = [(memes[split], row) for split, ids in splits.items() for row in memes[split].rows_of(ids)]
    bounds = np.cumsum([0, *(len(ids) for ids in splits.values())])
    return Pairs(
        _NAME,
        (own.ids[row] for own, row in kept),
        (folder / own.images[row] for own, row in kept),
        (own.texts[row] for own, row in kept),
        np.array([own.labels[row] for own, row in kept]),
        ("not hateful", "hateful"),
        {split: np.arange(bounds[place], bounds[place + 1]) for place, split in enumerate(splits)},
    )


@dataclass(frozen=True)
class _Memes:
    """The lines of a file that have a label."""

    ids: PackedTexts = field(default_factory=PackedTexts)
    images: PackedTexts = field(default_factory=PackedTexts)
    texts: PackedTexts = field(default_factory=PackedTexts)
    labels: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.labels)

    def rows_of(self, ids: Sequence[str]) -> list[int]:
        """Returns where memes stand; of several lines of one meme, the first counts."""
        rows = {name: len(self) - 1 - row for row, name in enumerate(reversed(self.ids))}
        return [rows[name] for name in ids]


def _read_memes(file: Path) -> _Memes:
    memes = _Memes()
    for number, row in enumerate(read_json_lines(file), start=1):
        if "label" in _checked(row, number, file):
            memes.ids.append(str(row["id"]))
            memes.images.append(str(row.get("img", "")))
            memes.texts.append(str(row.get("text") or ""))
            memes.labels.append(int(row["label"]))
    return memes


def _checked(row: dict[str, Any], number: int, file: Path) -> dict[str, Any]:
    if "id" not in row:
        raise DataError(f"{file}, line {number}: there is no id; expected id, img, text and label")
    if row.get("label", 0) not in (0, 1):
        raise DataError(f"{file}, line {number}: label is {row['label']!r}, expected 0 (not hateful) or 1 (hateful)")
    return row
