"""Sums: the same whoever holds which sample, and refused where they are of other samples."""

from dataclasses import replace

import pytest
import torch

from fedprime.experiment.build import Experiment
from fedprime.methods.method import ServerState
from started import ROUNDS, answers, divided, model_of


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


def test_sums_over_other_samples_than_declared_are_refused(small_experiment: Experiment):
    model, state = model_of(small_experiment), ServerState(model_of(small_experiment).weights())
    (update,) = answers(ROUNDS[0], model, divided(small_experiment, [0]), state)
    problems = ROUNDS[0].problems(replace(update, num_samples=7))
    assert problems == [f"it summed over {update.num_samples} samples and says that it has 7"]
