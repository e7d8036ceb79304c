"""Hateful Memes: three files of lines, of which the last may have no labels."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from fedprime.data.sets.hateful_memes import open_hateful_memes
from fedprime.data.sources import DataError, SampleSource
from miniatures import write_hateful_memes


def test_memes_are_images_with_their_text_and_two_classes(tmp_path: Path):
    source = open_hateful_memes(write_hateful_memes(tmp_path))
    assert isinstance(source, SampleSource)
    assert source.label_names == ("not hateful", "hateful")
    assert {name: len(own) for name, own in source.splits.items()} == {"train": 24, "validation": 6, "test": 8}
    assert np.bincount(source.labels).tolist() == [19, 19]
    index = [source.name_of(number) for number in range(len(source))].index("img/00031.png")
    assert index in source.splits["test"]
    values = source.read(index, ("image", "text"))
    assert values["text"] == "raw beef with capers"
    assert values["image"].shape == (32, 40, 3)  # pyright: ignore[reportAttributeAccessIssue]


def test_without_labels_of_the_test_the_validation_samples_are_the_test(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        source = open_hateful_memes(write_hateful_memes(tmp_path, test_has_labels=False))
    assert {name: len(own) for name, own in source.splits.items()} == {"train": 24, "test": 6}
    assert caplog.messages == ["hateful_memes: the test samples have no labels; the validation samples are the test"]


def test_the_files_of_the_second_phase_are_read(tmp_path: Path):
    folder = write_hateful_memes(tmp_path)
    (folder / "dev.jsonl").rename(folder / "dev_seen.jsonl")
    (folder / "test.jsonl").rename(folder / "test_seen.jsonl")
    assert len(open_hateful_memes(folder)) == 38


def test_a_meme_in_two_splits_is_tested_on_and_not_trained_on(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = write_hateful_memes(tmp_path)
    first_test_line = (folder / "test.jsonl").read_text().splitlines()[0]
    with (folder / "train.jsonl").open("a") as file:
        file.write(first_test_line + "\n")
    with caplog.at_level(logging.WARNING):
        source = open_hateful_memes(folder)
    assert {name: len(own) for name, own in source.splits.items()} == {"train": 24, "validation": 6, "test": 8}
    assert "names 1 samples twice; each is used once, for test before training" in caplog.messages[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": 99, "img": "img/1.png", "label": 2}', r"train\.jsonl, line 25: label is 2, expected 0 .* or 1"),
        (
            '{"img": "img/1.png", "label": 1}',
            r"train\.jsonl, line 25: there is no id; expected id, img, text and label",
        ),
        ('{"id": 99, ', r"train\.jsonl cannot be read as JSON in line 25"),
        ("[1, 2]", r"train\.jsonl, line 25: found '\[1, 2\]', expected a JSON object"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str, tmp_path: Path):
    folder = write_hateful_memes(tmp_path)
    with (folder / "train.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=message):
        open_hateful_memes(folder)


def test_another_layout_is_told_what_is_expected(tmp_path: Path):
    folder = write_hateful_memes(tmp_path)
    (folder / "train.jsonl").unlink()
    with pytest.raises(DataError, match=r"is not Hateful Memes: found validation, test of train\.jsonl"):
        open_hateful_memes(folder)


def test_no_label_at_all_is_told(tmp_path: Path):
    folder = write_hateful_memes(tmp_path, test_has_labels=False)
    (folder / "dev.jsonl").write_text(json.dumps({"id": 500, "img": "img/00001.png", "text": "a"}) + "\n")
    with pytest.raises(DataError, match=r"dev\.jsonl and test\.jsonl of .* has no sample with a label; take a copy"):
        open_hateful_memes(folder)
