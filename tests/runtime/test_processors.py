"""From settings to update processors: those that do something, in their order."""

import pytest

from fedprime.federation.compression import Compression
from fedprime.federation.differential_privacy import ClientPrivacy
from fedprime.methods import METHODS
from fedprime.runtime.attacks import Attack, draw_hostile
from fedprime.runtime.processors import processors_of
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import read_settings

ALL = ("--privacy.clip_norm=3", "--attack.kind=noise", "--attack.strength=2", "--transport.bits=8", "--seed=5")


def test_without_settings_updates_stay_as_they_are():
    assert processors_of(METHODS["fedprime"](), read_settings(None, [])) == []


def test_they_lie_from_the_method_to_the_network():
    hostile = frozenset(draw_hostile(20, 0.2, seed=5))
    assert processors_of(METHODS["fedprime"](), read_settings(None, ALL)) == [
        ClientPrivacy(3.0, 1.0, 1e-5, secret=False),
        Attack("noise", 2.0, hostile, seed=5),
        Compression(8),
    ]


def test_privacy_without_an_accountant_is_refused_before_training(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fedprime.runtime.processors.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r'pip install "fedprime\[privacy\]"'):
        processors_of(METHODS["fedprime"](), read_settings(None, ["--privacy.clip_norm=3"]))


def test_who_trains_on_flipped_labels_is_honest_about_it():
    assert processors_of(METHODS["fedprime"](), read_settings(None, ["--attack.kind=label-flip"])) == []


@pytest.mark.parametrize(("name", "expected"), [("fedavg-p", [Compression(8)]), ("centralized-p", [])])
def test_with_a_centralised_method_nothing_travels_and_nothing_is_compressed(name: str, expected: list[Compression]):
    assert processors_of(METHODS[name](), read_settings(None, ["--transport.bits=8"])) == expected
