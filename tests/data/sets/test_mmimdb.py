"""MM-IMDb: genres as several labels or as one class, with one label map for all splits."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from fedprime.data.sets.mmimdb import GENRES, open_mmimdb
from fedprime.data.sets.table.table import Table
from fedprime.data.sources import DataError, SampleSource
from miniatures import write_mmimdb


def names_of(source: Table) -> list[str]:
    """What each sample is called by the name of its file, without folder and ending."""
    return [Path(source.name_of(index)).stem for index in range(len(source))]


def test_with_several_labels_every_film_has_all_its_genres_of_the_literature(tmp_path: Path):
    source = open_mmimdb(write_mmimdb(tmp_path), 8, several_labels=True)
    assert isinstance(source, SampleSource)
    assert source.task == "several_labels"
    assert len(source.label_names) == 23
    assert {name: len(own) for name, own in source.splits.items()} == {"train": 30, "validation": 10, "test": 5}
    by_film = {
        film: [GENRES[label] for label in np.flatnonzero(source.labels[i])] for i, film in enumerate(names_of(source))
    }
    assert by_film["0000003"] == ["Drama", "War"]
    assert by_film["0000004"] == ["Comedy"]  # news is no genre of the literature


def test_of_several_plots_the_longest_is_the_text(tmp_path: Path):
    source = open_mmimdb(write_mmimdb(tmp_path), 8, several_labels=True)
    values = source.read(names_of(source).index("0000001"), ("text", "image"))
    assert values["text"] == "A long story of raw beef with capers."
    assert values["image"].shape == (32, 40, 3)  # pyright: ignore[reportAttributeAccessIssue]


def test_with_one_class_films_of_a_single_frequent_genre_are_used(tmp_path: Path):
    genres = {f"d{i}": ["Drama"] for i in range(10)} | {f"w{i}": ["Western"] for i in range(6)}
    genres |= {f"c{i}": ["Comedy", "Talk-Show"] for i in range(8)} | {f"x{i}": ["Drama", "War"] for i in range(20)}
    source = open_mmimdb(write_mmimdb(tmp_path, genres), 2, several_labels=False)
    assert source.task == "one_class"
    assert source.label_names == ("Comedy", "Drama")
    assert {film[0] for film in names_of(source)} == {"d", "c"}
    assert len(source) == 18
    for index, film in enumerate(names_of(source)):
        assert source.label_names[source.labels[index]][0].lower() == film[0]


def test_posters_and_annotations_may_lie_in_folders_of_their_own(tmp_path: Path):
    folder = write_mmimdb(tmp_path)
    (folder / "dataset").rename(folder / "images")
    (folder / "labels").mkdir()
    for file in (folder / "images").glob("*.json"):
        file.rename(folder / "labels" / file.name)
    source = open_mmimdb(folder, 8, several_labels=True)
    assert len(source) == 45
    assert source.there.all()


def test_films_without_annotation_or_genre_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    genres = {f"{i:03d}": ["Drama"] if i % 2 else ["Comedy"] for i in range(20)} | {"020": ["Adult"], "021": []}
    folder = write_mmimdb(tmp_path, genres)
    (folder / "dataset" / "003.json").unlink()
    (folder / "dataset" / "004.jpeg").unlink()
    with caplog.at_level(logging.WARNING):
        source = open_mmimdb(folder, 2, several_labels=False)
    assert len(source) == 19
    assert source.there[names_of(source).index("004")].tolist() == [False, True]
    assert "mmimdb: 3 of 22 films are left out: 1 without a file in" in caplog.messages[0]
    assert "missing values of 19 rows: image: 1 file not there" in caplog.messages[1]


def test_another_layout_is_told_what_is_expected(tmp_path: Path):
    folder = write_mmimdb(tmp_path)
    (folder / "dataset").rename(folder / "posters")
    with pytest.raises(DataError, match="is not MM-IMDb: beside split"):
        open_mmimdb(folder, 8, several_labels=True)
    (folder / "split.json").unlink()
    with pytest.raises(DataError, match=r"split\.json is not there; put it back, or name another folder"):
        open_mmimdb(folder, 8, several_labels=True)


def test_annotations_of_other_films_are_told(tmp_path: Path):
    folder = write_mmimdb(tmp_path)
    (folder / "split.json").write_text(json.dumps({"train": ["a", "b"], "test": ["c"]}))
    with pytest.raises(DataError, match=r"has none of the 3 files ID\.json whose ids split\.json names"):
        open_mmimdb(folder, 8, several_labels=True)


def test_genres_that_are_no_list_are_told(tmp_path: Path):
    folder = write_mmimdb(tmp_path)
    (folder / "dataset" / "0000002.json").write_text(json.dumps({"genres": "Drama", "plot": "A story."}))
    with pytest.raises(DataError, match=r"0000002\.json: genres are 'Drama', expected a list of names"):
        open_mmimdb(folder, 8, several_labels=True)
