"""Images in files and texts, listed by a reader: which of them are used, what is missing, what classes there are."""

import logging
from pathlib import Path

import numpy as np
import pytest

from fedprime.data.images import InputError
from fedprime.data.sets.pairs import Pair, open_pairs
from fedprime.data.sets.table.table import Table
from fedprime.data.sources import DataError
from miniatures import write_photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good image, an empty one, a truncated one, a text; none.jpg is not there."""
    for name in ("good", "truncated"):
        write_photo(tmp_path / f"{name}.jpg", 0)
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "truncated.jpg").write_bytes((tmp_path / "truncated.jpg").read_bytes()[:-200])
    (tmp_path / "text.jpg").write_text("not an image")
    return tmp_path


NAMES = ("good", "none", "empty", "truncated", "text")


def pairs(folder: Path, texts: tuple[str | None, ...] = ("a text",) * 5) -> Table:
    listed = [Pair("train", name, f"{name}.jpg", text, ("a",)) for name, text in zip(NAMES, texts, strict=True)]
    return open_pairs("memes", folder, listed, ("a", "b"))


def test_files_that_are_not_there_or_empty_are_missing_images(folder: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        source = pairs(folder)
    assert source.there.tolist() == [[True, True], [False, True], [False, True], [True, True], [True, True]]
    assert caplog.messages == ["memes: missing values of 5 rows: image: 1 file not there, 1 file of 0 bytes"]


def test_blank_texts_are_missing(folder: Path):
    assert pairs(folder, (" ", None, "", "\n\t", "word")).there[:, 1].tolist() == [False, False, False, False, True]


def test_white_space_in_texts_is_one_space_and_half_a_surrogate_pair_is_no_text(folder: Path):
    source = pairs(folder, ("  two\n lines ", "half \ud83c", "a", "a", "a"))
    assert [source.read(index, ("text",)) for index in (0, 1)] == [
        {"text": "two lines"},
        {"text": "half \N{REPLACEMENT CHARACTER}"},
    ]


@pytest.mark.parametrize("index", [3, 4])
def test_an_image_that_cannot_be_decoded_is_named(index: int, folder: Path):
    with pytest.raises(InputError, match=f"cannot read {folder / NAMES[index]}.jpg as an image"):
        pairs(folder).read(index, ("image", "text"))
    assert pairs(folder).read(index, ("text",)) == {"text": "a text"}


def test_an_image_is_its_pixels(folder: Path):
    image = pairs(folder).read(0, ("image",))["image"]
    assert isinstance(image, np.ndarray)
    assert image.shape == (32, 40, 3)
    assert abs(image.mean(axis=(0, 1)) - [200, 60, 40]).max() < 10


def test_of_samples_that_are_called_alike_one_is_used_for_the_test_before_training(folder: Path):
    listed = [
        Pair("train", "1", "first.jpg", "", ("a",)),
        Pair("train", "1", "second.jpg", "", ("b",)),
        Pair("test", "2", "of the test.jpg", "", ("b",)),
        Pair("train", "2", "of training.jpg", "", ("a",)),
    ]
    source = open_pairs("memes", folder, listed, ("a", "b"))
    assert [source.name_of(index) for index in range(len(source))] == ["first.jpg", "of the test.jpg"]
    assert {split: own.tolist() for split, own in source.splits.items()} == {"train": [0], "test": [1]}
    assert source.labels.tolist() == [0, 1]


def test_the_most_frequent_classes_are_used_by_name(folder: Path):
    classes = ("soup", "pie", "soup", "rice", "pie", "cake", "cake")
    listed = [Pair("train", str(number), "", "a", (label,)) for number, label in enumerate(classes)]
    source = open_pairs("memes", folder, listed, num_classes=2)
    assert source.label_names == ("cake", "pie")
    assert source.labels.tolist() == [1, 1, 0, 0]
    with pytest.raises(DataError, match=r"has 4 classes, fewer than data\.num_classes 5; ask for fewer"):
        open_pairs("memes", folder, listed, num_classes=5)


def test_any_number_of_labels_may_apply(folder: Path):
    listed = [Pair("train", "1", "", "a", ("b",)), Pair("train", "2", "", "a", ("a", "b"))]
    source = open_pairs("memes", folder, listed, ("a", "b"), several_labels=True)
    assert source.task == "several_labels"
    assert source.labels.tolist() == [[0, 1], [1, 1]]
