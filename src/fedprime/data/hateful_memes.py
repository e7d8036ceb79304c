"""Hateful Memes: images with the text on them, hateful or not.

Source: Kiela et al. The hateful memes challenge: detecting hate speech in multimodal memes. NeurIPS 2020. 8,500 memes
    for training, 500 for validation and 1,000 for the test in the first phase.

Layout: ``img/*.png`` and ``train.jsonl``, ``dev.jsonl``, ``test.jsonl`` (or ``dev_seen.jsonl``, ``test_seen.jsonl`` of
the second phase), with lines like ``{"id": 8291, "img": "img/08291.png", "label": 0, "text": "..."}``.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from fedprime.data.annotations import find_folder, read_json_lines
from fedprime.data.batches import DataError
from fedprime.data.pairs import Pairs
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
    lines: dict[str, list[dict[str, Any]]] = {}
    for split, names in _FILES.items():
        file = next((folder / name for name in names if (folder / name).is_file()), None)
        if file is not None:
            lines[split] = [_checked(row, number, file) for number, row in enumerate(read_json_lines(file), start=1)]
    if "train" not in lines or len(lines) == 1:
        raise DataError(
            f"{folder} is not Hateful Memes: found {', '.join(lines) or 'none'} of train.jsonl, dev.jsonl and "
            "test.jsonl; expected train.jsonl and at least one of the others, beside img/"
        )
    if not any("label" in row for row in lines.get("test", [])):
        _logger.warning("%s: the test samples have no labels; the validation samples are the test", _NAME)
        lines["test"] = lines.pop("validation", [])
    rows = {str(row["id"]): row for own in reversed(lines.values()) for row in own if "label" in row}
    ids = {split: [str(row["id"]) for row in own if "label" in row] for split, own in lines.items()}
    if not ids["train"] or not ids["test"]:
        lacking = "train.jsonl" if not ids["train"] else "dev.jsonl and test.jsonl"
        raise DataError(f"{lacking} of {folder} has no sample with a label; take a copy with labels")
    splits = without_repeats(ids, str(folder))
    kept = [(split, meme) for split, own in splits.items() for meme in own]
    return Pairs(
        _NAME,
        [meme for _, meme in kept],
        [folder / str(rows[meme].get("img", "")) for _, meme in kept],
        [rows[meme].get("text") for _, meme in kept],
        np.array([int(rows[meme]["label"]) for _, meme in kept]),
        ("not hateful", "hateful"),
        {split: np.flatnonzero([own == split for own, _ in kept]) for split in splits},
    )


def _checked(row: dict[str, Any], number: int, file: Path) -> dict[str, Any]:
    if "id" not in row:
        raise DataError(f"{file}, line {number}: there is no id; expected id, img, text and label")
    if row.get("label", 0) not in (0, 1):
        raise DataError(f"{file}, line {number}: label is {row['label']!r}, expected 0 (not hateful) or 1 (hateful)")
    return row
