"""Text files beside images: what they hold, or in one line why they cannot be read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedprime.data.sets.annotations import find_folder, read_json, read_json_lines, read_rows
from fedprime.data.sources import DataError


def test_json_holds_an_object(tmp_path: Path):
    file = tmp_path / "a.json"
    file.write_text('{"dish": "crème"}', encoding="utf-8")
    assert read_json(file) == {"dish": "crème"}
    file.write_text("[1]")
    with pytest.raises(DataError, match=r"a\.json holds a list, expected a JSON object"):
        read_json(file)


def test_blank_lines_are_no_objects(tmp_path: Path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"id": 1}\n\n  \n{"id": 2}\n')
    assert list(read_json_lines(file)) == [{"id": 1}, {"id": 2}]


def test_cells_in_quotes_may_hold_commas(tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_text('a.jpg,"pie, warm",pie\n\n')
    assert read_rows(file, 3) == [["a.jpg", "pie, warm", "pie"]]
    file.write_text("a.jpg,pie\n")
    with pytest.raises(DataError, match=r"a\.csv, row 1: found 2 cells, expected 3: a\.jpg,pie"):
        read_rows(file, 3)


@pytest.mark.parametrize("read", [read_json, lambda path: list(read_json_lines(path)), lambda path: read_rows(path, 3)])
def test_another_encoding_and_a_missing_file_are_told(read: Callable[[Path], object], tmp_path: Path):
    file = tmp_path / "a"
    file.write_bytes("crème".encode("latin-1"))
    with pytest.raises(DataError, match=r"cannot be read as .* in UTF-8: .*; take another copy of it"):
        read(file)
    with pytest.raises(DataError, match="is not there; put it back, or name another folder with --data"):
        read(tmp_path / "b")


def test_a_folder_is_found_by_its_path(tmp_path: Path):
    assert find_folder(str(tmp_path), "food101") == tmp_path
