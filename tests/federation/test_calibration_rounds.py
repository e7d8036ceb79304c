"""Shrinkage and temperatures by validation likelihood, and what happens where there is none."""

from dataclasses import replace

import numpy as np
import torch

from fedprime.experiment.build import Experiment
from fedprime.federation.calibration_rounds import TemperatureRound
from fedprime.methods.method import ServerState, Update
from fedprime.models.calibration import with_doubt
from started import ROUNDS, answers, divided, model_of, started


def likelihood(sent: list[Update]) -> float:
    """Of validation labels with all weights as they are, as the server counts it."""
    count = sum(float(update.weights["count"]) for update in sent)
    of_labels, of_none = torch.stack([update.weights["value"][:, 4] for update in sent]).sum(dim=0)
    return float(with_doubt(of_labels, of_none, count))


def test_weighing_blocks_makes_validation_labels_likelier(small_experiment: Experiment):
    clients, model = divided(small_experiment, [0, 1]), model_of(small_experiment)
    state = started(small_experiment, clients)
    step = TemperatureRound()
    before = likelihood(answers(step, model, clients, state))
    state = step.aggregate(state, answers(step, model, clients, state))
    after = likelihood(answers(step, model, clients, state))
    assert after >= before - 1e-6


def test_samples_of_several_modalities_have_weights_of_their_own(small_experiment: Experiment):
    clients, model = divided(small_experiment, [0, 1]), model_of(small_experiment)
    state = started(small_experiment, clients)
    step = TemperatureRound(is_of_several=True)
    sent = answers(step, model, clients, state)
    assert (
        sum(float(update.weights["count"]) for update in sent) == (small_experiment.validation.present.sum(1) > 1).sum()
    )
    after = step.aggregate(state, sent)
    changed = {name for name, value in after.shared.items() if not torch.equal(value, state.shared[name])}
    assert changed == {f"head.together.{block}" for block in ("summary", "image", "image patches", "text")}
    value = [likelihood(answers(step, model, clients, at)) for at in (state, after)]
    assert value[1] > value[0]


def test_a_client_without_validation_samples_counts_for_nothing(small_experiment: Experiment):
    clients = divided(small_experiment, [0, 1])
    nobody = small_experiment.validation.rows(np.array([], dtype=np.int64))
    without = [replace(clients[0], validation=nobody), clients[1]]
    model, state = model_of(small_experiment), ServerState(model_of(small_experiment).weights())
    state = ROUNDS[0].aggregate(state, answers(ROUNDS[0], model, without, state))
    (update, _) = answers(ROUNDS[1], model, without, state)
    assert all(not value.any() for value in update.weights.values())


def test_with_no_validation_sample_at_all_documented_values_are_taken(small_experiment: Experiment):
    nobody = small_experiment.validation.rows(np.array([], dtype=np.int64))
    clients = [replace(samples, validation=nobody) for samples in divided(small_experiment, [0, 1])]
    model, state = model_of(small_experiment), ServerState(model_of(small_experiment).weights())
    for step in ROUNDS[:2]:
        state = step.aggregate(state, answers(step, model, clients, state))
    assert state.observations["start"]["summary"] == {"shrinkage": 0.1, "temperature": 0.3}
    after = ROUNDS[2].aggregate(state, answers(ROUNDS[2], model, clients, state))
    assert all(torch.equal(value, state.shared[name]) for name, value in after.shared.items())


def test_likelihoods_above_one_are_refused(small_experiment: Experiment):
    model, state = model_of(small_experiment), ServerState(model_of(small_experiment).weights())
    clients = divided(small_experiment, [0])
    state = ROUNDS[0].aggregate(state, answers(ROUNDS[0], model, clients, state))
    (update,) = answers(ROUNDS[1], model, clients, state)
    update.weights["likelihood.summary"][0, 0, 0] = 3.0
    assert ROUNDS[1].problems(update) == ["a probability is greater than 1"]
