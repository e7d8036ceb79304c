"""The start under privacy: messages that are bounded whatever the samples, and a head that noise cannot mislead."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprime.experiment.build import Experiment
from fedprime.federation.differential_privacy import ClientPrivacy
from fedprime.federation.private_sums_round import PrivateSumsRound
from fedprime.federation.processors import ServerRound
from fedprime.federation.start import start_rounds
from fedprime.methods.closed_form import ClosedForm
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.method import ServerState, Update
from fedprime.models.evaluation import predict, score
from started import answers, divided, model_of

PRIVACY = ClientPrivacy(clip_norm=1.0, noise_multiplier=2.0, delta=1e-3, secret=False)


def norm(weights: Mapping[str, Tensor]) -> float:
    return float(torch.cat([value.flatten() for value in weights.values()]).norm())


def headed(experiment: Experiment, step: PrivateSumsRound, owners: list[int]) -> ServerState:
    model = model_of(experiment)
    state = ServerState(model.weights())
    return step.aggregate(state, answers(step, model, divided(experiment, owners), state))


def test_with_privacy_there_is_one_round_of_sums():
    (step,) = start_rounds(ClosedForm(), "one_class", [PRIVACY])
    assert isinstance(step, PrivateSumsRound)
    assert start_rounds(FedAvgP(), "one_class", [PRIVACY]) == ()


def test_clients_send_what_the_server_expects_and_never_more_than_norm_1(small_experiment: Experiment):
    step, model = PrivateSumsRound("one_class", 0.0), model_of(small_experiment)
    state = ServerState(model.weights())
    expected = {name: (value.shape, value.dtype) for name, value in step.form(state.shared).items()}
    for update in answers(step, model, divided(small_experiment, [0, 1, 2]), state):
        assert {name: (value.shape, value.dtype) for name, value in update.weights.items()} == expected
        assert 0.1 < norm(update.weights) <= 1
        assert step.problems(update) == []


@pytest.mark.parametrize("factor", [1e-30, 1.0, 1e30])
def test_the_norm_is_bounded_however_long_features_are(
    small_experiment: Experiment, factor: float, monkeypatch: pytest.MonkeyPatch
):
    model = model_of(small_experiment)
    read = type(model).read

    def scaled(self: object, batch: object):  # noqa: ANN202, the type of another module's
        blocks = read(self, batch)  # pyright: ignore[reportArgumentType]
        return replace(blocks, values={name: value.double() * factor for name, value in blocks.values.items()})

    monkeypatch.setattr(type(model), "read", scaled)
    step = PrivateSumsRound("one_class", 0.0)
    (update,) = answers(step, model, divided(small_experiment, [0]), ServerState(model.weights()))
    assert norm(update.weights) <= 1


def test_longer_averages_than_samples_can_have_are_refused():
    update = Update(0, 10, {"labels": torch.full((4,), 0.6, dtype=torch.float64)})
    assert PrivateSumsRound("one_class", 0.0).problems(update) == [
        "its averages have norm 1.2; those of samples have at most 1"
    ]


def test_without_noise_the_head_is_that_of_the_nearest_class_mean(small_experiment: Experiment):
    state = headed(small_experiment, PrivateSumsRound("one_class", 0.0), [0])
    model = model_of(small_experiment)
    whole = type(small_experiment.shards[0]).joined(small_experiment.shards)
    rows, labels = [], []
    for batch in whole.batches(256):
        blocks = model.read(batch)
        there = blocks.present["image"]
        rows.append(blocks.values["image"][there].double())
        labels.append(batch.labels[there])
    units, of = torch.nn.functional.normalize(torch.cat(rows), dim=1), torch.cat(labels)
    means = torch.stack([units[of == label].mean(dim=0) for label in range(len(model.label_names))])
    offsets = means - units.mean(dim=0)
    weight = state.shared["head.weight.image"].double()
    for ours, theirs in zip(weight, offsets, strict=True):
        assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 1 - 1e-6
    model.load_weights(state.shared)
    assert score(predict(model, whole)).accuracy > 0.55  # of three classes


def test_under_noise_that_drowns_everything_the_head_says_nothing(small_experiment: Experiment):
    step, model = PrivateSumsRound("one_class", 1000.0), model_of(small_experiment)
    state = ServerState(model.weights())
    sent = answers(step, model, divided(small_experiment, [0, 1]), state)
    private = ClientPrivacy(1.0, 1000.0, 1e-3, secret=False).of_round(
        sent, ServerRound(-1, 0, [0, 1], ClosedForm(), state, step)
    )
    shared = step.aggregate(state, private).shared
    for name, value in shared.items():
        assert value.isfinite().all(), name
        if name.startswith("head.weight."):
            assert value.abs().max() < 1e-3, name


def test_replacing_a_client_moves_the_sum_by_at_most_twice_the_norm_and_a_liar_is_clipped(
    small_experiment: Experiment,
):
    step, state = PrivateSumsRound("one_class", 0.0), ServerState(model_of(small_experiment).weights())
    liar = {
        name: torch.full(value.shape, 100.0, dtype=torch.float64) for name, value in step.form(state.shared).items()
    }
    asked = ServerRound(-1, 0, [0, 1], ClosedForm(), state, step)
    quiet = ClientPrivacy(1.0, 0.0, 1e-3, secret=False)
    first, second = (update.weights for update in quiet.of_round([Update(0, 5, liar)], asked))
    np.testing.assert_allclose(2 * norm(first), 1.0, rtol=1e-9)  # the mean of it and of one that sent nothing
    assert all((first[name] == second[name]).all() for name in first)
