"""Copies of tables lie in fedprime's own cache, for their owner alone."""

from pathlib import Path

import pytest

from fedprime.cli.cache import manage_cache
from fedprime.data.sets.table.copies import TABLES, tables_folder
from fedprime.data.sets.table.files import open_parts


def test_copies_lie_in_the_cache_and_are_for_their_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEDPRIME_CACHE", str(tmp_path / "cache"))
    with tables_folder() as place:
        assert place == tmp_path / "cache" / TABLES
        assert place.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("place", ["off", "/proc/nowhere"])
def test_a_cache_that_cannot_be_written_is_no_obstacle(place: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEDPRIME_CACHE", place)
    with tables_folder() as found:
        assert found.is_dir()
        assert found.stat().st_mode & 0o777 == 0o700


def test_they_are_cleared_with_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEDPRIME_CACHE", str(tmp_path / "cache"))
    (tmp_path / "metadata.csv").write_text("text,label\na,x\nb,y\n")
    open_parts(str(tmp_path))
    assert any((tmp_path / "cache" / TABLES).rglob("*.arrow"))
    assert manage_cache(["clear"]) == 0
    assert not (tmp_path / "cache" / TABLES).exists()
