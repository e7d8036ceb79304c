"""Images in files and texts: what is missing is found out without opening images, or when they are opened."""

import logging
from pathlib import Path

import numpy as np
import pytest

from fedprime.data.images import file_identity
from fedprime.data.sets.pairs import Pairs
from miniatures import write_photo


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A good image, none, an empty one, a truncated one, a text."""
    files = [tmp_path / f"{name}.jpg" for name in ("good", "none", "empty", "truncated", "text")]
    for file in (files[0], files[3]):
        write_photo(file, 0)
    files[2].write_bytes(b"")
    files[3].write_bytes(files[3].read_bytes()[:-200])
    files[4].write_text("not an image")
    return files


def pairs(files: list[Path], texts: list[str | None] | None = None) -> Pairs:
    everything = np.arange(len(files))
    texts = texts or ["a text"] * len(files)
    names = [file.stem for file in files]
    return Pairs("memes", names, files, texts, everything % 2, ("a", "b"), {"train": everything})


def test_files_that_are_not_there_or_empty_are_missing_images(files: list[Path], caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        source = pairs(files)
    assert source.there.tolist() == [[True, True], [False, True], [False, True], [True, True], [True, True]]
    assert caplog.messages == [
        "memes: of 5 samples, 2 have no image (1 files are not there, 1 are empty) and 0 no text"
    ]


def test_a_folder_that_is_not_there_has_no_images(tmp_path: Path):
    assert pairs([tmp_path / "nowhere" / "a.jpg"]).there.tolist() == [[False, True]]


def test_blank_texts_are_missing(files: list[Path]):
    there = pairs(files, [" ", None, "", "\n\t", "word"]).there
    assert there[:, 1].tolist() == [False, False, False, False, True]


def test_white_space_in_texts_is_one_space(files: list[Path]):
    assert pairs(files, ["  two\n lines ", *["a"] * 4]).read(0, ("text",)) == {"text": "two lines"}


@pytest.mark.parametrize("index", [3, 4])
def test_an_image_that_cannot_be_decoded_is_left_out_and_told(
    index: int, files: list[Path], caplog: pytest.LogCaptureFixture
):
    source = pairs(files)
    caplog.clear()
    assert source.read(index, ("image", "text")) == {"text": "a text"}
    assert caplog.messages[0].startswith(f"memes: an image counts as missing: cannot read {files[index]} as an image")


def test_an_image_is_its_pixels(files: list[Path]):
    image = pairs(files).read(0, ("image",))["image"]
    assert isinstance(image, np.ndarray)
    assert image.shape == (32, 40, 3)
    assert abs(image.mean(axis=(0, 1)) - [200, 60, 40]).max() < 10


def test_when_nothing_is_missing_nothing_is_told(files: list[Path], caplog: pytest.LogCaptureFixture):
    pairs(files[:1])
    assert caplog.messages == []


def test_a_value_is_known_by_its_file_or_by_the_text_itself(files: list[Path]):
    source = pairs(files, ["one", "two", "one", None, " one "])
    assert [source.identity(index, "text") for index in range(5)] == ["one", "two", "one", "", "one"]
    assert source.identity(0, "image") == file_identity(files[0])
    assert source.identity(1, "image") is None
