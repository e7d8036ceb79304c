"""Sums: the same whoever holds which sample, and refused where they are of other samples."""

from dataclasses import replace
from typing import Literal

import pytest
import torch

from fedprime.experiment.build import Experiment
from fedprime.federation.guard import Guard
from fedprime.federation.processors import ServerRound
from fedprime.federation.sums_round import SumsRound
from fedprime.methods.fedprime import FedPrime
from fedprime.methods.method import ServerState, Update
from fedprime.models.readout import alike_blocks
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


def enlarged(update: Update, factor: float) -> Update:
    """Sums that fit one another, of values that are so many times as large."""
    weights = dict(update.weights)
    for name, value in weights.items():
        if name.startswith("sums.first."):
            weights[name] = factor * value
        elif name.startswith("sums.second."):
            weights[name] = factor**2 * value
        elif name.startswith("sums.total."):
            weights[name] = torch.cat([value[:1], factor * value[1:]])
    return replace(update, weights=weights)


@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_a_client_whose_values_are_far_larger_is_left_out_and_no_other(
    small_experiment: Experiment, aggregation: Literal["mean", "median"]
):
    model = model_of(small_experiment)
    step, state = SumsRound("one_class", alike=alike_blocks(model.backbone)), ServerState(model.weights())
    sent = answers(step, model, divided(small_experiment, [0, 0, 0, 0, 1, 2, 3, 3]), state)
    asked = ServerRound(-1, 0, range(4), FedPrime(aggregation=aggregation), state, step)
    assert Guard().too_far(sent, asked) == {}
    assert Guard().too_far([*sent[:3], enlarged(sent[3], 0.3)], asked) == {}
    wrong = [*sent[:3], enlarged(sent[3], 4.0)]
    assert step.problems(wrong[3]) == []
    found = Guard().too_far(wrong, asked)
    assert found.keys() == {3}
    assert "more than 10 times as much is not used (runtime.max_step 0 uses it)" in found[3]
    assert Guard(max_step=0).too_far(wrong, asked) == {}
    assert Guard().too_far(wrong[1:], asked) == {}  # of three, nobody can tell who is right
    assert Guard().too_far([*sent[:3], enlarged(sent[3], 1e6)], asked).keys() == {3}
    any_size = replace(asked, start=SumsRound("one_class"))
    assert Guard().too_far(wrong, any_size) == {}
