"""Clients behind a grid: the same as in process, to the bit, whatever nodes are called, whoever answers first."""

import pytest
import torch

from fake_grid import FakeGrid
from fedprime.experiment import Experiment, build_experiment
from fedprime.federation import Clients, Round, federate
from fedprime.methods.method import ServerState
from fedprime.runtime.flower.grid_clients import GridClients
from fedprime.runtime.in_process import InProcessClients
from fedprime.settings_reading import read_settings

RUN = "0123456789abcdef"


def in_process(experiment: Experiment) -> InProcessClients:
    settings = experiment.settings
    return InProcessClients(
        experiment.method,
        experiment.method.build(experiment.model.backbone, experiment.model.label_names),
        experiment.holders,
        settings.training,
        num_rounds=settings.training.rounds,
        seed=settings.seed,
    )


def on_grid(experiment: Experiment, grid: FakeGrid) -> GridClients:
    return GridClients(grid, experiment.method, experiment.settings, len(experiment.holders), run_id=RUN)


def rounds(experiment: Experiment, clients: Clients) -> list[Round]:
    training = experiment.settings.training
    state = ServerState(experiment.model.weights())
    return list(
        federate(
            experiment.method,
            clients,
            state,
            rounds=training.rounds,
            fraction=training.fraction,
            seed=experiment.settings.seed,
        )
    )


def same_state(here: ServerState, there: ServerState) -> bool:
    parts = [
        (here.shared, there.shared),
        *((here.personal[client], there.personal[client]) for client in here.personal),
    ]
    return here.personal.keys() == there.personal.keys() and all(
        ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
        for ours, theirs in parts
    )


@pytest.mark.parametrize("method", ["fedprime", "fedprox-p", "fedmsplit-p", "local-p", "centralized-p"])
def test_the_weights_are_those_of_clients_in_process_to_the_bit(method: str, small_flags: tuple[str, ...]):
    settings = read_settings(None, [*small_flags, f"--method.name={method}", "--runtime.kind=simulation"])
    experiment = build_experiment(settings)
    here = in_process(experiment)
    expected = rounds(experiment, here)
    grid = on_grid(experiment, FakeGrid(len(experiment.holders)))
    found = rounds(experiment, grid)
    assert [entry.left_out for entry in found] == [{}] * 3
    assert all(same_state(ours.state, theirs.state) for ours, theirs in zip(found, expected, strict=True))
    assert [(ours.loss, ours.bytes_up, ours.bytes_down) for ours in found] == [
        (theirs.loss, theirs.bytes_up, theirs.bytes_down) for theirs in expected
    ]
    assert grid.kept.keys() == here.kept.keys()
    assert all(
        torch.equal(grid.kept[client][name], here.kept[client][name])
        for client in here.kept
        for name in here.kept[client]
    )
