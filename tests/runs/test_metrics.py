"""What is told of a run after each round and in all."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from fedprime.backbones import Backbone
from fedprime.federation.rounds import Round
from fedprime.methods import METHODS
from fedprime.methods.method import ServerState, Update
from fedprime.models.prompted_model import PromptedModel
from fedprime.runs.metrics import (
    absent_clients,
    best_round,
    progress_after,
    rejection,
    round_metrics,
    run_totals,
    validation_metrics,
)
from fedprime.settings.sections import PrivacySettings
from fedprime.settings.settings import Settings

METHOD = METHODS["head-only"]()


@pytest.fixture
def model(tiny: Backbone) -> PromptedModel:
    return METHOD.build(tiny, ["soup", "cake"], rng=torch.Generator().manual_seed(0))


def line(loss: float | None, **more: float) -> dict[str, object]:
    return {"round": 0, "loss": loss, "bytes_down": 3, "bytes_up": 4, "seconds": 1.5, **more}


def test_progress_tells_the_last_accuracy_and_extrapolates_the_pace_of_this_process():
    history = [line(3.0), line(2.0, accuracy=0.25), line(None)]
    # This process made the rounds from the second on: two in 8 seconds, and seven are left.
    progress = progress_after(history, 10, first_round=1, seconds=8.0)
    assert (progress.round_number, progress.num_rounds) == (3, 10)
    assert progress.loss is None
    assert (progress.accuracy, progress.best_accuracy) == (0.25, None)
    assert progress.bytes_sent == 3 * (3 + 4)
    assert progress.seconds_left == 7 * 8.0 / 2
    assert progress.start is None


def test_progress_counts_the_rounds_of_the_start_apart_from_those_of_training():
    history = [line(None) | {"round": number} for number in (-3, -2, -1, 0)]
    told = [progress_after(history[:count], 10, first_round=-3, seconds=8.0) for count in (1, 2, 3, 4)]
    assert [progress.start for progress in told] == [(1, 3), (2, 3), (3, 3), None]
    assert [progress.round_number for progress in told] == [0, 0, 0, 1]


def test_a_round_tells_who_answered_who_was_left_out_and_what_was_sent(model: PromptedModel):
    update = Update(2, 10, {}, {"loss": 0.5})
    state = ServerState(model.weights(), observations={"seen": 1})
    finished = Round(4, state, (1, 2), (update,), {1: "no answer"}, 2.0, {"head": 8}, {"head": 4, "pooler": 1})
    metrics = round_metrics(finished, model)
    assert (metrics["round"], metrics["loss"], metrics["asked"], metrics["answered"]) == (4, 0.5, 2, 1)
    assert metrics["left_out"] == {"1": "no answer"}
    assert (metrics["bytes_down"], metrics["bytes_up"], metrics["seen"]) == (8, 5, 1)
    assert metrics["bytes_by_part"] == {"down": {"head": 8}, "up": {"head": 4, "pooler": 1}}


def test_totals_add_up_the_rounds_by_part_and_leave_out_what_earlier_versions_did_not_tell(model: PromptedModel):
    told = {"bytes_by_part": {"down": {"head": 1}, "up": {"head": 2, "pooler": 3}}}
    totals = run_totals(METHOD, Settings(), model, model.weights(), [line(1.0), line(1.0) | told, line(1.0) | told])
    assert (totals["rounds"], totals["seconds"], totals["bytes_down"], totals["bytes_up"]) == (3, 4.5, 9, 12)
    assert totals["bytes_by_part"] == {"down": {"head": 2}, "up": {"head": 4, "pooler": 6}}
    num_values = sum(value.numel() for value in model.weights().values())
    assert totals["trained_values"] == totals["sent_values"] == num_values
    assert totals["sent_bytes_per_client_and_round"] == 2 * 4 * num_values
    assert "privacy" not in totals


def test_totals_of_a_private_run_tell_its_epsilon_and_of_one_without_noise_that_there_is_no_bound(
    model: PromptedModel,
):
    noisy = PrivacySettings(clip_norm=1.0, noise_multiplier=2.0, delta=1e-3)
    spent = [
        run_totals(METHOD, replace(Settings(), privacy=privacy), model, model.weights(), [line(1.0)])["privacy"]
        for privacy in (noisy, replace(noisy, noise_multiplier=0.0))
    ]
    assert 0 < spent[0]["epsilon"] < 10
    assert spent[1]["epsilon"] is None


def test_a_line_of_metrics_tells_the_known_scores_of_validation_and_calls_the_loss_by_its_samples():
    scores = {"accuracy": 0.5, "auroc": 0.75, "loss": 2.0, "num_samples": 8}
    assert validation_metrics(scores) == {"accuracy": 0.5, "auroc": 0.75, "validation_loss": 2.0}


def test_a_state_that_gains_on_whole_samples_and_loses_more_where_modalities_are_alone_is_not_the_best():
    """Three samples as they are with a loss of 1, then 0.5; and six with one modality each, with 1, then 2."""
    history = []
    for number, (whole, alone) in enumerate([(1.0, 1.0), (0.5, 2.0)]):
        scores = {"accuracy": 0.5, "loss": 9.0, "own_loss": whole, "num_samples": 3}
        history.append({"round": number, **validation_metrics(scores, {"own_loss": alone, "num_samples": 6})})
    assert [row["selection_loss"] for row in history] == pytest.approx([1.0, 1.5])
    assert best_round(history) == 0


@pytest.mark.parametrize(
    ("loss", "before", "is_rejected"),
    [
        (math.nan, [1.0], True),
        (math.inf, [], True),
        (45.0, [0.1], False),  # twenty times that of guessing one of ten is 46
        (47.0, [0.1], True),
        (47.0, [9.0, 3.0], False),
        (61.0, [9.0, 3.0], True),
    ],
)
def test_a_round_is_rejected_when_its_loss_rises_too_far(loss: float, before: list[float], is_rejected: bool):
    history = [line(1.0, validation_loss=value) for value in before] + [line(1.0)]
    assert bool(rejection({"validation_loss": loss}, history, math.log(10), 20.0)) == is_rejected


def test_sites_reject_a_round_by_the_loss_of_the_median_one():
    history = [line(1.0, validation_loss=1e6, median_loss=0.5)]
    assert rejection({"validation_loss": 1e6, "median_loss": 0.5}, history, 1.0, 20.0) == ""
    assert rejection({"validation_loss": 30.0, "median_loss": 21.0}, history, 1.0, 20.0)


def test_where_a_loss_is_left_out_no_state_is_chosen_by_it():
    scores = {"accuracy": 0.5, "loss": 2.0, "num_samples": 3}
    assert "selection_loss" not in validation_metrics(scores, scores)


def test_where_nobody_measured_or_any_loss_will_do_no_round_is_rejected():
    assert rejection({}, [], 1.0, 20.0) == ""
    assert rejection({"validation_loss": 1e9}, [], 1.0, 0.0) == ""
    assert rejection({"validation_loss": math.nan}, [], 1.0, 0.0) == "its validation loss is not finite"


def test_what_sites_measured_is_told_as_the_loss_of_the_median_one():
    told = rejection({"validation_loss": 2.0, "median_loss": 50.0}, [{"validation_loss": 1.0}], 1.0, 20.0)
    assert told == "its validation loss at the median site is 50, before it was 1 (runtime.max_loss is 20)"


# Clients that were not there


def answers(*left_out: dict[str, str], asked: int = 3) -> list[dict[str, Any]]:
    return [{"round": number, "asked": asked, "left_out": own} for number, own in enumerate(left_out)]


def test_clients_that_answered_fewer_than_half_of_their_rounds_are_named():
    history = answers({"1": "no answer", "2": "failed"}, {"1": "broken"}, {}, {"1": "broken"})
    assert absent_clients(history, 3) == {"absent_clients": {"1": {"asked": 4, "answered": 1, "reason": "broken"}}}
    assert absent_clients(answers({}, {"0": "late"}), 3) == {}


def test_a_client_is_measured_by_the_rounds_that_it_was_asked_in():
    history = answers({"2": "no answer"}, {}, asked=1)
    assert absent_clients(history, 3) == {}  # who was asked is not told
    history[0]["asked_clients"], history[1]["asked_clients"] = [2], [0]
    assert absent_clients(history, 3)["absent_clients"] == {"2": {"asked": 1, "answered": 0, "reason": "no answer"}}
