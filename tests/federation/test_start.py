"""The start: a head in closed form, the same whoever holds which sample."""

from collections.abc import Sequence

import pytest

from fedprime.experiment.build import Experiment
from fedprime.federation.rounds import Schedule, federate
from fedprime.methods.closed_form import ClosedForm
from fedprime.methods.method import ServerState, Update
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


@pytest.mark.parametrize("gone", range(3))
def test_a_round_that_nobody_answers_leaves_nothing_else_to_send_and_a_head_that_can_be_trained(
    gone: int, small_experiment: Experiment
):
    """What is left of candidates would be asked of everybody who trains, who has none."""
    model, shards = model_of(small_experiment), divided(small_experiment, [0, 1])

    class Silent:
        """Clients of whom nobody answers one round."""

        def __len__(self) -> int:
            return len(shards)

        def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
            del clients  # all
            place = round_number + len(ROUNDS)
            return [] if place == gone else answers(ROUNDS[place], model, shards, state)

    state, schedule = ServerState(model.weights()), Schedule(0, start=ROUNDS)
    made = list(federate(ClosedForm(), Silent(), state, schedule, seed=0, first_round=-len(ROUNDS)))
    assert [bool(finished.left_out) for finished in made] == [place == gone for place in range(3)]
    last = made[-1]
    assert last.state.shared.keys() == model.weights().keys()
    assert all(value.isfinite().all() for value in last.state.shared.values())


def test_the_head_knows_more_than_chance(small_experiment: Experiment):
    state = started(small_experiment, divided(small_experiment, [0, 1]))
    model = model_of(small_experiment)
    model.load_weights(state.shared)
    whole = type(small_experiment.shards[0]).joined(small_experiment.shards)
    assert score(predict(model, whole)).accuracy > 0.6  # of three classes
