"""Shrinkage and temperatures by validation likelihood, and what happens where there is none."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedprime.experiment.build import Experiment
from fedprime.federation.calibration_rounds import ShrinkageRound, TemperatureRound
from fedprime.federation.guard import Guard
from fedprime.federation.processors import ServerRound
from fedprime.federation.start_round import StartRound
from fedprime.methods.closed_form import ClosedForm
from fedprime.methods.method import ServerState, Update
from fedprime.models.calibration import SCALES, with_doubt
from fedprime.models.prompted_model import Weights
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


#: Without content: ten classes.
SHARED = {"head.log_prior": torch.zeros(10)}
LIAR = 2


def preferring(client: int, number: int, shrinkage: int, temperature: int, slope: float = 0.3) -> Update:
    """What a client measures whose labels are the less likely, the further a choice is from one."""
    far = (torch.arange(9)[:, None] - shrinkage).abs() + (torch.arange(10)[None, :] - temperature).abs()
    table = (-number * (1 + slope * far)).double().expand(2, 9, 10).clone()
    return Update(client, 5, {"likelihood.text": table, "count.text": torch.tensor([number]).double()})


def curved(client: int, number: int, best: float, curvature: float = 1.0) -> Update:
    """What a client measures whose labels are likeliest where two blocks have this weight."""
    step = torch.tensor(SCALES).double() - best
    hessian = (-2 * number * curvature * torch.eye(2).double()).expand(len(SCALES), 2, 2).clone()
    value, gradient = -number * (1 + 2 * curvature * step.square()), -2 * number * curvature * step
    weights = {
        "value": value.expand(2, -1).clone(),
        "gradient": gradient[None, :, None].expand(2, -1, 2).clone(),
        "hessian": hessian,
        "count": torch.tensor([number]).double(),
    }
    return Update(client, 5, weights)


def left_out(step: StartRound, updates: list[Update]) -> dict[int, str]:
    assert [step.problems(update) for update in updates] == [[]] * len(updates)
    return Guard().too_far(updates, ServerRound(-1, 0, range(len(updates)), ClosedForm(), ServerState(SHARED), step))


#: Of one size, of very different ones, and more than there are judges.
NUMBERS = [(60, 60, 60, 60), (400, 3, 40, 9, 21), (60,) * 250]


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize(("shrinkage", "temperature"), [(0, 0), (0, 9), (8, 0), (8, 9)])
def test_one_client_does_not_choose_for_all_by_its_word(numbers: tuple[int, ...], shrinkage: int, temperature: int):
    updates = [preferring(client, number, 4, 4 + client % 2) for client, number in enumerate(numbers)]
    assert left_out(ShrinkageRound(), updates) == {}
    updates[LIAR] = preferring(LIAR, numbers[LIAR], shrinkage, temperature, slope=1e6)
    found = left_out(ShrinkageRound(), updates)
    assert found.keys() == {LIAR}
    assert "is not used (runtime.max_step 0 uses it)" in found[LIAR]


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("best", [0.0, 5.0])
def test_one_client_does_not_weigh_blocks_for_all_by_its_word(numbers: tuple[int, ...], best: float):
    updates = [curved(client, number, 1 + 0.1 * (client % 3)) for client, number in enumerate(numbers)]
    assert left_out(TemperatureRound(), updates) == {}
    updates[LIAR] = curved(LIAR, numbers[LIAR], best, curvature=1e6)
    assert left_out(TemperatureRound(), updates).keys() == {LIAR}


def test_whoever_has_something_else_is_heard_as_far_as_its_samples_go():
    updates = [preferring(client, 60, 4, 5) for client in range(4)] + [preferring(4, 60, 7, 2)]
    assert left_out(ShrinkageRound(), updates) == {}
    updates = [curved(client, 60, 1.0) for client in range(4)] + [curved(4, 60, 0.5)]
    assert left_out(TemperatureRound(), updates) == {}


def test_of_three_clients_nobody_can_tell_which_one_is_right():
    updates = [preferring(0, 60, 4, 4), preferring(1, 60, 4, 4), preferring(2, 60, 0, 0, slope=1e6)]
    assert left_out(ShrinkageRound(), updates) == {}


def test_who_has_no_validation_sample_judges_nobody():
    updates = [preferring(client, 0, 4, 4) for client in range(4)] + [preferring(4, 60, 0, 0)]
    assert left_out(ShrinkageRound(), updates) == {}


@pytest.mark.parametrize(
    ("step", "name"),
    [(ShrinkageRound(), "likelihood.text"), (TemperatureRound(), "value"), (TemperatureRound(), "gradient")],
)
def test_likelihoods_that_no_samples_have_are_refused(step: StartRound, name: str):
    update = preferring(0, 60, 4, 4) if isinstance(step, ShrinkageRound) else curved(0, 60, 1.0)
    update.weights[name][:] = -1e300
    assert step.problems(update) == ["so many samples cannot be so unlikely"]
    update.weights[name][:] = -1.0
    count = next(value for own, value in update.weights.items() if own.startswith("count"))
    assert step.problems(update) == []
    count.zero_()
    assert step.problems(update) == ["so many samples cannot be so unlikely"]


def test_second_derivatives_are_the_same_in_both_orders_but_for_rounding():
    """Where a head was sure of all labels, nothing but rounding was left of them; an honest client was left out."""
    sure, wrong = curved(0, 60, 1.0, curvature=1e-14), curved(0, 60, 1.0)
    sure.weights["hessian"][:, 0, 1] += 1e-13
    assert TemperatureRound().problems(sure) == []
    wrong.weights["hessian"][:, 0, 1] += 1.0
    said = "the likelihood has other second derivatives in one order than in the other"
    assert TemperatureRound().problems(wrong) == [said]


def test_many_labels_of_few_samples_are_as_unlikely_as_candidates_make_them():
    """300 labels of 300 samples: what a candidate of large shrinkage said of one sample; all clients were left out."""
    update = preferring(0, 4, 4, 4)
    update.weights["likelihood.text"][0, -1, -1] = -15_454_742_123.0
    assert ShrinkageRound("several_labels").problems(update) == []


class CostsOfAll(ShrinkageRound):
    """A round in which anybody's say costs all others the same, but for one client's."""

    def gains(self, updates: Sequence[Update], shared: Weights) -> dict[int, float]:
        return {update.client: 0.2 + 0.15 * (update.client == LIAR) for update in updates}


def test_what_anybodys_say_would_cost_is_no_clients_doing():
    updates = [preferring(client, 60, 4, 4) for client in range(5)]
    assert left_out(CostsOfAll(), updates).keys() == {LIAR}
