"""The verb `cache`, called in this process: what it prints, its exit codes, its errors."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from command_line import exit_code
from fedprime.data.embeddings.cache import EmbeddingCache, key_of
from fedprime.data.embeddings.cache_folder import CacheFolder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDPRIME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FEDPRIME_CACHE_LIMIT", "1GB")
    return tmp_path / "cache"


@pytest.fixture
def filled(cache: Path) -> Path:
    for modality, count in (("image", 3), ("text", 2)):
        notes = {"backbone": "/a/folder/with/a/very/long/name/vilt"}
        space = EmbeddingCache(CacheFolder(cache), {"modality": modality}, notes)
        for number in range(count):
            space.put(key_of(str(number)), torch.ones(4, 8))
        space.save()
    return cache


def test_it_shows_where_how_much_and_of_what(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.utime(next(filled.rglob("*.safetensors")))
    assert exit_code("cache", "show") == 0
    first, header, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{filled}: 1.")
    assert first.endswith("KB of at most 1.0 GB")
    assert header.split() == ["backbone", "modality", "embeddings", "size", "last", "used"]
    assert sorted(row.split()[:3] for row in rows) == [
        ["...ith/a/very/long/name/vilt", "image", "3"],
        ["...ith/a/very/long/name/vilt", "text", "2"],
    ]


def test_programs_can_read_it(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("cache", "show", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    size = sum(file.stat().st_size for file in filled.rglob("*.safetensors"))
    assert (found["folder"], found["bytes"], found["limit_bytes"]) == (str(filled), size, 10**9)
    assert {space["modality"]: space["embeddings"] for space in found["spaces"]} == {"image": 3, "text": 2}


def test_a_folder_that_is_not_made_yet_is_no_error(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("cache", "show") == 0
    assert capsys.readouterr().out == f"{cache} (not made yet): 0 bytes of at most 1.0 GB\n"
    assert exit_code("cache", "clear") == exit_code("cache", "prune") == 0
    assert not cache.exists()


def test_it_is_cleared(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("cache", "clear") == 0
    assert capsys.readouterr().out.startswith(f"2 files removed from {filled}, 1.")
    assert list(filled.rglob("*.safetensors")) == []


def test_it_is_pruned_by_size_and_age(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("cache", "prune", "--to", "5MB", "--json") == 0
    assert json.loads(capsys.readouterr().out)["removed_files"] == 0
    [oldest, newest] = CacheFolder(filled).chunks()
    os.utime(oldest.path, (0, 0))
    assert exit_code("cache", "prune", "--unused-for", 1, "--json") == 0
    assert json.loads(capsys.readouterr().out)["removed_bytes"] == oldest.size_bytes
    assert [chunk.path for chunk in CacheFolder(filled).chunks()] == [newest.path]


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["prune", "--to", "5 apples"], "--to is '5 apples'; expected a number with KB, MB, GB or TB"),
        (["prune", "--unused-for", "-1"], "--unused-for is -1.0; expected a number of days"),
        (["prune", "--unused-for", "nan"], "--unused-for is nan"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(words: list[str], expected: str, complaint: Callable[..., str]) -> None:
    assert expected in complaint("cache", *words)


def test_a_cache_that_is_off_or_no_folder_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: Callable[..., str]
) -> None:
    monkeypatch.setenv("FEDPRIME_CACHE", "off")
    assert 'FEDPRIME_CACHE is "off": nothing is kept' in complaint("cache", "show")
    (tmp_path / "file").touch()
    monkeypatch.setenv("FEDPRIME_CACHE", str(tmp_path / "file"))
    assert "is a file; name a folder with FEDPRIME_CACHE" in complaint("cache", "clear")


def test_help_explains_it_and_no_verb_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("cache", "--help") == 0
    assert "FEDPRIME_CACHE_LIMIT" in capsys.readouterr().out
    assert exit_code("cache") == exit_code("cache", "empty") == 2
