"""Where a table's rows come from, and files that are not what they should be: one clear line each."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from fedprime.data.sets.table.files import open_parts
from fedprime.data.sources import DataError
from miniatures import write_csv

ROWS = [{"file_name": "a.png", "label": "007"}, {"file_name": "", "label": "x, y"}]


def columns_of(path: Path) -> list[dict[str, list[object]]]:
    return [{name: part.column(name).to_pylist() for name in part.rows.column_names} for part in open_parts(str(path))]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_folder_with_one_metadata_file_is_a_table(ending: str, tmp_path: Path):
    file = tmp_path / f"metadata.{ending}"
    if ending == "csv":
        write_csv(file, ROWS)
    elif ending == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        datasets.Dataset.from_list([dict(row) for row in ROWS]).to_parquet(file)
    expected = [{"file_name": ["a.png", ""], "label": ["007", "x, y"]}]
    assert columns_of(tmp_path) == expected
    assert columns_of(file) == expected
    (part,) = open_parts(str(tmp_path))
    assert (part.split, part.folder) == (None, tmp_path)


def test_a_file_that_was_changed_is_read_anew(tmp_path: Path):
    file = write_csv(tmp_path / "metadata.csv", ROWS)
    assert len(open_parts(str(file))[0]) == 2
    write_csv(file, ROWS * 2)
    assert len(open_parts(str(file))[0]) == 4


def test_a_folder_for_each_split_is_a_table_in_parts(tmp_path: Path):
    for name, rows in (("train", ROWS), ("dev", ROWS[:1]), ("test", ROWS[1:])):
        write_csv(tmp_path / name / "metadata.csv", rows)
    parts = open_parts(str(tmp_path))
    assert [(part.split, len(part), part.folder.name) for part in parts] == [
        ("train", 2, "train"),
        ("validation", 1, "dev"),
        ("test", 1, "test"),
    ]


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_what_the_folders_of_partitions_say_are_columns(ending: str, tmp_path: Path):
    for number, folder in enumerate(
        ("year=2024/label=a%2Fb", "year=2024/label=c", "year=__HIVE_DEFAULT_PARTITION__/label=c")
    ):
        (tmp_path / folder).mkdir(parents=True)
        rows = datasets.Dataset.from_list([{"text": f"word {number}"}])
        getattr(rows, f"to_{ending}")(tmp_path / folder / f"part-0.{ending}")
    (tmp_path / "_SUCCESS").touch()
    assert columns_of(tmp_path) == [
        {"text": ["word 0"], "year": ["2024"], "label": ["a/b"]},
        {"text": ["word 1"], "year": ["2024"], "label": ["c"]},
        {"text": ["word 2"], "year": [None], "label": ["c"]},
    ]


@pytest.mark.parametrize("name", ["sales.xlsx", "flights.arrow", "survey.SAV", "a.csv.gz", "own.db"])
def test_a_folder_with_a_table_of_another_form_says_so(name: str, tmp_path: Path):
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=f"it has {name}, of a form that is not read: save its table as metadata.csv"):
        open_parts(str(tmp_path))


@pytest.mark.parametrize("between", ["", ",,\n,,\n"])
def test_a_title_above_the_names_of_columns_is_told_and_left_out(
    between: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    rows = "".join(f"{row},words {row},{row % 2}\n" for row in range(9))
    (tmp_path / "metadata.csv").write_text(f"Survey of 2024,,\n{between}size,text,label\n{rows},,\n")
    (part,) = open_parts(str(tmp_path))
    assert part.rows.column_names == ["size", "text", "label"]
    assert part.column("size").to_pylist()[:9] == [str(row) for row in range(9)]
    assert "'Survey of 2024' is above the names of columns, and taken for a title" in caplog.text


@pytest.mark.parametrize("first", ["red,3,1", "red,,"])
def test_the_only_name_above_values_is_no_title(first: str, tmp_path: Path):
    (tmp_path / "metadata.csv").write_text(f"colour,,\n{first}\nblue,4,0\n")
    (part,) = open_parts(str(tmp_path))
    assert part.column("colour").to_pylist() == ["red", "blue"]


def test_blank_rows_before_the_header_are_none(tmp_path: Path):
    (tmp_path / "metadata.csv").write_text('\ufeff\n,,\n"",,\n\ntext,x,label\nred,1,a\n', encoding="utf-8")
    assert columns_of(tmp_path) == [{"text": ["red"], "x": ["1"], "label": ["a"]}]


def test_shards_whose_columns_are_of_different_types_lose_nothing(tmp_path: Path):
    for number, cell in enumerate((1, 2.5, "007")):
        datasets.Dataset.from_list([{"x": cell}]).to_parquet(tmp_path / f"part-{number}.parquet")
    assert columns_of(tmp_path) == [{"x": [1]}, {"x": [2.5]}, {"x": ["007"]}]


def test_a_name_with_signs_of_patterns_is_a_name(tmp_path: Path):
    write_csv(tmp_path / "we[i]rd *folder?" / "metadata.csv", ROWS)
    assert len(open_parts(str(tmp_path / "we[i]rd *folder?"))[0]) == 2


def test_what_the_library_saved_is_a_table_whose_images_are_not_decoded(tmp_path: Path):
    image = Image.fromarray(np.zeros((3, 4, 3), dtype=np.uint8))
    rows = datasets.Dataset.from_list([{"image": image, "label": 0}]).cast_column("image", datasets.Image())
    datasets.DatasetDict({"train": rows, "validation": rows}).save_to_disk(tmp_path / "saved")
    train, validation = open_parts(str(tmp_path / "saved"))
    assert (train.split, validation.split) == ("train", "validation")
    (cell,) = train.column("image").to_pylist()
    assert cell["bytes"].startswith(b"\x89PNG")


def test_a_column_that_a_part_lacks_is_empty_there(tmp_path: Path):
    write_csv(tmp_path / "train" / "metadata.csv", ROWS)
    write_csv(tmp_path / "test" / "metadata.csv", [{"file_name": "b.png"}])
    assert open_parts(str(tmp_path))[1].column("label").to_pylist() == [None]


def test_the_one_table_of_a_folder_may_have_any_name(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_csv(tmp_path / "reports 2024.csv", ROWS)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()  # one folder of files is no folder of classes
    (part,) = open_parts(str(tmp_path))
    assert (len(part), part.split, part.folder) == (2, None, tmp_path)
    assert "has no metadata file; its one table, reports 2024.csv, is taken" in caplog.text


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "is no table: expected metadata.csv, metadata.jsonl or metadata.parquet with a row for each sample$"),
        (
            {"a.csv": b"a,b\n", "photos.csv": b"a,b\n"},
            r"is no table: .*; or name the file: --data.path .*a\.csv",
        ),
        (
            {"cats/1.png": b"", "dogs/2.png": b"", "new.csv": b"a,b\n"},
            r"has a table, new\.csv, and folders of files, such as cats, that may be classes; name the table, --data",
        ),
        ({"metadata.csv": b"a\n1\n", "metadata.jsonl": b"{}"}, r"has metadata\.csv and metadata\.jsonl; keep one"),
        ({"metadata.csv": b""}, "is empty; expected a header"),
        ({"metadata.jsonl": b""}, "is empty; expected a row for each sample"),
        ({"metadata.csv": b"a,b\n1,2,3\n"}, "line 2: 3 cells under 2 columns; put texts with commas into quotes"),
        ({"metadata.csv": b"a,a\n1,2\n"}, "has the column 'a' twice; rename one"),
        ({"metadata.csv": b'a,b\n1,"2\n'}, "cannot be read as CSV: unexpected end of data"),
        ({"metadata.jsonl": b'{"a": 1}\n{"a": \n'}, r"metadata\.jsonl, line 2, is no row: Expecting value, letter 6"),
        ({"metadata.jsonl": b'{"a": 1},\n{"a": 2},\n'}, "line 1, is no row: Extra data, letter 9; expected an object"),
        ({"metadata.json": b"[]"}, "has no rows; expected one for each sample"),
        ({"metadata.json": b'{"a": {"0": 1}, "b": {"0": 2}}'}, "has one object for all rows; write an object for each"),
        ({"metadata.json": b'{"data": [{"a": 1}], "version": 1}'}, "has one object for all rows"),
        ({"metadata.jsonl": b"\x1f\x8b\x08\0"}, "is no JSON file but compressed; unpack it"),
        ({"metadata.parquet": b"<html>404"}, "is no PARQUET file but a page of the web"),
        ({"_delta_log/0.json": b"{}", "part-0.parquet": b""}, "is a table of Delta, whose log says which of its files"),
        ({".hoodie/0.json": b"{}", "part-0.parquet": b""}, "is a table of Hudi, whose log says which of its files"),
        (
            {"own.csv": b"a\n1\n", "b=a/part-0.csv": b"a\n1\n"},
            "has a table, own.csv, and folders of partitions; name it",
        ),
        ({"label=a/part-0.csv": b"a,label\n1,b\n"}, "has b in the column label, and its folder says a; leave out one"),
        ({"metadata.parquet": b"no parquet"}, "cannot be read as a PARQUET file"),
        ({"state.json": b"{}"}, "cannot be read as a data set that save_to_disk wrote"),
    ],
)
def test_a_folder_that_is_no_table_gives_one_clear_line(files: Mapping[str, bytes], problem: str, tmp_path: Path):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=problem) as caught:
        open_parts(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_no_path_a_path_to_nothing_and_a_file_of_another_kind_are_told(tmp_path: Path):
    (tmp_path / "rows.xlsx").touch()
    with pytest.raises(DataError, match="name its folder, --data"):
        open_parts("")
    with pytest.raises(DataError, match=r"/nowhere/at/all is not there; expected a table"):
        open_parts("/nowhere/at/all")
    with pytest.raises(DataError, match=r"expected a file that ends in \.csv, \.tsv, \.jsonl"):
        open_parts(str(tmp_path / "rows.xlsx"))


def test_offline_a_name_of_the_hub_gives_one_clear_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="there is no file or folder nobody/nothing here; looked for on the hub: "):
        open_parts("nobody/nothing")


def test_a_column_of_partitions_may_stand_in_their_files_too(tmp_path: Path):
    for name, row in (("2", "a"), ("3", "b")):
        write_csv(tmp_path / f"size={name}" / "0.csv", [{"text": row, "size": name}])
    parts = open_parts(str(tmp_path))
    assert [part.column("size").to_pylist() for part in parts] == [["2"], ["3"]]


def test_yes_and_no_of_partitions_are_written_in_two_ways(tmp_path: Path):
    for name in (True, False):
        place = tmp_path / f"fresh={str(name).lower()}"
        place.mkdir()
        datasets.Dataset.from_list([{"text": "a", "fresh": name}]).to_parquet(place / "0.parquet")
    assert [part.column("fresh").to_pylist() for part in open_parts(str(tmp_path))] == [[False], [True]]


def test_splits_of_other_names_are_told_to_be_unused(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    rows = datasets.Dataset.from_dict({"text": ["a"]})
    datasets.DatasetDict({"train": rows, "unsupervised": rows}).save_to_disk(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert [part.split for part in open_parts(str(tmp_path))] == ["train"]
    assert "neither train, validation nor test are not used: unsupervised" in caplog.text


@pytest.mark.parametrize("ending", [".csv", "/metadata.csv"])
def test_tables_beside_those_of_splits_are_told_to_be_unused(
    ending: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    for name in ("train", "sample", "test"):
        write_csv(tmp_path / f"{name}{ending}", [{"text": "a"}])
    with caplog.at_level(logging.WARNING):
        assert [part.split for part in open_parts(str(tmp_path))] == ["train", "test"]
    (said,) = caplog.messages
    assert said.endswith(f"tables that are neither train, validation nor test are not used: sample{ending}")


def test_two_folders_that_mean_one_split_are_refused(tmp_path: Path):
    for name in ("train", "dev", "val"):
        write_csv(tmp_path / name / "metadata.csv", [{"text": "a"}])
    with pytest.raises(DataError, match="has dev and val, which both mean validation; leave out or rename one"):
        open_parts(str(tmp_path))
