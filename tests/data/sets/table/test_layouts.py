"""Folders without a metadata file: shards, files of a split each, folders of classes."""

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fedprime.data.sets.table.files import open_parts
from fedprime.data.sets.table.table import open_table
from fedprime.data.sources import DataError


def sizes(folder: Path) -> dict[str, int]:
    return {split: len(own) for split, own in open_table(str(folder)).splits.items()}


def test_shards_of_the_hub_are_read(tmp_path: Path):
    (tmp_path / "data").mkdir()
    for name, texts in (("train-00000-of-00002", "ab"), ("train-00001-of-00002", "cde"), ("test-00000-of-00001", "fg")):
        rows = pa.table({"text": [f"word {text}" for text in texts], "label": ["xy"[i % 2] for i in range(len(texts))]})
        pq.write_table(rows, tmp_path / "data" / f"{name}.parquet")
    assert sizes(tmp_path) == {"train": 5, "test": 2}


def test_one_file_with_a_number_beside_folders_that_may_be_classes_is_asked_about(tmp_path: Path):
    (tmp_path / "2024.csv").write_text("text,label\nhello,a\nbye,b\n")
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        Image.new("RGB", (3, 3)).save(tmp_path / label / "0.png")
    with pytest.raises(
        DataError, match=r"has a table, 2024\.csv, and folders of files, such as cat, that may be classes"
    ):
        open_table(str(tmp_path))


def test_files_of_splits_that_are_numbered_are_not_the_parts_of_one(tmp_path: Path):
    for name in ("01_train", "02_test"):
        (tmp_path / f"{name}.csv").write_text("text,label\nhello,a\nbye,b\n")
    with pytest.raises(DataError, match=r"or name the file: --data\.path .*01_train\.csv"):
        open_table(str(tmp_path))


@pytest.mark.parametrize(("ending", "empty"), [("csv", "text\n"), ("csv", ""), ("json", "")])
def test_empty_parts_of_a_table_are_no_obstacle(ending: str, empty: str, tmp_path: Path):
    rows = {"csv": "text\nred\n", "json": '{"text": "red"}\n'}
    (tmp_path / f"part-00000.{ending}").write_text(empty)
    (tmp_path / f"part-00001.{ending}").write_text(rows[ending])
    (part,) = open_parts(str(tmp_path))
    assert part.column("text").to_pylist() == ["red"]


@pytest.mark.parametrize(("names", "is_told"), [(("2023", "2024"), True), (("part-0", "part-1"), False)])
def test_files_that_may_be_no_parts_of_one_table_are_told_to_be_joined(
    names: tuple[str, ...], is_told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    for name in names:
        (tmp_path / f"{name}.csv").write_text(f"text\n{name}\n")
    with caplog.at_level(logging.WARNING):
        (part,) = open_parts(str(tmp_path))
    assert part.column("text").to_pylist() == list(names)
    said = "2 files are joined to one table, such as 2023.csv and 2024.csv; if they are not its parts, name one file"
    assert (said in caplog.text) == is_told


def test_a_file_for_each_split_is_read(tmp_path: Path):
    for name in ("train", "val", "test"):
        (tmp_path / f"{name}.csv").write_text("text,label\nhello,a\nbye,b\n")
    assert sizes(tmp_path) == {"train": 2, "validation": 2, "test": 2}


def test_folders_of_classes_are_a_table(tmp_path: Path):
    for split, count in (("train", 4), ("test", 2)):
        for number in range(count):
            folder = tmp_path / split / ("cat", "dog")[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (3, 3)).save(folder / f"{number}.png")
    table = open_table(str(tmp_path))
    assert table.label_names == ("cat", "dog")
    assert sizes(tmp_path) == {"train": 4, "test": 2}
    assert table.name_of(0) == "train/cat/0.png"
    assert sizes(tmp_path / "train") == {"train": 4}


def write_classes(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 3)).save(folder / name, "PNG")


def test_what_systems_leave_in_folders_of_classes_is_none_of_them(tmp_path: Path):
    write_classes(tmp_path, "cat/0.png", "dog/1.png", ".ipynb_checkpoints/0.png", "__MACOSX/cat/0.png")
    write_classes(
        tmp_path, "cat/.ipynb_checkpoints/0.png", "dog/._1.png", "dog/Thumbs.db", ".DS_Store", "cat/desktop.ini"
    )
    table = open_table(str(tmp_path))
    assert (table.label_names, [table.name_of(row) for row in range(len(table))]) == (
        ("cat", "dog"),
        ["cat/0.png", "dog/1.png"],
    )


def test_what_is_not_used_of_folders_of_classes_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_classes(tmp_path, "cat/0.png", "cat/1.txt", "dog/1.jfif", "dog/2", "owl/0.doc")
    assert open_table(str(tmp_path)).label_names == ("cat", "dog")
    assert "left out: 1 .txt, 1 without an ending, 1 .doc" in caplog.text
    assert "folders of which no file is used: owl" in caplog.text


def test_folders_beside_those_of_splits_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_classes(
        tmp_path, *(f"{split}/{name}/0.png" for split in ("train", "test", "more") for name in ("cat", "dog"))
    )
    assert sizes(tmp_path) == {"train": 2, "test": 2}
    assert "folders of which no file is used: more" in caplog.text


def test_a_folder_is_a_class_whatever_it_is_called(tmp_path: Path):
    write_classes(tmp_path, "NA/0.png", "?/0.png", "cat/0.png")
    table = open_table(str(tmp_path))
    assert (table.label_names, table.num_unlabelled) == (("?", "NA", "cat"), 0)


def test_a_link_that_leads_nowhere_is_a_file_that_is_not_there(tmp_path: Path):
    write_classes(tmp_path, "cat/0.png", "dog/0.png")
    (tmp_path / "cat" / "1.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "dog" / "round").symlink_to(tmp_path / "dog")
    table = open_table(str(tmp_path))
    assert (len(table), table.holes) == (3, "image: 1 file not there")


def test_folders_of_classes_that_lie_deeper_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_classes(tmp_path, *(f"{fold}/{name}/0.png" for fold in ("fold1", "fold2") for name in ("cat", "dog")))
    assert open_table(str(tmp_path)).label_names == ("fold1", "fold2")
    assert (
        "fold1, fold2 are taken for classes, though all files lie in folders below them, such as cat; if" in caplog.text
    )


@pytest.mark.parametrize(
    "names",
    [
        ("part-00000-8f2c-c000.snappy.parquet", "part-00001-8f2c-c000.snappy.parquet"),
        ("part.0.parquet", "part.1.parquet"),
        ("data_0.parquet", "data_1.parquet"),
        ("00000000.parquet", "00000001.parquet"),
    ],
)
@pytest.mark.parametrize("folder", ["", "train"])
def test_the_parts_that_other_programs_write_are_one_table(names: tuple[str, ...], folder: str, tmp_path: Path):
    place = tmp_path / folder
    place.mkdir(exist_ok=True)
    for name in names:
        pq.write_table(pa.table({"text": ["hello", "bye"], "label": ["x", "y"]}), place / name)
    (place / "_SUCCESS").touch()
    (place / f".{names[0]}.crc").write_bytes(b"crc")
    assert sizes(tmp_path) == {"train": 4}


def test_a_column_that_nothing_reads_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    tags = pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64()))
    pq.write_table(pa.table({"text": ["hello", "bye"], "tags": tags, "label": ["x", "y"]}), tmp_path / "t.parquet")
    assert len(open_table(str(tmp_path / "t.parquet"))) == 2
    assert "left out, for nothing reads cells of their type: tags (map<string, int64" in caplog.text
