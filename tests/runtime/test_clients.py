"""Where clients live is a setting; what cannot be is said in one sentence."""

import builtins
from dataclasses import replace
from typing import Any

import pytest

from fedprime.experiment.build import Experiment
from fedprime.federation.clients import KeepingClients
from fedprime.reproduction.quirks import Quirk, with_quirks
from fedprime.runtime.clients import open_clients
from fedprime.runtime.local_clients import LocalClients
from fedprime.settings.problems import SettingsError


def living(experiment: Experiment, kind: str, quirks: tuple[Quirk, ...] = ()) -> Experiment:
    settings = experiment.settings
    settings = replace(
        settings,
        runtime=replace(settings.runtime, kind=kind),
        method=with_quirks(settings.method, quirks),
    )
    return replace(experiment, settings=settings, method=settings.method)


def test_clients_live_in_this_process_if_nothing_else_is_said(small_experiment: Experiment):
    with open_clients(small_experiment) as clients:
        assert isinstance(clients, KeepingClients)
        assert type(clients) is LocalClients


@pytest.mark.parametrize(
    ("kind", "quirks", "reason"),
    [
        ("deployment", (), "fedprime deploy server"),
        ("simulation", ("shared_parameters",), "set runtime.kind to in-process"),
    ],
)
def test_what_cannot_be_is_refused(kind: str, quirks: tuple[str, ...], reason: str, small_experiment: Experiment):
    with pytest.raises(SettingsError, match=reason), open_clients(living(small_experiment, kind, quirks)):
        pass


def test_without_flower_it_is_said_how_to_install_it(small_experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("fedprime.runtime.flower"):
            raise ModuleNotFoundError("No module named 'flwr'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    expected = r"No module named 'flwr'.*pip install \"fedprime\[simulation\]\""
    with pytest.raises(SettingsError, match=expected), open_clients(living(small_experiment, "simulation")):
        pass
