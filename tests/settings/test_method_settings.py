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


BETTER = {"readout": "blocks", "start": "closed-form", "prior_aware": True}


def test_a_table_without_a_name_is_of_fedprime_with_the_best_that_is_known():
    assert read_method({}) == METHODS["fedprime"](**BETTER)


def test_the_paper_is_one_setting_away_and_what_is_set_beside_it_holds():
    assert read_method({"paper": True}) == METHODS["fedprime"]()
    assert read_method({"paper": "true", "prior_aware": True}) == METHODS["fedprime"](prior_aware=True)


def test_a_quirk_of_the_research_code_departs_from_the_paper():
    assert method_table(read_method({"reference_quirks": ["batch_vote"]}))["start"] == "random"
    assert method_table(read_method({"reference_quirks": ["batch_vote"], "paper": False}))["start"] == "closed-form"


@pytest.mark.parametrize("name", ["fedprime", "closed-form", "local-p"])
@pytest.mark.parametrize("table", [{}, {"paper": True}, {"readout": "blocks", "paper": True}])
def test_a_table_that_was_written_makes_the_same_method(name: str, table: dict[str, object]):
    method = read_method({"name": name, **table})
    assert read_method(method_table(method)) == method


def test_a_method_that_is_made_already_is_checked_and_kept():
    method = FedProxP(proximal_weight=0.5)
    assert read_method(method) is method
    with pytest.raises(SettingsError, match=r"method\.proximal_weight is -1\.0"):
        read_method(FedProxP(proximal_weight=-1.0))


def test_what_is_neither_method_nor_table_is_left_to_whoever_asked():
    assert read_method(3) == 3


def test_a_method_has_the_settings_of_the_one_that_it_varies_and_quirks():
    assert list(method_arguments(FedMSplitP)) == list(method_arguments(FedProxP))
    assert list(method_arguments(FedProxP))[-3:] == ["proximal_weight", "paper", "reference_quirks"]


def test_a_method_of_another_package_has_no_quirks():
    class Outside(FedProxP):
        name = "outside"

    assert "reference_quirks" not in method_arguments(Outside)
    assert "reference_quirks" not in method_table(Outside())
    with pytest.raises(ValueError, match="outside cannot have batch_vote; it can have none"):
        with_quirks(Outside(), [QUIRKS[2]])
