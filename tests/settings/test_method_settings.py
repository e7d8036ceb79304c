"""The table of a method: made from it, and made into it again."""

import pickle

import pytest

from fedprime.methods import METHODS
from fedprime.methods.fedmsplit_p import FedMSplitP
from fedprime.methods.fedprox_p import FedProxP
from fedprime.methods.method import Method
from fedprime.reproduction.quirks import QUIRKS, possible_quirks, with_quirks
from fedprime.settings.method_settings import method_arguments, method_table, read_method
from fedprime.settings.problems import SettingsError


@pytest.mark.parametrize("kind", METHODS.values(), ids=METHODS)
def test_a_method_is_the_same_after_a_way_through_its_table(kind: type[Method]):
    method = with_quirks(kind(num_prompts=6), possible_quirks(kind()))
    table = method_table(method)
    assert table["name"] == kind.name
    assert read_method(table) == method
    assert pickle.loads(pickle.dumps(method)) == method  # noqa: S301


def test_a_table_without_a_name_is_of_fedprime():
    assert read_method({}) == METHODS["fedprime"]()


def test_a_method_that_is_made_already_is_checked_and_kept():
    method = FedProxP(proximal_weight=0.5)
    assert read_method(method) is method
    with pytest.raises(SettingsError, match=r"method\.proximal_weight is -1\.0"):
        read_method(FedProxP(proximal_weight=-1.0))


def test_what_is_neither_method_nor_table_is_left_to_whoever_asked():
    assert read_method(3) == 3


def test_a_method_has_the_settings_of_the_one_that_it_varies_and_quirks():
    assert list(method_arguments(FedMSplitP)) == list(method_arguments(FedProxP))
    assert list(method_arguments(FedProxP))[-2:] == ["proximal_weight", "reference_quirks"]


def test_a_method_of_another_package_has_no_quirks():
    class Outside(FedProxP):
        name = "outside"

    assert "reference_quirks" not in method_arguments(Outside)
    assert "reference_quirks" not in method_table(Outside())
    with pytest.raises(ValueError, match="outside cannot have batch_vote; it can have none"):
        with_quirks(Outside(), [QUIRKS[2]])
