"""Files of one form as rows, and files that are none: one clear line each."""

import csv
import errno
import os
from pathlib import Path
from random import Random

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet

from fedprime.data.sets.table.csv_format import CsvOptions
from fedprime.data.sets.table.files import open_parts
from fedprime.data.sets.table.parts import Part, open_files
from fedprime.data.sources import DataError


def test_files_of_one_form_are_rows_one_after_the_other(tmp_path: Path):
    files = [tmp_path / f"{number}.csv" for number in range(2)]
    for number, file in enumerate(files):
        file.write_text(f"text,label\na{number},007\n")
    part = open_files(files, "train", tmp_path, CsvOptions())
    assert part.column("text").to_pylist() == ["a0", "a1"]
    assert part.column("label").to_pylist() == ["007", "007"]
    assert part.column("absent").to_pylist() == [None, None]
    assert (len(part), part.split, part.class_names("label")) == (2, "train", None)


def test_two_columns_of_one_name_are_told_whatever_the_form(tmp_path: Path):
    rows = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    parquet.write_table(rows, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet has the column 'text' twice; rename one"):
        open_files([tmp_path / "a.parquet"], None, tmp_path, CsvOptions())


def test_cells_are_those_that_were_written_whatever_they_hold(tmp_path: Path):
    """Two parsers look at a file, one for its form and one for its cells; neither may see other rows than the other."""
    random = Random(0)
    signs = [
        "a",
        "b c",
        '"',
        ",",
        ";",
        "\n",
        "\r",
        "\r\n",
        "\t",
        "é",
        "1,5",
        "\\",
        "#",
        "\u2028",
        "\x0b",
        "NA",
        "日本",
        "|",
    ]
    for number in range(25):
        width, end, delimiter = random.randint(2, 4), random.choice(["\n", "\r\n", "\r"]), random.choice(",;\t|")
        rows = [["".join(random.choices(signs, k=3)) for _ in range(width)] for _ in range(5)]
        file = tmp_path / f"{number}.csv"
        with file.open("w", newline="", encoding=random.choice(["utf-8", "utf-8-sig", "utf-16"])) as opened:
            opened.write(random.choice(["", end, f"{delimiter * (width - 1)}{end}", f" {end}"]))
            writer = csv.writer(opened, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
            writer.writerows([[f"column {column}" for column in range(width)], *rows])
        part = open_files([file], None, tmp_path, CsvOptions())
        found = [part.column(f"column {column}").to_pylist() for column in range(width)]
        assert [list(row) for row in zip(*found, strict=True)] == rows, number


@pytest.mark.parametrize(
    ("before", "end"),
    [
        ("", "\r"),
        (",,", "\n"),
        ('"",,', "\r\n"),
        (" ", "\n"),
        ('"\n",,', "\n"),
        (",,\r\r,,", "\r"),
        ("sep=,\n\n,,", "\n"),
    ],
)
def test_no_row_is_lost_after_blank_ones(before: str, end: str, tmp_path: Path):
    lines = [before, "text,x,label", *(f"word {row},{row},a" for row in range(6))]
    (tmp_path / "rows.csv").write_bytes(end.join([*lines, ""]).encode())
    part = open_files([tmp_path / "rows.csv"], None, tmp_path, CsvOptions())
    assert part.column("x").to_pylist() == ["0", "1", "2", "3", "4", "5"]


def test_files_that_do_not_go_together_are_told(tmp_path: Path):
    one, two, other = tmp_path / "1.csv", tmp_path / "2.csv", tmp_path / "3.jsonl"
    one.write_text("text,label\na,b\n")
    two.write_text("text,class\na,b\n")
    other.write_text("{}")
    with pytest.raises(DataError, match=r"not all files have the columns and encoding of 1\.csv"):
        open_files([one, two], None, tmp_path, CsvOptions())
    with pytest.raises(DataError, match="is no table: expected a file that ends in"):
        open_files([one, other], None, tmp_path, CsvOptions())


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OSError("Not enough disk space. Needed: Unknown size")]
)
def test_a_full_disk_is_told_as_one(error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def is_full(*_: object, **__: object) -> None:
        raise error

    (tmp_path / "metadata.csv").write_text("text,label\na,b\n")
    monkeypatch.setattr(datasets, "load_dataset", is_full)
    with pytest.raises(DataError, match=r"cannot be opened: .*; rows are kept in fedprime's cache: make room there"):
        open_parts(str(tmp_path))


def test_a_column_of_chosen_rows_has_these_in_their_order(tmp_path: Path):
    rows = datasets.Dataset.from_dict({"text": list("abcd"), "label": [1, 2, 3, 4]})
    for chosen in (rows, rows.select([3, 1]), rows.shuffle(seed=0), rows.select(range(1, 3))):
        part = Part(chosen, None, tmp_path, "here")
        assert part.column("text").to_pylist() == chosen["text"][:]
        assert part.column("absent").to_pylist() == [None] * len(chosen)
