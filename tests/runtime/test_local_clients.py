"""The clients of this process: who trains, who is hostile among them, what becomes of what they send."""

from dataclasses import replace

import pytest
import torch

from fedprime.experiment.build import Experiment, build_method
from fedprime.federation.rounds import Clients
from fedprime.methods.method import ServerState
from fedprime.models.prompted_model import Weights
from fedprime.runtime.attacks import draw_hostile
from fedprime.runtime.local_clients import local_clients
from fedprime.settings.reading import read_settings


def updates_of(experiment: Experiment, flags: tuple[str, ...]) -> list[Weights]:
    """What two clients send in the second round, by what the settings say of hostile ones."""
    settings = read_settings(None, flags)
    experiment = replace(experiment, settings=settings, method=build_method(settings))
    weights = experiment.model.weights()
    clients = local_clients(experiment, dict(enumerate(experiment.holders)), settings)
    assert isinstance(clients, Clients)
    assert len(clients) == 4
    updates = [update.weights for update in clients.train(1, (0, 1), ServerState(weights))]
    experiment.model.load_weights(weights)
    return updates


@pytest.mark.parametrize("kind", ["sign-flip", "label-flip"])
def test_who_is_hostile_sends_something_else_and_the_others_what_they_would(
    kind: str, small_experiment: Experiment, small_flags: tuple[str, ...]
):
    honest = updates_of(small_experiment, small_flags)
    attack = (*small_flags, f"--attack.kind={kind}", "--attack.share=0.5")
    forged = updates_of(small_experiment, attack)
    hostile = draw_hostile(4, 0.5, seed=0)
    for client in (0, 1):
        is_same = all(torch.equal(honest[client][name], forged[client][name]) for name in honest[client])
        assert is_same == (client not in hostile)


def test_with_shared_parameters_all_send_what_the_last_one_left(
    small_experiment: Experiment, small_flags: tuple[str, ...]
):
    first, second = updates_of(small_experiment, (*small_flags, "--method.reference_quirks", "shared_parameters"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_rounded_values_are_sent_with_their_steps(small_experiment: Experiment, small_flags: tuple[str, ...]):
    first, _ = updates_of(small_experiment, (*small_flags, "--transport.bits=8"))
    assert first["head.bias"].dtype == torch.int8
    assert first["head.bias.scale"].dtype == torch.float32
