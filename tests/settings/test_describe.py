"""Every setting, described: what help shows and flags know."""

import re

from fedprime.methods import METHODS
from fedprime.reproduction.quirks import QUIRKS
from fedprime.settings.describe import describe_settings
from fedprime.settings.reading import flat_settings
from fedprime.settings.settings import Settings

SETTINGS = {setting.name: setting for setting in describe_settings()}


def test_the_settings_of_one_method_are_those_that_its_runs_write_down():
    described = {setting.name: setting.default for setting in describe_settings(["fedprime"])}
    assert described == flat_settings(Settings())


def test_what_only_some_methods_have_says_which():
    assert SETTINGS["method.proximal_weight"].methods == ("fedprox-p", "fedmsplit-p")
    assert set(SETTINGS["method.num_prompts"].methods) == set(METHODS)
    assert SETTINGS["training.lr"].methods == ()
    assert "method.proximal_weight" not in {setting.name for setting in describe_settings(["fedprime"])}


def test_what_may_be_set_is_said_in_words():
    assert SETTINGS["training.rounds"].expected == "whole number, at least 1"
    assert SETTINGS["training.optimizer"].expected == "sgd or adamw"
    assert SETTINGS["training.fraction"].expected == "number, more than 0, at most 1"
    assert SETTINGS["data.modalities"].expected == "any number of: word"
    assert SETTINGS["privacy.secret"].expected == "yes or no"
    assert SETTINGS["method.hostile_share"].expected == "number, at least 0, less than 0.5"


def test_a_setting_knows_its_group_and_how_many_values_it_takes():
    assert (SETTINGS["training.lr"].group, SETTINGS["seed"].group) == ("training", "")
    assert [name for name, setting in SETTINGS.items() if setting.takes_several] == [
        *("data.columns", "data.label", "data.rows", "data.classes", "data.modalities", "method.reference_quirks")
    ]
    assert SETTINGS["privacy.secret"].is_switch
    assert not SETTINGS["privacy.delta"].is_switch


def test_the_method_setting_names_every_method():
    assert SETTINGS["method.name"].expected.split(" or ") == list(METHODS)


def test_the_explanation_of_the_quirks_explains_every_one():
    assert re.findall(r"(\w+): ", SETTINGS["method.reference_quirks"].description) == list(QUIRKS)
