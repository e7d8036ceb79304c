"""Empty numbers: what is typical stands for them where training never saw that column empty, and nowhere else."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedprime.data.sets.table.options import TableOptions
from fedprime.data.sets.table.table import Table, open_table
from fedprime.data.sets.table.typical_numbers import filled_row, typical_numbers


def table(folder: Path) -> Table:
    frame = pd.DataFrame(
        {
            "age": [50.0, 60.0, 70.0, np.nan, np.nan],
            "dose": [1.0, np.nan, 3.0, np.nan, 2.0],
            "ward": ["A", "A", "B", "B", ""],
            "label": ["ill", "well", "ill", "well", "ill"],
            "split": ["train", "train", "train", "validation", "test"],
        }
    )
    frame.to_csv(folder / "metadata.csv", index=False)
    return open_table(str(folder), TableOptions(columns=("table=age+dose+ward",), label=("label",)))


def test_the_mean_is_that_of_compressed_numbers() -> None:
    found = typical_numbers([{"price": 1.0, "sold": True}, {"price": 100.0, "sold": True}])
    assert found == {"price": pytest.approx(np.sinh((np.arcsinh(1) + np.arcsinh(100)) / 2))}
    assert typical_numbers([]) == {}


@pytest.mark.parametrize("empty", [None, float("nan"), "", "  "])
def test_an_empty_cell_is_filled_and_one_that_is_there_is_not(empty: object) -> None:
    assert filled_row({"age": empty, "ward": "A"}, {"age": 60.0}) == {"age": 60.0, "ward": "A"}
    assert filled_row({"ward": "A"}, {"age": 60.0}) == {"age": 60.0, "ward": "A"}
    assert filled_row({"age": 0, "ward": empty}, {"age": 60.0}) == {"age": 0, "ward": empty}


def test_a_row_without_anything_stays_missing() -> None:
    assert filled_row({"age": None}, {"age": 60.0}) == {"age": None}


def test_holes_of_columns_that_training_has_none_of_are_filled(tmp_path: Path) -> None:
    opened = table(tmp_path)
    filled = opened.with_typical_numbers()
    middle = pytest.approx(59.4, abs=0.1)
    assert filled.about()["typical"] == {"table": {"age": middle}}
    assert [filled.read(row, ("table",))["table"] for row in (1, 3, 4)] == [
        {"age": 60.0, "ward": "A"},
        {"age": middle, "ward": "B"},
        {"age": middle, "dose": 2.0},
    ]
    assert filled.identity(3, "table") != opened.identity(3, "table")


def test_the_table_of_a_caller_stays_as_it_was(tmp_path: Path) -> None:
    opened = table(tmp_path)
    opened.with_typical_numbers()
    assert "typical" not in opened.about()
    assert opened.read(3, ("table",)) == {"table": {"ward": "B"}}
