"""UPMC Food-101: both layouts give the same samples; what is wrong is said in one line."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from fedprime.data.sets.food101 import open_food101
from fedprime.data.sets.table.table import Table
from fedprime.data.sources import DataError, SampleSource
from miniatures import DISHES, write_food101, write_kaggle_food101, write_photo


def names_of(source: Table) -> list[str]:
    """What each sample is called by the name of its file, without folder and ending."""
    return [Path(source.name_of(index)).stem for index in range(len(source))]


def test_the_layout_of_the_research_code_is_read(tmp_path: Path):
    source = open_food101(write_food101(tmp_path), 3)
    assert isinstance(source, SampleSource)
    assert source.label_names == DISHES
    assert {name: len(own) for name, own in source.splits.items()} == {"train": 36, "validation": 9, "test": 12}
    assert np.bincount(source.labels[source.splits["test"]]).tolist() == [4, 4, 4]
    index = names_of(source).index("sushi_17")
    assert index in source.splits["test"]
    assert source.labels[index] == 2
    values = source.read(index, ("image", "text"))
    assert values["text"] == "rice and fish number 17"
    assert values["image"].shape == (32, 40, 3)  # pyright: ignore[reportAttributeAccessIssue]
    assert source.there.all()


@pytest.mark.parametrize("subfolder", ["texts", "."])
def test_the_layout_of_kaggle_holds_the_same_without_a_validation_split(subfolder: str, tmp_path: Path):
    research = open_food101(write_food101(tmp_path / "research"), 3)
    kaggle = open_food101(write_kaggle_food101(tmp_path / "kaggle", subfolder), 3)
    assert set(names_of(kaggle)) == set(names_of(research))
    assert {name: len(own) for name, own in kaggle.splits.items()} == {"train": 45, "test": 12}
    index = names_of(kaggle).index("sushi_17")
    assert kaggle.read(index, ("text",)) == {"text": "rice and fish number 17, a recipe"}
    assert kaggle.labels[index] == 2


def test_a_header_of_the_titles_is_no_sample(tmp_path: Path):
    folder = write_kaggle_food101(tmp_path, ".")
    titles = folder / "train_titles.csv"
    titles.write_text("image,title,label\n" + titles.read_text())
    assert len(open_food101(folder, 3)) == 57


def test_the_most_frequent_classes_are_used_with_one_label_map_for_all_splits(tmp_path: Path):
    counts = {"waffles": (3, 1, 1), "bibimbap": (6, 1, 1), "ramen": (1, 1, 3), "sushi": (2, 1, 4)}
    source = open_food101(write_food101(tmp_path, counts), 2)
    assert source.label_names == ("bibimbap", "sushi")  # 8 and 7 samples; by name
    assert len(source) == 15
    for index, name in enumerate(names_of(source)):
        assert source.label_names[source.labels[index]] == name.rpartition("_")[0]


def test_no_photo_is_opened_before_it_is_read(tmp_path: Path):
    folder = write_food101(tmp_path)
    for file in (folder / "images").rglob("*.jpg"):
        file.write_bytes(b"not a photo")
    source = open_food101(folder, 3)
    assert source.there.all()
    assert source.read(0, ("text",)) == {"text": "warm apple tart number 0"}


def test_a_sample_without_a_text_has_its_photo_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = write_food101(tmp_path)
    texts = json.loads((folder / "text.json").read_text())
    del texts["sushi_0.jpg"]
    texts["sushi_1.jpg"], texts["sushi_2.jpg"], texts["sushi_3.jpg"] = ["  \n"], [], "a text of its own"
    (folder / "text.json").write_text(json.dumps(texts))
    with caplog.at_level(logging.WARNING):
        source = open_food101(folder, 3)
    there = dict(zip(names_of(source), source.there.tolist(), strict=True))
    assert [name for name in there if not all(there[name])] == ["sushi_0", "sushi_1", "sushi_2"]
    assert there["sushi_0"] == [True, False]
    assert source.read(names_of(source).index("sushi_3"), ("text",)) == {"text": "a text of its own"}
    assert caplog.messages == ["food101: missing values of 57 rows: text: 3 empty"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("split.json", '{"train": [', r"split\.json cannot be read as JSON in UTF-8: .*; take another copy of it"),
        ("text.json", None, r"has no texts: expected text\.json, or train_titles\.csv and test_titles\.csv"),
        (
            "split.json",
            '{"train": ["sushi_0.jpg"], "exam": ["sushi_1.jpg"]}',
            r"has the splits train, exam; expected train, test and, if there is one, dev",
        ),
        (
            "split.json",
            '{"train": ["soup_0.jpg"], "test": ["sushi_1.jpg"]}',
            r"names 1 files of classes that class_idx\.json does not know, the first is soup_0\.jpg",
        ),
        ("split.json", None, r"is not UPMC Food-101: expected split\.json"),
        ("images", None, r"has no folder images; expected photos in images/train/CLASS"),
        (
            "split.json",
            '{"train": {"sushi": ["sushi_0.jpg"]}}',
            r"split\.json holds no list of ids for train, but dict; take another copy",
        ),
    ],
)
def test_a_folder_that_cannot_be_used_is_told_what_is_wrong(
    name: str, content: str | None, message: str, tmp_path: Path
):
    folder = write_food101(tmp_path)
    (folder / name).rename(tmp_path / "elsewhere")
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(DataError, match=message):
        open_food101(folder, 3)


def test_more_classes_than_there_are_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"has 3 classes, fewer than data\.num_classes 8; ask for fewer"):
        open_food101(write_food101(tmp_path), 8)


@pytest.mark.parametrize(
    ("path", "message"),
    [("", "food101 does not come along: name the folder"), ("nowhere", "nowhere is not there; expected the folder of")],
)
def test_a_folder_that_is_not_there_is_told(path: str, message: str):
    with pytest.raises(DataError, match=message):
        open_food101(path, 8)


def test_a_file_is_no_folder(tmp_path: Path):
    write_photo(tmp_path / "photo.jpg", 0)
    with pytest.raises(DataError, match=r"photo\.jpg is a file; expected the folder of food101"):
        open_food101(tmp_path / "photo.jpg", 8)
