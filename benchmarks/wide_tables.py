"""Tables of more than a hundred columns, and vectors in one cell: the default's closed form with few and many places.

    python benchmarks/wide_tables.py --output docs/results/many_tables

Digits of scikit-learn are drawn larger, so that each has 256 pixels in as many columns, or in one cell; the others are
drawn with 1,500 rows, five classes and known frequencies or means. Five clients divided by labels. Narrow is what rows
of up to a hundred columns have. The others have the rows of all clients at one place. Half an hour on a free core.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

from fedprime.backbones import load_backbone
from fedprime.runs.run import start_run
from fedprime.settings.reading import read_settings
from machine import describe, show_page
from many_tables import at_one_place, written

_ROWS, _CLASSES = 1500, 5
_LABEL = "label"


def digits(side: int) -> pd.DataFrame:
    """Returns scikit-learn's digits, drawn larger, with a column for each pixel."""
    pixels, labels = map(np.asarray, load_digits(return_X_y=True))
    larger = np.stack([np.asarray(zoom(row.reshape(8, 8), side / 8, order=1)) for row in pixels])
    return _frame(larger.reshape(len(labels), -1).round(2), labels)


def numbers(num_columns: int) -> pd.DataFrame:
    """Returns numbers of different scale, of which three tenths have another mean in each class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, _CLASSES, _ROWS)
    means = rng.normal(size=(_CLASSES, num_columns)) * (rng.random(num_columns) < 0.3) * 0.35
    scales = np.exp(2 * rng.normal(size=num_columns))
    return _frame((means[labels] + rng.normal(size=(_ROWS, num_columns))) * scales, labels)


def words(num_columns: int) -> pd.DataFrame:
    """Returns words, three to a column, which are more or less frequent in each class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, _CLASSES, _ROWS)
    frequencies = rng.dirichlet(np.full(3, 8.0), size=(num_columns, _CLASSES)).cumsum(axis=2)
    drawn = (rng.random((_ROWS, num_columns, 1)) > frequencies[:, labels].swapaxes(0, 1)[:, :, :-1]).sum(axis=2)
    return _frame(np.array(["low", "middle", "high"])[drawn], labels)


def _frame(cells: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame(cells, columns=[f"column {number}" for number in range(cells.shape[1])])
    return frame.assign(**{_LABEL: [f"class {label}" for label in labels]})


def as_vectors(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the same numbers in one cell of each row."""
    cells = frame.drop(columns=_LABEL).to_numpy()
    return pd.DataFrame({"vector": list(cells), _LABEL: frame[_LABEL]})


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "digits of 256 pixels": lambda: digits(16),
    "the same as vectors": lambda: as_vectors(digits(16)),
    "100 columns of numbers": lambda: numbers(100),
    "300 columns of numbers": lambda: numbers(300),
    "1,000 columns of numbers": lambda: numbers(1000),
    "the same 1,000 as vectors": lambda: as_vectors(numbers(1000)),
    "50 columns of words": lambda: words(50),
    "300 columns of words": lambda: words(300),
}


def closed_form(folder: Path, run: Path, column: str, kinds: str) -> float:
    """Returns the accuracy like train of the closed form over five clients.

    Args:
        kinds: How the backbone reads rows; empty for as it finds out by itself.
    """
    modality = column.partition("=")[0].partition(":")[0]
    flags = [f"--data.path={folder}", "--data.columns", column, "--data.label", _LABEL, "--data.split=none"]
    flags += ["--data.client=none", "--partition.num_clients=5", "--method.name=closed-form"]
    backbone = load_backbone("small", (modality,), kinds=kinds) if kinds else None
    results = start_run(read_settings("table/folder", flags), run, backbone=backbone)
    return results["scenarios"]["like train"]["accuracy"]


def main() -> None:
    """Measures all tables."""
    parser = argparse.ArgumentParser(description="Tables of more than a hundred columns, and vectors.")
    parser.add_argument("--output", type=Path, required=True, help="folder for wide_tables.md")
    output = parser.parse_args().output
    columns = ("majority", "logistic regression", "boosted trees", "narrow", "as by default")
    lines = [f"| table | {' | '.join(columns)} |", f"|:--|{'--:|' * len(columns)}"]
    for name, make in TABLES.items():
        with tempfile.TemporaryDirectory() as place:
            folder, frame = Path(place), make()
            scores: list[float | None] = [None] * 3
            if "vector" in frame:
                (folder / "data").mkdir()
                frame.to_parquet(folder / "data" / "metadata.parquet")
                column, narrow = "vector:numbers=vector", "numbers"
            else:
                written(frame, folder / "data")
                scores = list(at_one_place(folder / "data", _LABEL).values())
                column, narrow = "table=*", "table"
            for kinds in (narrow, ""):
                scores.append(closed_form(folder / "data", folder / f"run {kinds}", column, kinds))
        told = " | ".join("" if score is None else f"{100 * score:.1f}" for score in scores)
        lines.append(f"| {name} | {told} |")
        print(lines[-1], flush=True)
    about = "; ".join(f"{name} {value}" for name, value in describe().items())
    show_page([f"{about}.", "", *lines], output / "wide_tables.md")


if __name__ == "__main__":
    main()
