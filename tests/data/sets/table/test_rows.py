"""Rows to predict for: holes, absent columns, files that cannot be read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedprime.data.sets.table.columns import Form
from fedprime.data.sets.table.csv_format import CsvOptions
from fedprime.data.sets.table.files import open_parts
from fedprime.data.sets.table.rows import UnlabelledRows, unlabelled_rows
from fedprime.data.sources import DataError, ValueKind
from miniatures import table_rows, write_csv, write_photo

STATED = ("image=file_name", "text=title+text", "facts=price+colour")
KINDS: dict[str, ValueKind] = {"image": "image", "text": "text", "facts": "table"}


def opened(path: str, *arguments: Any, csv: CsvOptions | None = None, **named: Any) -> UnlabelledRows:
    return unlabelled_rows(open_parts(path, csv), path, *arguments, **named)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = table_rows(tmp_path, 4)
    rows[1] |= {"file_name": "photos/none.png", "price": "nan"}
    rows[2] |= dict.fromkeys(("file_name", "title", "text", "price", "colour"), "")
    (tmp_path / "photos" / "3.png").write_text("no photo")
    write_csv(tmp_path / "metadata.csv", [{name: row[name] for name in row if name != "label"} for row in rows])
    return tmp_path


def test_rows_are_written_as_somebody_says(tmp_path: Path):
    (tmp_path / "new.csv").write_bytes("text~size\nschön~1\n".encode("cp1252"))
    rows = opened(str(tmp_path / "new.csv"), (), {"text": "text"}, csv=CsvOptions("cp1252", "~"))
    assert [values for _, values in rows] == [{"text": "schön"}]


def test_each_row_has_what_is_there_of_it(folder: Path, caplog: pytest.LogCaptureFixture):
    rows = list(opened(str(folder), STATED, KINDS))
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
    lost = "a missing image: 1 row with a file that is not there or is empty, first 'photos/none.png'"
    assert lost in caplog.text


def test_what_the_model_does_not_read_is_left_out_and_what_the_table_lacks_is_missing(
    folder: Path, caplog: pytest.LogCaptureFixture
):
    rows = list(opened(str(folder), (*STATED, "smell=smell"), {"text": "text", "smell": "text"}))
    assert all(set(values) <= {"text"} for _, values in rows)
    assert "has no column smell, so that smell is missing of all rows" in caplog.text


def test_of_several_columns_those_that_are_not_there_are_empty(folder: Path, caplog: pytest.LogCaptureFixture):
    stated = ("text=text+remark", "facts:table=price+weight+size", "readings:numbers=price+weight")
    kinds: dict[str, ValueKind] = {"text": "text", "facts": "table", "readings": "numbers"}
    values = [values for _, values in opened(str(folder), stated, kinds)]
    assert values[0] == {"text": "warm apple tart", "facts": {"price": 1.5}}
    assert "has no column weight, size; facts is read from its other columns" in caplog.text
    assert "has no column remark; text is read from its other columns" in caplog.text
    assert "has no column weight, so that readings is missing of all rows" in caplog.text  # places of an array


def test_nothing_stated_takes_columns_with_usual_names(folder: Path):
    name, values = next(iter(opened(str(folder), (), {"image": "image", "text": "text"})))
    assert (name, sorted(values)) == ("photos/0.png", ["image", "text"])


@pytest.mark.parametrize(
    ("stated", "kinds", "problem"),
    [
        (
            ("note=caption",),
            {"note": "text"},
            r"has the columns file_name, .*; expected some called note, or those of note=caption; rename",
        ),
        (("text=title",), {"photo": "image"}, "expected some called photo; rename a column"),
        ((), {"photo": "image"}, "expected some called photo; rename a column, .* --columns photo=COLUMN"),
        (("facts:text=title",), {"facts": "table"}, "facts:text=title is stated, but the model reads facts as table"),
    ],
)
def test_a_table_of_which_nothing_can_be_read_is_told(
    stated: tuple[str, ...], kinds: dict[str, ValueKind], problem: str, folder: Path
):
    with pytest.raises(DataError, match=problem):
        opened(str(folder), stated, kinds)


# Columns that are called as modalities are


@pytest.fixture
def table(tmp_path: Path) -> Path:
    write_photo(tmp_path / "red.png", 0)
    return tmp_path / "samples.csv"


CALLED: dict[str, ValueKind] = {"image": "image", "text": "text", "readings": "numbers", "facts": "table"}


def read(table: Path, kinds: dict[str, ValueKind] = CALLED, stated: tuple[str, ...] = ()) -> list[dict[str, object]]:
    """What there is of each row, arrays as lists, an image as its height."""
    values = [values for _, values in opened(str(table), stated, kinds)]
    return [
        {
            name: (len(value) if value.ndim == 3 else value.tolist()) if isinstance(value, np.ndarray) else value
            for name, value in own.items()
        }
        for own in values
    ]


def test_paths_texts_numbers_and_rows_are_read_and_a_row_may_lack_any(table: Path):
    table.write_text(
        "id,text,image,readings,facts\n"
        '1,tomato soup,red.png,0.5 -1e3,"{""price"": 3.5, ""colour"": ""red""}"\n'
        f"2,,{table.parent / 'red.png'},,\n"
        '3,"bread, and ""cake""",,,\n'
        "4, ,  ,1 2\n"
        "5\n"
    )
    assert read(table) == [
        {"text": "tomato soup", "image": 32, "readings": [0.5, -1000], "facts": {"price": 3.5, "colour": "red"}},
        {"image": 32},
        {"text": 'bread, and "cake"'},
        {"readings": [1, 2]},
        {},
    ]


