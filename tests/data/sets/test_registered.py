"""Data sets of installed packages: found by name, opened with their options."""

import pytest

from fedprime.data.sets import registered
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.data.sets.registered import DATA_SETS, data_set_names, find_data_set, open_registered
from fedprime.data.sources import DataError
from fedprime.reproducibility.plugins import PluginError


def test_those_that_come_along_are_opened_by_fedprime_itself():
    assert data_set_names()[: len(DATA_SETS)] == DATA_SETS
    assert [find_data_set(name) for name in DATA_SETS] == [None] * len(DATA_SETS)
    with pytest.raises(DataError, match="'builtin' comes along"):
        open_registered("builtin", "", {})


def test_a_data_set_that_is_not_there_is_told_the_nearest_one():
    with pytest.raises(PluginError, match=r"'tabel' is no data set: builtin, .* is installed; did you mean table\?"):
        find_data_set("tabel")


def test_a_data_set_is_opened_with_its_path_and_options(monkeypatch: pytest.MonkeyPatch):
    told: list[tuple[str, int]] = []

    def opened(path: str = "", size: int = 3) -> BuiltinWorld:
        told.append((path, size))
        return BuiltinWorld(12, num_validation=2, num_test=2)

    def without_a_path(size: int = 3) -> BuiltinWorld:
        return opened(size=size)

    monkeypatch.setattr(registered, "find_data_set", {"one": opened, "other": without_a_path}.get)
    assert len(open_registered("one", "there", {"size": 5})) == 12
    open_registered("one", "", {})
    open_registered("other", "", {"size": 4})
    assert told == [("there", 5), ("", 3), ("", 4)]
    with pytest.raises(DataError, match=r"data\.path is 'there', but the data set 'other' takes none"):
        open_registered("other", "there", {})
