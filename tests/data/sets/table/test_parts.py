"""Files of one form as rows, and files that are none: one clear line each."""

import errno
import os
from pathlib import Path

import datasets
import pytest

from fedprime.data.sets.table.csv_format import CsvOptions
from fedprime.data.sets.table.files import open_parts
from fedprime.data.sets.table.parts import open_files
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
