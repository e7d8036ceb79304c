"""What is in a data set: counts by hand, and every kind of damage by the names of samples."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fedprime.data.inspection import GivenAway, Inspection, inspect
from fedprime.data.sets.pairs import Pair, open_pairs
from fedprime.data.sets.table.options import TableOptions
from fedprime.data.sets.table.table import open_table
from miniatures import DISHES, table_rows, write_csv, write_photo

OPTIONS = TableOptions(columns=("image=file_name", "audio=audio", "facts=price+colour"))


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, object]]:
    return table_rows(tmp_path, 24)


def inspected(folder: Path, rows: list[dict[str, object]], options: TableOptions = OPTIONS) -> Inspection:
    write_csv(folder / "metadata.csv", rows)
    return inspect(open_table(str(folder), options))


def test_a_sound_table_has_its_counts_and_nothing_else(tmp_path: Path, rows: list[dict[str, object]]):
    write_csv(tmp_path / "metadata.csv", rows)
    found = inspect(open_table(str(tmp_path), OPTIONS))
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
    assert found.no_file == {"audio": ["none.wav"]}
    assert found.missing == {"image": ["none.wav"], "audio": ["none.wav"], "facts": ["none.wav"]}
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


# Images and texts that a reader lists


def listed_pairs(folder: Path, classes: str) -> list[Pair]:
    for number in range(6):
        write_photo(folder / f"{number}.png", number % 2, number)
    splits = ("train", "train", "train", "validation", "test", "test")
    return [
        Pair(split, str(number), f"{number}.png", "a text", (classes[number],)) for number, split in enumerate(splits)
    ]


def test_another_number_of_samples_than_expected_is_not_sound(tmp_path: Path):
    source = open_pairs("memes", tmp_path, listed_pairs(tmp_path, "ababab"), ("a", "b", "c"))
    found = inspect(source, 6)
    assert found.classes == {
        "a": {"train": 2, "validation": 0, "test": 1},
        "b": {"train": 1, "validation": 1, "test": 1},
        "c": {"train": 0, "validation": 0, "test": 0},
    }
    assert found.is_sound
    assert not inspect(source, 7).is_sound
    assert inspect(source).is_sound


def test_a_file_that_is_not_there_is_wrong_where_the_authors_gave_out_all(tmp_path: Path):
    pairs = listed_pairs(tmp_path, "ababab")
    (tmp_path / "0.png").unlink()
    source = open_pairs("memes", tmp_path, pairs, ("a", "b"))
    assert inspect(source).is_sound
    assert not inspect(source, 6).is_sound


def test_each_kind_of_damage_of_a_photo_is_told(tmp_path: Path):
    pairs = listed_pairs(tmp_path, "aaabab")
    pairs[3] = pairs[3]._replace(text=" ")
    (tmp_path / "0.png").unlink()
    (tmp_path / "1.png").write_bytes(b"")
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:100])
    (tmp_path / "3.png").write_text("no image")
    shutil.copy(tmp_path / "4.png", tmp_path / "5.png")
    found = inspect(open_pairs("memes", tmp_path, pairs, ("a", "b")))
    assert found.no_file == {"image": ["0.png", "1.png"]}
    assert list(found.unreadable["image"]) == ["2.png", "3.png"]
    assert "cannot read" in found.unreadable["image"]["3.png"]
    assert found.missing == {"image": ["0.png", "1.png"], "text": ["3.png"]}
    assert found.nothing == ["3.png"]
    assert found.same_file == []  # both are test samples
    assert found.only_measured == ["b"]
    assert not found.is_sound


class Tones:
    """Six samples of a data set that is no table; the sound of the fourth cannot be read, the last has nothing else."""

    modalities = ("audio", "text")
    task = "one_class"
    label_names = ("high", "low", "rare")
    labels = np.array([0, 1, 0, 1, 2, 0])
    sites = np.array([0, 0, 0, 1, 1, 1])
    there = np.array([[True, True], [True, True], [False, True], [True, True], [True, True], [True, False]])
    splits = {"train": np.arange(4), "validation": np.array([4]), "test": np.array([5])}  # noqa: RUF012

    def __len__(self) -> int:
        return 6

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        return {name: "value" for name in modalities if (index, name) not in ((3, "audio"), (5, "audio"))}


def test_a_data_set_that_is_no_table_is_read_sample_by_sample():
    found = inspect(Tones())
    assert found.samples == {"train": 4, "validation": 1, "test": 1}
    assert found.classes["high"] == {"train": 2, "validation": 0, "test": 1}
    assert found.sites == {"0": 3, "1": 3}
    assert found.missing == {"audio": ["2"], "text": ["5"]}
    assert found.unreadable == {"audio": {n: f"audio of sample {n} cannot be read" for n in ("3", "5")}}
    assert found.nothing == ["5"]
    assert found.only_measured == ["rare"]
    assert not found.is_sound


@pytest.mark.parametrize(
    ("cells", "is_told"),
    [
        ([row % 4 for row in range(40)], True),  # twice as fine as the labels
        (["ab"[row % 2] for row in range(40)], True),
        ([row % 3 for row in range(40)], False),
        (list(range(40)), False),  # another in each row tells nothing of others
        ([7] * 40, False),
        ([row % 4 for row in range(12)], False),  # so few rows may do so by chance
    ],
)
def test_a_column_is_told_where_each_of_few_values_has_one_label(cells: Sequence[object], is_told: bool):
    found = GivenAway()
    for row, cell in enumerate(cells):
        found.see({"size": row % 7, "code": cell}, row % 2)
    assert found.columns() == ["code"] * is_told
