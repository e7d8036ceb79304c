"""Data sets that come with scikit-learn, written as tables that a person may have: no download, anyone can run them.

Photos of handwritten digits (8 x 8 pixels) beside counts of ink by row and by column; and tables of measurements of
cell nuclei whose means, errors and worst values are a modality each. Test samples are the last, as scikit-learn's
documentation has it: those of the digits are by other writers.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits

__all__ = ["BUNDLED", "write_bundled"]

_GROUPS = ("mean", "error", "worst")
_SIDE = 8  # pixels of a photo of a digit
_ROWS, _COLUMNS = ([f"{name}_{index}" for index in range(_SIDE)] for name in ("row", "column"))
_NUCLEI_DATA: Any = load_breast_cancer()  # annotated as if it were a pair
_NUCLEI = [str(name).replace(" ", "_") for name in _NUCLEI_DATA.feature_names]
#: By name, the flags that say which column is what.
BUNDLED = {
    "digits": ("--data.columns", "image=file_name", f"ink:table={'+'.join([*_ROWS, *_COLUMNS])}"),
    "nuclei": (
        "--data.columns",
        *(f"{group}:table={'+'.join(name for name in _NUCLEI if group in name.split('_'))}" for group in _GROUPS),
    ),
}
_TEST_SHARE = 1 / 3


def write_bundled(name: str, folder: Path) -> None:
    """Writes a table, and its photos, unless they are there.

    Args:
        name: One of `BUNDLED`.
        folder: Where to.
    """
    if (folder / "metadata.csv").exists():
        return
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    data: Any = load_digits() if name == "digits" else _NUCLEI_DATA
    if name == "digits":
        for index, pixels in enumerate(data.images):
            Image.fromarray((pixels / 16 * 255).astype(np.uint8)).save(folder / "photos" / f"{index}.png")
        files = [f"photos/{index}.png" for index in range(len(data.images))]
        ink = np.concatenate([data.images.sum(axis=2), data.images.sum(axis=1)], axis=1)
        header, rows = ["file_name", *_ROWS, *_COLUMNS], [[file, *own] for file, own in zip(files, ink, strict=True)]
    else:
        header, rows = _NUCLEI, data.data.tolist()
    _write(folder / "metadata.csv", header, rows, [str(data.target_names[label]) for label in data.target])


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], labels: Sequence[str]) -> None:
    num_train = round((1 - _TEST_SHARE) * len(rows))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*header, "label", "split"])
        for index, (row, label) in enumerate(zip(rows, labels, strict=True)):
            writer.writerow([*row, f"class {label}", "train" if index < num_train else "test"])
