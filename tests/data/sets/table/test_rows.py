"""Rows to predict for: holes, absent columns, files that cannot be read."""

from pathlib import Path

import numpy as np
import pytest

from fedprime.data.batches import DataError
from fedprime.data.sets.table.rows import read_unlabelled
from miniatures import table_rows, write_csv

STATED = ("image=file_name", "text=title+text", "facts=price+colour")
KINDS = {"image": "image", "text": "text", "facts": "table"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = table_rows(tmp_path, 4)
    rows[1] |= {"file_name": "photos/none.png", "price": "nan"}
    rows[2] |= dict.fromkeys(("file_name", "title", "text", "price", "colour"), "")
    (tmp_path / "photos" / "3.png").write_text("no photo")
    write_csv(tmp_path / "metadata.csv", [{name: row[name] for name in row if name != "label"} for row in rows])
    return tmp_path


def test_each_row_has_what_is_there_of_it(folder: Path, caplog: pytest.LogCaptureFixture):
    rows = list(read_unlabelled(str(folder), STATED, KINDS))
    assert [name for name, _ in rows] == ["photos/0.png", "photos/none.png", "row 3", "photos/3.png"]
    image = rows[0][1].pop("image")
    assert isinstance(image, np.ndarray)
    assert [values for _, values in rows] == [
        {"text": "dish 0 warm apple tart", "facts": {"price": 1.5, "colour": "red"}},
        {"text": "dish 1 raw beef with capers", "facts": {"colour": "green"}},
        {},
        {"text": "dish 3 warm apple tart", "facts": {"price": 1.5, "colour": "red"}},
    ]
    assert "a missing image: cannot read" in caplog.text


def test_what_the_model_does_not_read_is_left_out_and_what_the_table_lacks_is_missing(
    folder: Path, caplog: pytest.LogCaptureFixture
):
    rows = list(read_unlabelled(str(folder), (*STATED, "smell=smell"), {"text": "text", "smell": "text"}))
    assert all(set(values) <= {"text"} for _, values in rows)
    assert "has no column of smell: it is missing of all rows" in caplog.text


def test_nothing_stated_takes_columns_with_usual_names(folder: Path):
    name, values = next(read_unlabelled(str(folder), (), {"image": "image", "text": "text"}))
    assert (name, sorted(values)) == ("photos/0.png", ["image", "text"])


@pytest.mark.parametrize(
    ("stated", "kinds", "problem"),
    [
        (("text=caption",), {"text": "text"}, r"has the columns file_name, .*; expected those of text: text=caption"),
        (("text=title",), {"photo": "image"}, "expected those of photo: none are stated, say which with --columns"),
        ((), {"photo": "image"}, r"has nothing that the model reads \(photo\); say with --columns which"),
        (("facts:text=title",), {"facts": "table"}, "facts:text=title is stated, but the model reads facts as table"),
    ],
)
def test_a_table_of_which_nothing_can_be_read_is_told(
    stated: tuple[str, ...], kinds: dict[str, str], problem: str, folder: Path
):
    with pytest.raises(DataError, match=problem):
        next(read_unlabelled(str(folder), stated, kinds))
