"""Labels of a table: classes, lists, words with signs between them, a column for each."""

from pathlib import Path

import datasets
import numpy as np
import pytest

from fedprime.data.sets.table.files import open_parts
from fedprime.data.sets.table.labels import Labels, read_labels
from fedprime.data.sets.table.parts import Part
from fedprime.data.sources import DataError
from miniatures import write_csv


def csv_parts(folder: Path, **columns: list[str]) -> list[Part]:
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return open_parts(str(write_csv(folder / "metadata.csv", rows)))


def saved_parts(folder: Path, rows: datasets.Dataset) -> list[Part]:
    rows.save_to_disk(folder / "saved")
    return open_parts(str(folder / "saved"))


def read(parts: list[Part], *stated: str, several_labels: bool = False) -> Labels:
    return read_labels(stated, parts, several_labels=several_labels)


def test_classes_are_sorted_by_name_and_a_hole_is_not_known(tmp_path: Path):
    labels = read(csv_parts(tmp_path, label=["soup", " cake", "", "soup", "nan"]))
    assert (labels.task, labels.columns, labels.names) == ("one_class", ("label",), ("cake", "soup"))
    assert labels.values.tolist() == [1, 0, 0, 1, 0]
    assert labels.known.tolist() == [True, True, False, True, False]


def test_classes_that_are_numbers_are_sorted_by_size(tmp_path: Path):
    assert read(csv_parts(tmp_path, target=["10", "9", "-1"])).names == ("-1", "9", "10")


def test_named_classes_whole_numbers_and_truth_are_classes(tmp_path: Path):
    rows = datasets.Dataset.from_dict({"label": [1, 0, 1], "grade": [2.0, None, 1.0], "good": [True, False, None]})
    parts = saved_parts(tmp_path, rows.cast_column("label", datasets.ClassLabel(names=["soup", "cake"])))
    assert read(parts).names == ("cake", "soup")
    assert read(parts, "grade").names == ("1", "2")
    assert read(parts, "grade").known.tolist() == [True, False, True]
    assert read(parts, "good").names == ("False", "True")


@pytest.mark.parametrize("sign", ["|", ";", ","])
def test_several_labels_stand_with_a_sign_between_them(sign: str, tmp_path: Path):
    labels = read(csv_parts(tmp_path, label=[f"red{sign} round", "red", ""]), several_labels=True)
    assert (labels.task, labels.names) == ("several_labels", ("red", "round"))
    assert labels.values.tolist() == [[1, 1], [1, 0], [0, 0]]
    assert labels.known.tolist() == [True, True, False]


def test_several_labels_of_which_no_row_has_any_two_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    read(csv_parts(tmp_path, label=["red warm", "red/round", "red"]), several_labels=True)
    assert (
        "no row has several labels in the column label; they are lists, or have |, ; or , between them" in caplog.text
    )


def test_several_labels_stand_in_a_list_which_may_be_empty(tmp_path: Path):
    parts = saved_parts(tmp_path, datasets.Dataset.from_dict({"tags": [["b", "a"], [], None]}))
    labels = read(parts, "tags", several_labels=True)
    assert labels.names == ("a", "b")
    assert labels.values.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert labels.known.tolist() == [True, True, False]


def test_each_label_can_have_a_column_of_its_own(tmp_path: Path):
    labels = read(csv_parts(tmp_path, hot=["1", "0", "", ""], wet=["yes", "", "No", ""]), "hot", "wet")
    assert (labels.task, labels.names) == ("several_labels", ("hot", "wet"))
    assert labels.values.tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]
    assert labels.values.dtype == np.float32
    assert labels.known.tolist() == [True, True, True, False]


def test_labels_that_cannot_be_are_told(tmp_path: Path):
    parts = csv_parts(
        tmp_path,
        text=[f"text {number}" for number in range(30)],
        same=["a"] * 30,
        empty=[""] * 30,
        odd=["maybe"] * 30,
    )
    for stated, problem in (
        ((), r"has no column label or labels or class, but text, same, empty, odd; name the one with the classes"),
        (("txet",), r"has no column 'txet' \(data.label\); .*did you mean text\?"),
        (("same",), "has only one class, a, in the column same; there is nothing to learn"),
        (("empty",), "has no class at all, in the column empty"),
        (("text",), "has 30 different values in 30 rows of the column text; expected classes that rows share"),
        (("same", "odd"), "has 'a' in the column same; of several columns of labels each has 1 or 0"),
    ):
        with pytest.raises(DataError, match=problem):
            read(parts, *stated)
    with pytest.raises(DataError, match="has no label at all in the column empty"):
        read(parts, "empty", several_labels=True)