def test_numbers_may_stand_in_a_column_each_and_are_missing_where_one_is(table: Path):
    table.write_text("a,b\n1,-2\n3,\n")
    assert read(table, {"readings": "numbers"}, ("readings=a+b",)) == [{"readings": [1, -2]}, {}]


def test_a_column_of_the_run_comes_before_one_that_is_called_as_the_modality(table: Path):
    table.write_text("title,text,image\nsoup,a word,red.png\n")
    assert read(table, {"image": "image", "text": "text"}, ("text=title",)) == [{"image": 32, "text": "soup"}]


def test_spaces_after_commas_are_not_part_of_names_or_cells(table: Path):
    table.write_text("price, text\n3, soup\n")
    assert read(table, {"image": "image", "text": "text"}) == [{"text": "soup"}]


def test_a_byte_order_mark_foreign_line_ends_and_capitals_do_no_harm(table: Path):
    table = table.with_suffix(".CSV")
    table.write_bytes("\ufefftext\r\nrühr-ei\r\nsoup\r\n".encode())
    assert read(table, {"text": "text"}) == [{"text": "rühr-ei"}, {"text": "soup"}]


def test_what_is_not_read_and_what_cannot_be_read_is_told_with_its_row(table: Path, caplog: pytest.LogCaptureFixture):
    table.write_text("text,readings,audio\nsoup,1 2,a.wav\nstew,1 two,b.wav\npie,1 nan,c.wav\n")
    assert read(table, {"text": "text", "readings": "numbers"}) == [
        {"text": "soup", "readings": [1, 2]},
        {"text": "stew"},
        {"text": "pie"},
    ]
    assert caplog.messages == [
        f"{table} has the column audio, which is not read",
        f"{table}, row 2: a missing readings: readings are '1 two', expected numbers separated by spaces",
        f"{table}, row 3: a missing readings: readings are '1 nan', expected finite numbers; leave the cell empty if "
        "they are missing",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty; expected a header"),
        (b"text\n", "has no rows; expected one for each sample"),
        (
            b"title,photo,price\nsoup,red.png,3\n",
            "has the columns title, photo, price; expected some called smell; rename a column",
        ),
        (b"text,text\nsoup,stew\n", "has the column 'text' twice"),
        (b"text,price\nfresh basil, tomato,3\n", "line 2: 3 cells under 2 columns; put texts with commas into quotes"),
        (b'text\n"soup\n', "cannot be read as CSV"),
        (b'text\n"soup" or bread\n', "cannot be read as CSV"),
    ],
    ids=lambda value: value.decode(errors="replace").replace("\n", "|") if isinstance(value, bytes) else "",
)
def test_a_table_that_is_not_what_it_should_be_gives_one_clear_error(content: bytes, problem: str, table: Path):
    table.write_bytes(content)
    with pytest.raises(DataError, match=problem):
        read(table, {"smell": "text"})


def test_a_file_that_is_not_there_is_looked_for_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^none\.csv is not there; expected a table"):
        read(Path("none.csv"))


def test_new_rows_are_read_as_those_of_training_and_what_does_not_fit_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    rows: list[dict[str, object]] = [{"price": "1,234", "day": "1/2/2000"}] * 18 + [
        {"price": "dear", "day": "3/4/2000"}
    ]
    file = write_csv(tmp_path / "new.csv", rows)
    styles = {"price": "numbers with decimal comma", "day": "dates (day, month, year), read as years since 2000"}
    forms: dict[str, Form] = {"price": "number", "day": "number"}
    found = list(opened(str(file), ["facts=price+day"], {"facts": "table"}, about={"forms": forms, "styles": styles}))
    assert found[0][1] == {"facts": {"price": 1.234, "day": pytest.approx(31 / 365.2425)}}
    assert set(found[-1][1]["facts"]) == {"day"}  # pyright: ignore[reportArgumentType]
    assert "price: 1 cell taken for empty, for want of numbers with decimal comma: dear" in caplog.text


def test_new_rows_have_the_categories_of_training_however_many_spellings_they_have(tmp_path: Path):
    rows: list[dict[str, object]] = [{"smoker": word} for word in ("True", "TRUE", "False")]
    forms: dict[str, Form] = {"smoker": "category"}
    file = write_csv(tmp_path / "new.csv", rows)
    found = list(opened(str(file), ["facts=smoker"], {"facts": "table"}, about={"forms": forms}))
    assert found[0][1] == {"facts": {"smoker": "True"}}
