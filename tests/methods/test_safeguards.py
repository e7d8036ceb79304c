"""Every method can be made robust and private, or says why not."""

import pytest

from fedprime.methods import METHODS
from fedprime.methods.safeguards import reason_against_attack, reason_against_privacy, reason_against_robustness

NOT_PRIVATE = {"fedmsplit-p", "local-p", "centralized-p", "centralized-pools"}


@pytest.mark.parametrize("name", METHODS)
def test_only_these_methods_cannot_be_made_private(name: str):
    assert bool(reason_against_privacy(METHODS[name]())) == (name in NOT_PRIVATE)


@pytest.mark.parametrize("name", METHODS)
def test_only_these_methods_cannot_have_the_median(name: str):
    assert bool(reason_against_robustness(METHODS[name](aggregation="median"))) == (name in NOT_PRIVATE)


@pytest.mark.parametrize("name", METHODS)
def test_nothing_stands_against_the_plain_mean(name: str):
    assert reason_against_robustness(METHODS[name]()) == ""


def test_hostile_clients_need_a_server_to_lie_to():
    assert {name for name, method in METHODS.items() if reason_against_attack(method())} == NOT_PRIVATE - {
        "fedmsplit-p"
    }
