"""Types of Arrow that are words elsewhere."""

import datetime
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from fedprime.data.sets.table.arrow_words import in_words, some_cells
from fedprime.data.sets.table.options import TableOptions
from fedprime.data.sets.table.table import Table, open_table
from fedprime.data.sources import DataError

NUM = 12
LABELS = {"text": [f"text {row}" for row in range(NUM)], "label": ["a", "b"] * (NUM // 2)}
MOMENT = datetime.datetime(2024, 1, 1, 6)


def opened(folder: Path, cells: pa.Array, kind: str = "table") -> Table:
    parquet.write_table(pa.table({**LABELS, "x": cells}), folder / "metadata.parquet")
    return open_table(str(folder), TableOptions(columns=(f"facts:{kind}=x",)))


@pytest.mark.parametrize(
    ("cells", "reading"),
    [
        (pa.array([MOMENT] * NUM, pa.timestamp("ns", "UTC")), "dates (year, month, day), read as years since 2000"),
        (pa.array([MOMENT.date()] * NUM), "dates (year, month, day), read as years since 2000"),
        (pa.array([MOMENT.time()] * NUM), "times of day, read as hours"),
        (pa.array(["a", "b"] * 6).dictionary_encode(), "2 categories"),
        (pa.array(["a", "b"] * 6, pa.large_string()), "2 categories"),
        (pa.array(["a", "b"] * 6, pa.string_view()), "2 categories"),
        (pa.array(["ä", "b"] * 6, pa.binary()), "2 categories"),  # of Impala
        (pa.array([b"a", b"b"] * 6, pa.large_binary()), "2 categories"),
        (pa.array([Decimal("1.50"), Decimal(2)] * 6), "numbers"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_columns_of_types_of_programs_are_read(cells: pa.Array, reading: str, tmp_path: Path):
    table = opened(tmp_path, cells)
    assert table.readings["x"].startswith(f"{reading} (")
    assert table.there.all()


@pytest.mark.parametrize("form", [pa.binary_view(), pa.binary(4), pa.large_binary()])
def test_bytes_of_every_type_are_files(form: pa.DataType, tmp_path: Path):
    cells = pa.array([b"GIF8"] * NUM, form)
    parquet.write_table(pa.table({**LABELS, "image": cells}), tmp_path / "metadata.parquet")
    assert open_table(str(tmp_path)).readings["image"] == "files of images, in the table"


def test_dates_are_the_words_that_json_had(tmp_path: Path):
    rows = [{"text": f"text {row}", "label": f"2024-01-0{row % 2 + 1}"} for row in range(NUM)]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert open_table(str(tmp_path)).label_names == ("2024-01-01", "2024-01-02")
    cells = pa.chunked_array([pa.array([MOMENT, None], pa.timestamp("s"))])
    assert in_words(cells, "here").to_pylist() == ["2024-01-01 06:00:00", None]


def test_some_cells_are_of_all_of_a_column():
    assert some_cells(pa.chunked_array([[1, 2], [3]])) == [1, 2, 3]
    cells = some_cells(pa.chunked_array([list(range(2500)), list(range(2500, 5000))]))
    assert (len(cells), cells[0], cells[-1], cells[500]) == (1000, 0, 4999, 2502)  # 500 * 4999 / 999


@pytest.mark.parametrize(
    "cells", [[{"a": 1}] * NUM, [["a", "b"]] * NUM, [b"\0\1"] * NUM, [datetime.timedelta(1)] * NUM]
)
def test_what_is_neither_words_nor_numbers_is_refused_in_one_line(cells: list[object], tmp_path: Path):
    with pytest.raises(DataError, match=r"states 'facts:table=x', but cells of 'x' are .*; expected words or numbers"):
        opened(tmp_path, pa.array(cells))


def test_a_column_without_anything_is_empty(tmp_path: Path):
    table = opened(tmp_path, pa.nulls(NUM))
    assert table.readings["x"] == "texts; 12 empty"
    assert not table.there.any()


def test_an_empty_list_of_numbers_is_no_value(tmp_path: Path):
    table = opened(tmp_path, pa.array([[], *[[1.0]] * (NUM - 1)]), "numbers")
    with pytest.raises(ValueError, match="an empty list of numbers"):
        table.read(0, ("facts",))


def test_words_of_another_encoding_are_told(tmp_path: Path):
    words = pa.array([b"caf\xe9"] * NUM, pa.binary()).view(pa.string())
    with pytest.raises(DataError, match="column x, has words that are not in UTF-8; write the file anew in UTF-8"):
        opened(tmp_path, words)


def test_cells_of_mixed_types_are_words_without_quotes_of_json(tmp_path: Path):
    cells = [1, "a", None, True] * 3
    rows = [dict(zip(("text", "label", "x"), own, strict=True)) for own in zip(*LABELS.values(), cells, strict=True)]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = open_table(str(tmp_path), TableOptions(columns=("facts:table=x",)))
    assert table.readings["x"] == "3 categories (1, a, true); 3 empty"
