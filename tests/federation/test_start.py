"""The start: a head in closed form, the same whoever holds which sample."""

from fedprime.experiment.build import Experiment
from fedprime.methods.method import ServerState
from fedprime.models.evaluation import predict, score
from started import ROUNDS, answers, divided, model_of, started


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
