from importlib.metadata import version

import pytest

from fedprime.reproducibility.plugins import load_plugin, plugin_names, plugin_package
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
