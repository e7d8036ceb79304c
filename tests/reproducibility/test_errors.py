"""What a person can put right: one class of errors, and the name that was probably meant."""

import importlib
import inspect
import pkgutil

import pytest

import fedprime
from fedprime.data.embeddings.chunk_file import BrokenChunkError
from fedprime.reproducibility.errors import FedprimeError, nearest_name
from fedprime.settings.reading import flat_settings
from fedprime.settings.settings import Settings


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("training.round", "training.rounds"),
        ("trainning.rounds", "training.rounds"),
        ("lr", "training.lr"),
        ("learning.lr", "training.lr"),
        ("num_clients", "partition.num_clients"),
        ("partition.clients", "partition.num_clients"),
        ("sed", "seed"),
        ("method.prompts", "method.num_prompts"),
        ("data.modality", "data.modalities"),
    ],
)
def test_the_setting_that_was_probably_meant_is_named(wrong: str, right: str):
    assert nearest_name(wrong, flat_settings(Settings())) == f"; did you mean {right}?"


def test_nothing_is_suggested_where_nothing_is_near():
    assert nearest_name("zzzzzz", flat_settings(Settings())) == ""


def test_a_name_that_several_settings_end_in_is_answered_with_all_of_them():
    hint = nearest_name("batch-size", flat_settings(Settings()))
    assert hint == "; did you mean training.batch_size or evaluation.batch_size?"


def test_every_error_of_the_package_is_told_in_one_line_but_those_that_it_catches_itself():
    names = [found.name for found in pkgutil.walk_packages(fedprime.__path__, "fedprime.")]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    kinds = {
        kind
        for module in modules
        for kind in vars(module).values()
        if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__.startswith("fedprime.")
    }
    assert len(kinds) > 15
    assert {kind for kind in kinds if not issubclass(kind, FedprimeError | OSError)} == {BrokenChunkError}