def test_words_that_several_cells_share_ask_whether_several_labels_are_meant(tmp_path: Path):
    parts = csv_parts(tmp_path, genres=["Action|Drama", "Drama|War", "Comedy|War", "Action|War"])
    with pytest.raises(DataError, match=r"'Action\|Drama' in the column genres: are several labels meant\?"):
        read(parts, "genres")
    classes = ("Action|Drama", "Drama|War", "Comedy|War", "Action|War")
    assert read_labels(("genres",), parts, several_labels=False, classes=classes).names == classes
    assert read(csv_parts(tmp_path, label=["rock|roll", "jazz"])).names == ("jazz", "rock|roll")


def test_classes_in_brackets_are_classes_once_they_are_named(tmp_path: Path):
    parts = csv_parts(tmp_path, label=["[deleted]", "kept", "kept"])
    with pytest.raises(DataError, match=r"'\[deleted\]' in the column label: .* name all of them by --data.classes"):
        read(parts)
    labels = read_labels((), parts, several_labels=False, classes=("kept", "[deleted]"))
    assert (labels.names, labels.values.tolist()) == (("kept", "[deleted]"), [1, 0, 0])


@pytest.mark.parametrize("cells", [["red;warm", "blue", "warm;blue"], ["red, warm", "blue", "warm, blue", "red"]])
def test_labels_with_any_sign_between_them_are_asked_about(cells: list[str], tmp_path: Path):
    with pytest.raises(DataError, match="are several labels meant"):
        read(csv_parts(tmp_path, label=cells))


def test_a_class_may_have_a_comma_in_its_name(tmp_path: Path):
    names = ("Shoes, Men", "Shoes, Women", "Toys")
    assert read(csv_parts(tmp_path, label=list(names))).names == names


@pytest.mark.parametrize(
    "cells", [[{"name": "a"}, {"name": "b"}], [b"\xffa", b"\xffb"], [[{"name": "a"}], [{"name": "b"}]]]
)
def test_objects_and_bytes_are_no_classes(cells: list[object], tmp_path: Path):
    with pytest.raises(DataError, match="in the column label; expected classes or lists of labels"):
        read(saved_parts(tmp_path, datasets.Dataset.from_dict({"label": cells})))
    with pytest.raises(DataError, match=r"has the object .* in the column label"):
        read(csv_parts(tmp_path, label=['{"red": 1}', '{"red": 0}']))


def test_a_column_with_a_space_in_its_name_is_shown_with_it(tmp_path: Path):
    with pytest.raises(DataError, match=r"it has 'Kategorie ', text; did you mean 'Kategorie '\?"):
        read(saved_parts(tmp_path, datasets.Dataset.from_dict({"Kategorie ": ["a"], "text": ["c"]})), "Kategorie")


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["+", "-", "+"], ("+", "-")),
        (["1,0", "2,00", "1"], ("1", "2")),
        (["a", "\ufeffa", "b\u200b"], ("a", "b")),
        (["x", "#N/A", "y", "?", "-"], ("x", "y")),
        (["1", "1.0", "01"], ("1", "01")),
        (["caf\u00e9", "cafe\u0301", "tea"], ("caf\u00e9", "tea")),
        (["\x1b[31mred", "light\r\nblue", "light blue"], ("[31mred", "light blue")),
    ],
)
def test_what_nobody_meant_is_no_class(cells: list[str], names: tuple[str, ...], tmp_path: Path):
    assert set(read(csv_parts(tmp_path, label=cells * 3)).names) == set(names)


def test_what_is_taken_for_a_hole_is_said_where_one_class_is_left(tmp_path: Path):
    with pytest.raises(DataError, match=r"only one class, EU, in the column label \(taken for empty: NA\); there is"):
        read(csv_parts(tmp_path, label=["NA", "EU"]))


@pytest.mark.parametrize("cell", ["{'red', 'blue'}", "array(['red', 'blue'], dtype='<U4')"])
def test_labels_as_programs_show_several_are_asked_about(cell: str, tmp_path: Path):
    parts = csv_parts(tmp_path, label=[cell, "red"])
    with pytest.raises(DataError, match="are several labels meant"):
        read(parts)
    assert read(parts, several_labels=True).names == ("blue", "red")
