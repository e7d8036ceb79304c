import hashlib
import json
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from fedprime.reproducibility import plugins
from fedprime.reproducibility.plugins import (
    ImportedOnUse,
    PluginError,
    find_registered,
    load_plugin,
    plugin_names,
    plugin_package,
    registered_names,
)
from fedprime.reproduction.reading import VotedPools


def test_what_installed_packages_register_is_found_by_name():
    assert "voted pools" in plugin_names("fedprime.prompters")
    assert load_plugin("fedprime.prompters", "voted pools") is VotedPools


def test_names_are_in_alphabetical_order():
    names = plugin_names("console_scripts")
    assert "fedprime" in names
    assert list(names) == sorted(names)


def test_a_group_that_nobody_registers_in_has_no_names():
    assert plugin_names("fedprime.nothing of this kind") == ()


def test_the_package_of_a_plugin_is_known():
    assert plugin_package("fedprime.prompters", "voted pools") == f"fedprime {version('fedprime')}"


def test_a_plugin_that_is_not_there_is_a_mistake_of_the_caller():
    with pytest.raises(KeyError):
        load_plugin("fedprime.prompters", "nobody")


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Installs a package that registers one object."""

    def register(entry: str) -> None:
        information = tmp_path / "mine-2.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 2.0\n")
        (information / "entry_points.txt").write_text(f"[fedprime.things]\n{entry}\n")

    monkeypatch.syspath_prepend(tmp_path)
    plugins._plugins.cache_clear()
    plugins._of_group.cache_clear()
    yield register
    plugins._plugins.cache_clear()
    plugins._of_group.cache_clear()


def test_a_name_is_found_among_ours_and_those_of_packages(registered: Callable[[str], None]):
    registered("theirs = json:dumps")
    assert registered_names("fedprime.things", {"ours": 1}) == ("ours", "theirs")
    assert find_registered("fedprime.things", "thing", "ours", {"ours": 1}) == 1
    assert find_registered("fedprime.things", "thing", "theirs", {"ours": 1}) is json.dumps


def test_a_name_that_is_nowhere_is_told_what_there_is(registered: Callable[[str], None]):
    registered("theirs = json:dumps")
    expected = "'their' is no thing: ours, theirs; one of another package is found when that is installed; did you mean"
    with pytest.raises(PluginError, match=rf"^{expected} theirs\?$"):
        find_registered("fedprime.things", "thing", "their", {"ours": 1})


def test_a_name_that_fedprime_has_itself_is_not_taken_over(registered: Callable[[str], None]):
    registered("ours = json:dumps")
    with pytest.raises(PluginError, match=r"^mine 2\.0 registers a thing 'ours', but fedprime has one"):
        find_registered("fedprime.things", "thing", "ours", {"ours": 1})


@pytest.mark.parametrize("place", ["no_such_module:x", "json:no_such_name"])
def test_a_plugin_that_cannot_be_imported_names_its_package(place: str, registered: Callable[[str], None]):
    registered(f"theirs = {place}")
    with pytest.raises(PluginError, match=rf"^'theirs' of mine 2\.0 cannot be loaded from {place}: .*install"):
        load_plugin("fedprime.things", "theirs")


def test_an_object_is_imported_when_it_is_looked_up_and_then_kept():
    objects = ImportedOnUse[object]({"digest": "hashlib:sha256", "made here": 3})
    assert list(objects) == ["digest", "made here"]
    assert objects.data["digest"] == "hashlib:sha256"
    assert objects["digest"] is hashlib.sha256
    assert objects.data["digest"] is hashlib.sha256
    assert objects["made here"] == 3
