"""The file that a cell names, whatever system wrote its name."""

import os
import unicodedata
from pathlib import Path

import pytest

from fedprime.data.sets.table.file_names import FileNames, is_web_address


@pytest.fixture
def files(tmp_path: Path) -> FileNames:
    (tmp_path / "table" / "photos").mkdir(parents=True)
    (tmp_path / "table" / unicodedata.normalize("NFD", "photos/Café.JPG")).write_bytes(b"1234")
    (tmp_path / "elsewhere.png").write_bytes(b"12")
    return FileNames(tmp_path / "table")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("word", ["photos/Café.JPG", "photos\\Café.jpg", " photos/Café.Jpg ", "./photos//Café.JPG"])
def test_a_name_is_found_as_another_system_writes_it(word: str, form: str, files: FileNames):
    word = unicodedata.normalize(form, word)  # pyright: ignore[reportArgumentType]
    assert files.size(word) == 4
    assert files.find(word).read_bytes() == b"1234"


def test_another_name_is_another_file(files: FileNames):
    assert files.size("photos/CAFE.jpg") is None
    assert files.find("photos/none.jpg") == files.folder / "photos/none.jpg"


@pytest.mark.parametrize("word", ["a\0b", "x" * 5000, "photos", "", "photos/pipe"])
def test_what_is_no_file_is_none(word: str, files: FileNames):
    os.mkfifo(files.folder / "photos" / "pipe")
    assert files.size(word) is None


def test_a_file_outside_of_the_folder_is_found_and_told(files: FileNames):
    absolute = str(files.folder.parent / "elsewhere.png")
    for word in ("../elsewhere.png", "..\\elsewhere.PNG", absolute):
        assert files.size(word) == 2
        assert files.is_outside(word)
    assert not files.is_outside(str(files.folder / "photos" / "1.png"))
    assert not files.is_outside("photos/../photos/1.png")


def test_web_addresses_are_told_from_names():
    assert all(map(is_web_address, ("http://a/b.jpg", "HTTPS://a/b", "s3://bucket/a.png")))
    assert not any(map(is_web_address, ("photos/http.jpg", "C:\\photos\\1.jpg", "a:b")))


def test_names_that_lead_nowhere_are_looked_for_in_the_folders_below(files: FileNames):
    (files.folder / "more").mkdir()
    (files.folder / "more" / "0007.jpg").write_bytes(b"123456")
    assert files.size("0007") is None
    assert files.look_below(["Café.jpg", "old/place\\0007", "none.jpg"]) == ["more", "photos"]
    assert (files.size("Café.jpg"), files.size("0007"), files.size("none.jpg")) == (4, 6, None)
    assert files.find("0007.JPG") == files.folder / "more" / "0007.jpg"


def test_where_there_is_no_folder_nothing_is_below(tmp_path: Path):
    assert FileNames(tmp_path / "nowhere").look_below(["a.jpg"]) == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["photos/Café.jpg", "Café.jpg"], "one is where it says"),
        (["Café.jpg", "none.jpg", "nothing.jpg"], "most are nowhere"),
        (["twice.jpg"], "two files have the name"),
        ([], "there are no names"),
    ],
)
def test_names_are_looked_for_below_only_where_that_is_sure(words: list[str], why: str, files: FileNames):
    for folder in ("photos", "more"):
        (files.folder / folder).mkdir(exist_ok=True)
        (files.folder / folder / "twice.jpg").touch()
    assert files.look_below(words) == [], why
    assert files.size("twice.jpg") is None
