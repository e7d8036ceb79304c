"""The start: a head in closed form, the same whoever holds which sample."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedprime.experiment.build import Experiment
from fedprime.federation.start import (
    LocalSamples,
    ShrinkageRound,
    StartRound,
    SumsRound,
    TemperatureRound,
    own_log_prior,
)
from fedprime.methods.method import ServerState, Update
from fedprime.models.evaluation import predict, score
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts

ROUNDS: tuple[StartRound, ...] = (SumsRound(one_class=True), ShrinkageRound(), TemperatureRound())


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


def test_clients_send_what_the_server_expects(small_experiment: Experiment):
    model, clients = model_of(small_experiment), divided(small_experiment, [0, 1, 2])
    state = ServerState(model.weights())
    for step in ROUNDS:
        updates = answers(step, model, clients, state)
        expected = {name: (value.shape, value.dtype) for name, value in step.form(state.shared).items()}
        for update in updates:
            assert {name: (value.shape, value.dtype) for name, value in update.weights.items()} == expected
            assert step.problems(update) == []
        state = step.aggregate(state, updates)


@pytest.mark.parametrize("owners", [[0, 1], [0, 1, 2, 3, 0, 0, 0], [2, 1, 0]])
def test_sums_make_the_same_head_whatever_the_partition(small_experiment: Experiment, owners: list[int]):
    step, model = ROUNDS[0], model_of(small_experiment)
    state = ServerState(model.weights())
    alone = step.aggregate(state, answers(step, model, divided(small_experiment, [0]), state))
    found = step.aggregate(state, answers(step, model, divided(small_experiment, owners), state))
    for name, value in alone.server.items():
        # Features are single precision, and depend in their last bits on which samples go through together.
        torch.testing.assert_close(found.server[name], value, rtol=1e-4, atol=1e-4)
    for name, value in alone.shared.items():
        torch.testing.assert_close(found.shared[name], value, rtol=1e-3, atol=1e-3)


def test_nothing_but_the_weights_of_the_model_is_left_to_send(small_experiment: Experiment):
    state = started(small_experiment, divided(small_experiment, [0, 1]))
    model = model_of(small_experiment)
    assert state.shared.keys() == model.weights().keys()
    model.load_weights(state.shared)


def test_the_head_knows_more_than_chance(small_experiment: Experiment):
    state = started(small_experiment, divided(small_experiment, [0, 1]))
    model = model_of(small_experiment)
    model.load_weights(state.shared)
    whole = type(small_experiment.shards[0]).joined(small_experiment.shards)
    assert score(predict(model, whole)).accuracy > 0.6  # of three classes


def test_weighing_blocks_makes_validation_labels_likelier(small_experiment: Experiment):
    clients, model = divided(small_experiment, [0, 1]), model_of(small_experiment)
    state = started(small_experiment, clients)
    step = TemperatureRound()
    before = sum(update.weights["value"][4] for update in answers(step, model, clients, state))  # at 1 times what it is
    state = step.aggregate(state, answers(step, model, clients, state))
    after = sum(update.weights["value"][4] for update in answers(step, model, clients, state))
    assert after >= before - 1e-6


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


def test_sums_over_other_samples_than_declared_are_refused(small_experiment: Experiment):
    model, state = model_of(small_experiment), ServerState(model_of(small_experiment).weights())
    (update,) = answers(ROUNDS[0], model, divided(small_experiment, [0]), state)
    problems = ROUNDS[0].problems(replace(update, num_samples=7))
    assert problems == [f"it summed over {update.num_samples} samples and says that it has 7"]


def test_likelihoods_above_one_are_refused(small_experiment: Experiment):
    model, state = model_of(small_experiment), ServerState(model_of(small_experiment).weights())
    clients = divided(small_experiment, [0])
    state = ROUNDS[0].aggregate(state, answers(ROUNDS[0], model, clients, state))
    (update,) = answers(ROUNDS[1], model, clients, state)
    update.weights["likelihood.summary"][0, 0] = 3.0
    assert ROUNDS[1].problems(update) == ["a probability is greater than 1"]


def test_own_frequencies_are_those_of_the_clients_training_samples(small_experiment: Experiment):
    shard = small_experiment.shards[0]
    labels = small_experiment.source.labels[shard.indices]
    expected = (np.bincount(labels, minlength=3) + 1 / 3) / (len(labels) + 1)
    found = own_log_prior(model_of(small_experiment), shard).exp().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
