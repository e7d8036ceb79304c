"""Fields in the source of a class are those that the class itself has."""

import dataclasses
import typing
from pathlib import Path

import pytest

from fedprime.methods import METHODS, method_place
from fedprime.reproduction.quirks import Quirk
from fedprime.settings.arguments import arguments_of
from fedprime.settings.source_fields import fields_in_source, words_in_source


@pytest.mark.parametrize("method", METHODS)
def test_the_source_of_a_method_names_the_fields_of_its_class_and_their_words(method: str):
    found = fields_in_source(method_place(method))
    assert found.keys() == {entry.name for entry in dataclasses.fields(METHODS[method])}
    for name, argument in arguments_of(METHODS[method]).items():
        is_choice = typing.get_origin(argument.annotation) is typing.Literal
        words = typing.get_args(argument.annotation) if is_choice else ()
        assert found[name] == (("true", "false") if argument.annotation is bool else words)


def test_the_words_of_a_type_are_found_by_its_name():
    assert words_in_source("fedprime.reproduction.quirks:Quirk") == typing.get_args(Quirk)


def test_a_class_of_another_package_is_read_with_what_it_inherits_from_fedprime_and_nothing_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "elsewhere.py").write_text(
        """
import torch
from typing import Literal
from collections.abc import Mapping
from fedprime.methods.fedprox_p import FedProxP

class Other(FedProxP, Mapping):
    speed: Literal["slow", "fast"] = "slow"
    extra: Mapping = {}
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = fields_in_source("elsewhere:Other")
    assert found["speed"] == ("slow", "fast")
    assert (found["extra"], found["proximal_weight"]) == ((), ())


def test_what_is_not_there_has_no_fields():
    assert fields_in_source("fedprime.methods.none:None") == {}
    assert fields_in_source("fedprime.methods.pfpt:Nobody") == {}
