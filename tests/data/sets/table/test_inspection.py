"""What is in a table, and every kind of damage, by the names of samples."""

import shutil
from pathlib import Path

import pytest

from fedprime.data.sets.table.inspection import TableInspection, inspect_table
from fedprime.data.sets.table.table import TableOptions, open_table
from miniatures import DISHES, table_rows, write_csv

OPTIONS = TableOptions(columns=("image=file_name", "audio=audio", "facts=price+colour"))


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, object]]:
    return table_rows(tmp_path, 24)


def inspected(folder: Path, rows: list[dict[str, object]], options: TableOptions = OPTIONS) -> TableInspection:
    write_csv(folder / "metadata.csv", rows)
    return inspect_table(open_table(str(folder), options))


def test_a_sound_table_has_its_counts_and_nothing_else(tmp_path: Path, rows: list[dict[str, object]]):
    found = inspected(tmp_path, rows)
    assert found.is_sound
    assert found.samples == {"train": 18, "test": 6}
    assert found.classes == {dish: {"train": 6, "test": 2} for dish in DISHES}
    assert found.sites == {f"shop {number}": 6 for number in range(4)}


def test_holes_are_told_and_are_nothing_wrong(tmp_path: Path, rows: list[dict[str, object]]):
    rows[1]["file_name"] = ""
    rows[2] |= {"price": "", "colour": "nan"}
    found = inspected(tmp_path, rows)
    assert found.missing == {"image": ["sounds/1.wav"], "facts": ["photos/2.png"]}
    assert found.is_sound


def test_each_kind_of_damage_is_told_by_name(tmp_path: Path, rows: list[dict[str, object]]):
    (tmp_path / "photos" / "3.png").write_text("no photo")
    (tmp_path / "sounds" / "4.wav").write_text("no sound")
    shutil.copy(tmp_path / "photos" / "5.png", tmp_path / "photos" / "0.png")  # one for training, one for the test
    rows[6] |= {"file_name": "", "audio": "none.wav", "price": "", "colour": ""}
    rows[7]["label"] = ""
    rows[1]["label"] = "rare"  # in the test split alone
    found = inspected(tmp_path, rows)
    assert {modality: list(names) for modality, names in found.unreadable.items()} == {
        "image": ["photos/3.png"],
        "audio": ["photos/4.png"],
    }
    assert found.same_file == [["photos/0.png", "photos/5.png"]]
    assert found.nothing == ["none.wav"]
    assert found.no_label == 1
    assert found.only_measured == ["rare"]
    assert not found.is_sound


def test_several_labels_are_counted_each(tmp_path: Path, rows: list[dict[str, object]]):
    for number, row in enumerate(rows):
        row["label"] = "a|b" if number % 2 else "a"
    found = inspected(tmp_path, rows, TableOptions(columns=("text=title",), several_labels=True))
    assert found.classes == {"a": {"train": 18, "test": 6}, "b": {"train": 10, "test": 2}}
