"""The cache folder: where it is, what goes first, and that nobody else's files are touched."""

import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedprime.data.embeddings import cache_folder
from fedprime.data.embeddings.cache_folder import CacheError, CacheFolder, CacheFullError, parse_bytes

DAY = 86_400


def add(folder: CacheFolder, name: str, size: int = 100, space: str = "a") -> None:
    folder.add(space, {"modality": "image"}, name, bytes(size))


def age(folder: CacheFolder, **days: float) -> None:
    """Makes chunks as if last used so many days ago."""
    for chunk in folder.chunks():
        used = time.time() - DAY * days[chunk.path.stem]
        os.utime(chunk.path, (used, used))


def names(folder: CacheFolder) -> list[str]:
    return [chunk.path.stem for chunk in folder.chunks()]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"FEDPRIME_CACHE": "/mine"}, "/mine"),
        ({"FEDPRIME_CACHE": "~/mine"}, "/home/me/mine"),
        ({"XDG_CACHE_HOME": "/caches"}, "/caches/fedprime"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/fedprime"),
        ({}, "/home/me/.cache/fedprime"),
    ],
)
def test_the_environment_says_where_it_is(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FEDPRIME_CACHE", "XDG_CACHE_HOME", "FEDPRIME_CACHE_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/me"} | variables).items():
        monkeypatch.setenv(name, value)
    folder = CacheFolder.of_environment()
    assert folder is not None
    assert str(folder.path) == expected


def test_the_environment_can_turn_it_off_and_limit_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDPRIME_CACHE", "off")
    assert CacheFolder.of_environment() is None
    monkeypatch.setenv("FEDPRIME_CACHE", "/mine")
    monkeypatch.setenv("FEDPRIME_CACHE_LIMIT", "1.5 GB")
    folder = CacheFolder.of_environment()
    assert folder is not None
    assert folder.limit_bytes() == 1_500_000_000
    monkeypatch.setenv("FEDPRIME_CACHE_LIMIT", "plenty")
    with pytest.raises(CacheError, match="FEDPRIME_CACHE_LIMIT is 'plenty'; expected a number with KB, MB, GB or TB"):
        CacheFolder.of_environment()


@pytest.mark.parametrize("text", ["", "5", "GB", "-5GB", "5 GB more", "nanGB", "1e9KB"])
def test_what_is_no_number_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(CacheError, match="--to is"):
        parse_bytes(text, "--to")


def test_by_default_half_of_the_disk_stays_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CacheFolder(tmp_path / "not" / "made")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    assert folder.limit_bytes() == 500
    add(folder, "one", 200)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=800))
    assert folder.limit_bytes() == 500  # (800 + 200) / 2: what it holds itself makes it no smaller
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**15))
    assert folder.limit_bytes() == 20 * 10**9


def test_the_least_recently_used_chunks_make_room(tmp_path: Path) -> None:
    filling = CacheFolder(tmp_path)
    for name in ("old", "older", "new"):
        add(filling, name)
    age(filling, old=2, older=3, new=1)
    add(CacheFolder(tmp_path, 250), "newest")
    assert names(filling) == ["new", "newest"]


def test_what_is_used_goes_last(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path)
    for name in ("first", "second"):
        add(folder, name)
    age(folder, first=2, second=1)
    folder.note_use(folder.chunks()[0].path)
    assert names(folder) == ["second", "first"]


def test_a_process_never_removes_what_it_uses_itself(tmp_path: Path) -> None:
    add(CacheFolder(tmp_path), "other")
    folder = CacheFolder(tmp_path, 250)
    add(folder, "own")
    age(folder, own=9, other=1)
    add(folder, "next")
    assert sorted(names(folder)) == ["next", "own"]
    with pytest.raises(CacheFullError, match="fills it to its limit"):
        add(folder, "last")
    assert sorted(names(folder)) == ["next", "own"]


def test_a_chunk_larger_than_the_limit_is_refused_and_nothing_goes_for_it(tmp_path: Path) -> None:
    add(CacheFolder(tmp_path), "other")
    folder = CacheFolder(tmp_path, 250)
    with pytest.raises(CacheFullError):
        add(folder, "huge", 251)
    assert names(folder) == ["other"]


def test_pruning_goes_by_size_and_by_age(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path)
    for name in ("a", "b", "c", "d"):
        add(folder, name)
    age(folder, a=4, b=3, c=2, d=1)
    assert folder.prune(10**9, time.time() - 3.5 * DAY) == (1, 100)
    assert folder.prune(250) == (1, 100)
    assert names(folder) == ["c", "d"]
    assert folder.prune(250) == (0, 0)


def test_clearing_leaves_nothing_of_ours_and_everything_else(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path)
    add(folder, "one", space="a")
    add(folder, "two", space="b")
    kept = [tmp_path / "notes.txt", tmp_path / "embeddings" / "b" / "notes.txt"]
    for file in kept:
        file.touch()
    assert folder.prune(0) == (2, 200)
    assert folder.chunks() == []
    assert all(file.exists() for file in kept)
    assert list(folder.spaces()) == ["b"]


def test_what_killed_processes_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path)
    add(folder, "one")
    half = folder.space_path("a") / ".two.safetensors.4711.tmp"
    half.touch()
    folder.prune(10**9)
    assert half.exists()  # somebody may be writing it
    os.utime(half, (0, 0))
    folder.prune(10**9)
    assert not half.exists()
    assert names(folder) == ["one"]


def test_a_folder_that_is_not_there_is_empty_and_stays_away(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path / "nothing")
    assert (folder.chunks(), folder.spaces(), folder.prune(0)) == ([], {}, (0, 0))
    assert not folder.path.exists()


def test_a_space_says_what_it_is_of(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path)
    add(folder, "one")
    assert folder.spaces() == {"a": {"modality": "image"}}
    (folder.space_path("a") / cache_folder._DESCRIPTION).write_text("no json")
    assert folder.spaces() == {"a": {}}
    assert names(folder) == ["one"]
