"""Copies of tables lie in fedprime's own cache, for their owner alone."""

import os
from pathlib import Path

import pytest

from fedprime.cli.cache import manage_cache
from fedprime.data.sets.table.copies import TABLES, note_use, tables_folder
from fedprime.data.sets.table.files import open_parts


def test_copies_lie_in_the_cache_and_are_for_their_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEDPRIME_CACHE", str(tmp_path / "cache"))
    place = tables_folder()
    assert place == tmp_path / "cache" / TABLES
    assert place.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("place", ["off", "/proc/nowhere"])
def test_a_cache_that_cannot_be_written_is_no_obstacle(place: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEDPRIME_CACHE", place)
    found = tables_folder()
    assert found.is_dir()
    assert found.stat().st_mode & 0o777 == 0o700


def test_they_are_cleared_with_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEDPRIME_CACHE", str(tmp_path / "cache"))
    (tmp_path / "metadata.csv").write_text("text,label\na,x\nb,y\n")
    open_parts(str(tmp_path))
    assert any((tmp_path / "cache" / TABLES).rglob("*.arrow"))
    assert manage_cache(["clear"]) == 0
    assert not (tmp_path / "cache" / TABLES).exists()


def test_copies_that_nobody_uses_any_more_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A table that changes each day has a copy for each day."""
    monkeypatch.setenv("FEDPRIME_CACHE", str(tmp_path / "cache"))
    table = tmp_path / "metadata.csv"

    def found() -> list[Path]:
        return sorted((tmp_path / "cache" / TABLES / "csv").iterdir())

    for number in range(3):
        table.write_text(f"text,label\na{number},x\nb,y\n")
        open_parts(str(tmp_path))
        os.utime(table, (number, number))
    assert len(found()) == 3
    for copy in found():
        os.utime(copy, (1e9, 1e9))
    rows = open_parts(str(tmp_path))[0].rows
    for copy in found():
        os.utime(copy, (1e9, 1e9))
    note_use(rows.cache_files)
    locks = tables_folder().glob("*.lock")
    assert found() == [Path(rows.cache_files[0]["filename"]).parents[2]]
    assert len(list(locks)) == 1
