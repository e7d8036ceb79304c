"""Clients that a start is made with, step by step."""

from collections.abc import Sequence

import numpy as np

from fedprime.experiment.build import Experiment
from fedprime.federation.calibration_rounds import ShrinkageRound, TemperatureRound
from fedprime.federation.start_round import LocalSamples, StartRound
from fedprime.federation.sums_round import SumsRound
from fedprime.methods.method import ServerState, Update
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts

ROUNDS: tuple[StartRound, ...] = (SumsRound("one_class"), ShrinkageRound(), TemperatureRound())


def model_of(experiment: Experiment) -> PromptedModel:
    backbone, labels = experiment.model.backbone, experiment.model.label_names
    return PromptedModel(backbone, NoPrompts(backbone.dim), labels, "one_class", None, "evidence", "blocks")


def divided(experiment: Experiment, owners: Sequence[int]) -> list[LocalSamples]:
    """All samples, divided anew; priors are those of everybody, so that only the partition differs."""
    whole = type(experiment.shards[0]).joined(experiment.shards)
    of_sample = np.array(owners)[np.arange(len(whole)) % len(owners)]
    of_validation = np.array(owners)[np.arange(len(experiment.validation)) % len(owners)]
    return [
        LocalSamples(
            whole.rows(np.flatnonzero(of_sample == client)),
            experiment.validation.rows(np.flatnonzero(of_validation == client)),
        )
        for client in sorted(set(owners))
    ]


def answers(
    step: StartRound, model: PromptedModel, clients: Sequence[LocalSamples], state: ServerState
) -> list[Update]:
    found: list[Update] = []
    own = {name for name, _ in model.named_parameters()}
    for client, samples in enumerate(clients):
        model.load_weights({name: value for name, value in state.shared.items() if name in own})
        found.append(Update(client, len(samples.train), step.measure(model, samples, state.shared)))
    return found


def started(experiment: Experiment, clients: Sequence[LocalSamples]) -> ServerState:
    model = model_of(experiment)
    state = ServerState(model.weights())
    for step in ROUNDS:
        state = step.aggregate(state, answers(step, model, clients, state))
    return state
