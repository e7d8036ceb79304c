"""What is in a data set: counts by hand, and every kind of damage."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from fedprime.data.inspection import inspect
from fedprime.data.sets.pairs import Pairs
from miniatures import write_photo


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{number}.png" for number in range(6)]
    for number, file in enumerate(files):
        write_photo(file, number % 2, number)
    return files


def pairs(files: list[Path], texts: list[str] | None = None, labels: np.ndarray | None = None) -> Pairs:
    splits = {"train": np.array([0, 1, 2]), "validation": np.array([3]), "test": np.array([4, 5])}
    labels = np.array([0, 1, 0, 1, 0, 1]) if labels is None else labels
    task = "one_class" if labels.ndim == 1 else "several_labels"
    names = [file.stem for file in files]
    return Pairs("memes", names, files, texts or ["a text"] * 6, labels, ("a", "b"), splits, task)


def test_a_sound_data_set_has_its_counts_and_nothing_else(files: list[Path]):
    opened: list[int] = []
    found = inspect(pairs(files), 6, opened.append)
    assert found.is_sound
    assert found.samples == {"train": 3, "validation": 1, "test": 2}
    assert found.classes == {
        "a": {"train": 2, "validation": 0, "test": 1},
        "b": {"train": 1, "validation": 1, "test": 1},
    }
    assert opened == [1, 2, 3, 4, 5, 6]


def test_another_number_of_samples_than_expected_is_not_sound(files: list[Path]):
    assert not inspect(pairs(files), 7).is_sound
    assert inspect(pairs(files)).is_sound


def test_each_kind_of_damage_is_told_by_id(files: list[Path]):
    files[0].unlink()
    files[1].write_bytes(b"")
    files[2].write_bytes(files[2].read_bytes()[:100])
    files[3].write_text("no image")
    shutil.copy(files[4], files[5])
    found = inspect(pairs(files, ["a", "a", "a", "", "a", "a"]))
    assert found.no_file == ["0", "1"]
    assert list(found.unreadable) == ["2", "3"]
    assert "cannot read" in found.unreadable["3"]
    assert found.no_text == found.nothing == ["3"]
    assert found.same_image == []  # both are test samples
    assert not found.is_sound


def test_equal_images_of_different_splits_are_told(files: list[Path]):
    shutil.copy(files[0], files[5])
    assert inspect(pairs(files)).same_image == [["0", "5"]]


def test_a_class_without_a_training_sample_is_told(files: list[Path]):
    found = inspect(pairs(files, labels=np.array([0, 0, 0, 1, 0, 1])))
    assert found.only_measured == ["b"]


def test_several_labels_are_counted_each(files: list[Path]):
    labels = np.array([[1, 1], [0, 1], [0, 0], [1, 0], [0, 0], [1, 1]], dtype=np.float32)
    found = inspect(pairs(files, labels=labels))
    assert found.classes == {
        "a": {"train": 1, "validation": 1, "test": 1},
        "b": {"train": 2, "validation": 0, "test": 1},
    }
