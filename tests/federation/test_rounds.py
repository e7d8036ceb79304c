"""The round loop, with clients that answer what a test tells them to."""

import itertools
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch

from fedprime.federation.clients import Clients, choose_clients
from fedprime.federation.differential_privacy import ClientPrivacy
from fedprime.federation.processors import UpdateProcessor
from fedprime.federation.rounds import Round, Schedule, TooFewAnswersError, UnsoundStartError, federate
from fedprime.federation.sums_round import SumsRound
from fedprime.methods.centralized import CentralizedP
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.class_sums import ClassSums
from fedprime.models.prompted_model import Weights
from plain_method import Mean

Answer = Callable[[Update], Update | None]

MEAN = Mean()


@dataclass(frozen=True)
class NoisyMean(Mean):
    """FedAvg whose server adds noise."""

    name = "noisy-mean"

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:
        shared = super().aggregate(current, updates, rng).shared
        return ServerState({name: value + torch.randn(value.shape, generator=rng) for name, value in shared.items()})


@dataclass
class FakeClients:
    """Clients that add their number plus one to everything; `answers` changes what some of them send."""

    num_clients: int = 4
    answers: dict[int, Answer] = field(default_factory=dict)
    order: Callable[[Sequence[Update]], list[Update]] = list
    rounds: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.num_clients

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        self.rounds.append(round_number)
        updates = []
        for client in clients:
            weights = {name: value + client + 1 for name, value in state.answer(client).items()}
            honest = Update(client, 10 * (client + 1), weights, {"loss": float(client)})
            updates.append(self.answers.get(client, lambda update: update)(honest))
        return self.order([update for update in updates if update is not None])


@pytest.fixture
def state() -> ServerState:
    return ServerState({"head": torch.zeros(3), "pool": torch.zeros(2, 5)})


def run(
    clients: FakeClients,
    state: ServerState,
    method: Method = MEAN,
    *processors: UpdateProcessor,
    rounds: int = 1,
    fraction: float = 1.0,
    seed: int = 0,
    first_round: int = 0,
) -> list[Round]:
    schedule = Schedule(rounds, fraction)
    return list(federate(method, clients, state, schedule, seed=seed, processors=processors, first_round=first_round))


def same(here: Weights, there: Weights) -> bool:
    return here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in here)


def without(name: str) -> Answer:
    return lambda update: replace(update, weights={key: v for key, v in update.weights.items() if key != name})


def instead(**values: torch.Tensor) -> Answer:
    return lambda update: replace(update, weights={**update.weights, **values})


GARBAGE: dict[str, tuple[Answer, str]] = {
    "missing": (without("head"), "head is missing"),
    "unknown": (instead(extra=torch.ones(1)), "extra is unknown"),
    "shape": (instead(head=torch.ones(4)), "head is (4,) torch.float32, expected (3,) torch.float32"),
    "rows": (instead(pool=torch.ones(3, 5)), "pool is (3, 5) torch.float32, expected (2, 5) torch.float32"),
    "dtype": (instead(head=torch.ones(3).double()), "head is (3,) torch.float64, expected (3,) torch.float32"),
    "nan": (instead(head=torch.tensor([0.0, math.nan, 0.0])), "head is not finite"),
    "infinity": (instead(pool=torch.full((2, 5), -math.inf)), "pool is not finite"),
    "empty": (lambda update: replace(update, weights={}), "head is missing; pool is missing"),
    "no samples": (
        lambda update: replace(update, num_samples=0),
        "trained on 0 samples, expected a whole number from 1",
    ),
    "negative samples": (
        lambda update: replace(update, num_samples=-30),
        "trained on -30 samples, expected a whole number from 1",
    ),
    "a truth for samples": (
        lambda update: replace(update, num_samples=True),
        "trained on True samples, expected a whole number from 1",
    ),
    "sparse": (instead(head=torch.ones(3).to_sparse()), "head is no dense tensor in main memory"),
    "loss nan": (
        lambda update: replace(update, metrics={"loss": math.nan}),
        "its loss is nan, expected a finite number",
    ),
    "not asked": (lambda update: replace(update, client=17), "was not asked"),
    "no answer": (lambda _: None, "no answer"),
}


def test_a_round_is_the_mean_weighted_by_samples(state: ServerState):
    (finished,) = run(FakeClients(2), state)
    # 10 samples moved by 1, 20 samples moved by 2
    assert finished.state.shared["head"].tolist() == pytest.approx([5 / 3] * 3)


def test_the_loss_of_a_round_is_the_mean_weighted_by_samples(state: ServerState):
    (finished,) = run(FakeClients(3), state)
    assert finished.loss == pytest.approx((10 * 0 + 20 * 1 + 30 * 2) / 60)


def test_a_client_that_measures_nothing_does_not_count_in_the_loss(state: ServerState):
    clients = FakeClients(3, {1: lambda update: replace(update, metrics={})})
    (finished,) = run(clients, state)
    assert finished.left_out == {}
    assert finished.loss == pytest.approx((10 * 0 + 30 * 2) / 40)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_client_that_sends_garbage_leaves_no_trace(garbage: str, state: ServerState):
    answer, _ = GARBAGE[garbage]
    with_garbage = run(FakeClients(4, {2: answer}), state, rounds=3)
    silent = run(FakeClients(4, {2: lambda _: None}), state, rounds=3)
    assert same(with_garbage[-1].state.shared, silent[-1].state.shared)
    assert [entry.loss for entry in with_garbage] == [entry.loss for entry in silent]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_client_that_is_left_out_is_named_with_the_reason(
    garbage: str, state: ServerState, caplog: pytest.LogCaptureFixture
):
    answer, reason = GARBAGE[garbage]
    with caplog.at_level(logging.WARNING):
        (finished,) = run(FakeClients(4, {2: answer}), state)
    client = 17 if garbage == "not asked" else 2
    assert finished.left_out[client] == reason
    assert f"round 0: client {client} is left out: {reason}" in caplog.text
    assert [update.client for update in finished.updates] == [0, 1, 3]


def test_a_client_that_answers_twice_is_left_out(state: ServerState):
    clients = FakeClients(3, order=lambda updates: [*updates, updates[1]])
    (finished,) = run(clients, state)
    assert finished.left_out == {1: "answered more than once"}
    assert [update.client for update in finished.updates] == [0, 2]


def test_when_nobody_answers_the_weights_stay_and_the_run_goes_on(state: ServerState):
    clients = FakeClients(2, {0: lambda _: None, 1: instead(head=torch.full((3,), math.nan))})
    first, second = run(clients, state, rounds=2)
    assert same(first.state.shared, state.shared)
    assert math.isnan(first.loss)
    assert second.number == 1


def test_the_order_of_answers_does_not_matter(state: ServerState):
    # Numbers whose sum depends on the order in which they are added.
    answers = {
        client: lambda update, value=value: replace(
            update, num_samples=1, weights={**update.weights, "head": torch.full((3,), value)}, metrics={"loss": value}
        )
        for client, value in enumerate((1e30, 1.0, -1e30, 3.0))
    }
    outcomes = [
        run(FakeClients(4, answers, order=lambda updates, order=order: [updates[place] for place in order]), state)[-1]
        for order in itertools.permutations(range(4))
    ]
    assert all(same(outcome.state.shared, outcomes[0].state.shared) for outcome in outcomes)
    assert all(outcome.loss == outcomes[0].loss for outcome in outcomes)


def test_bytes_are_counted_in_both_directions(state: ServerState):
    (finished,) = run(FakeClients(4), state)
    # 3 + 10 values of 4 bytes, 4 clients
    assert (finished.bytes_down, finished.bytes_up) == (4 * 52, 4 * 52)


def test_where_all_samples_are_at_one_holder_nothing_is_sent(state: ServerState):
    (finished,) = federate(CentralizedP(), FakeClients(1), state, Schedule(1), seed=0)
    assert (finished.bytes_down, finished.bytes_up) == (0, 0)


def test_what_a_method_saw_is_told_for_its_own_round_only(state: ServerState):
    seen = replace(state, observations={"before": 1})
    (silent,) = run(FakeClients(1, {0: lambda _: None}), seen)
    (answered,) = run(FakeClients(1), seen)
    assert silent.state.observations == answered.state.observations == {}


def test_bytes_of_an_invalid_answer_count_and_those_of_a_silent_client_do_not(state: ServerState):
    clients = FakeClients(4, {0: without("head"), 1: lambda _: None})
    (finished,) = run(clients, state)
    assert finished.bytes_down == 4 * 52
    assert finished.bytes_up == 40 + 2 * 52


def test_only_the_chosen_clients_are_asked_and_sent_to(state: ServerState):
    finished = run(FakeClients(10), state, rounds=5, fraction=0.3)
    assert [entry.asked for entry in finished] == [choose_clients(10, 0.3, 0, number) for number in range(5)]
    assert all(entry.bytes_down == 3 * 52 for entry in finished)
    assert all(tuple(update.client for update in entry.updates) == entry.asked for entry in finished)


def test_rounds_are_run_only_when_they_are_asked_for(state: ServerState):
    clients = FakeClients()
    rounds = federate(Mean(), clients, state, Schedule(5), seed=0)
    next(rounds)
    next(rounds)
    assert clients.rounds == [0, 1]


@pytest.mark.parametrize("first_round", range(6))
def test_rounds_continued_anywhere_equal_rounds_that_never_stopped(first_round: int, state: ServerState):
    whole = run(FakeClients(8), state, NoisyMean(), rounds=6, fraction=0.5)
    between = state if first_round == 0 else whole[first_round - 1].state
    rest = run(FakeClients(8), between, NoisyMean(), rounds=6, fraction=0.5, first_round=first_round)
    assert [entry.number for entry in rest] == list(range(first_round, 6))
    assert all(
        same(here.state.shared, there.state.shared) and here.asked == there.asked
        for here, there in zip(rest, whole[first_round:], strict=True)
    )


def test_a_run_that_is_over_has_no_further_round(state: ServerState):
    assert run(FakeClients(), state, rounds=3, first_round=3) == []


def test_the_state_before_a_round_is_not_changed_by_it(state: ServerState):
    run(FakeClients(), state, rounds=2)
    assert same(state.shared, {"head": torch.zeros(3), "pool": torch.zeros(2, 5)})


def test_the_fake_clients_keep_the_protocol():
    assert isinstance(FakeClients(), Clients)


def test_with_the_median_one_client_of_three_cannot_move_the_server(state: ServerState):
    liar: dict[int, Answer] = {0: instead(head=torch.full((3,), 1e9), pool=torch.full((2, 5), -1e9))}
    (finished,) = run(FakeClients(3, liar), state, Mean(aggregation="median"))
    # The honest two moved by 2 and by 3.
    assert finished.state.shared["head"].tolist() == [3.0] * 3
    assert finished.state.shared["pool"].unique().tolist() == [2.0]


CLIPPED = ClientPrivacy(clip_norm=1.0, noise_multiplier=0.0, delta=1e-5, secret=False)
NOISY = replace(CLIPPED, noise_multiplier=1.0)


def test_a_private_round_is_the_plain_mean_of_clipped_updates(state: ServerState):
    (finished,) = run(FakeClients(2), state, Mean(), CLIPPED)
    # Both have length 1 in the same direction; numbers of samples do not count.
    assert finished.state.shared["head"].tolist() == pytest.approx([13**-0.5] * 3)


def test_a_private_round_divides_by_those_who_were_asked(state: ServerState):
    (finished,) = run(FakeClients(2, {1: lambda _: None}), state, Mean(), CLIPPED)
    assert finished.state.shared["head"].tolist() == pytest.approx([13**-0.5 / 2] * 3)


def test_private_rounds_repeat_with_their_seed_and_go_on_as_if_never_stopped(state: ServerState):
    whole = run(FakeClients(3), state, Mean(), NOISY, rounds=3)
    rest = run(FakeClients(3), whole[0].state, Mean(), NOISY, rounds=3, first_round=1)
    assert same(whole[-1].state.shared, rest[-1].state.shared)
    assert not same(
        whole[-1].state.shared, run(FakeClients(3), state, Mean(), NOISY, rounds=3, seed=1)[-1].state.shared
    )


def test_with_secret_noise_no_two_runs_are_alike(state: ServerState):
    secret = replace(NOISY, secret=True)
    one, other = (run(FakeClients(3), state, Mean(), secret)[0].state.shared for _ in range(2))
    assert not same(one, other)


def test_with_secret_noise_who_takes_part_does_not_follow_from_the_seed(state: ServerState):
    secret = replace(NOISY, secret=True)
    drawn = {run(FakeClients(50), state, Mean(), secret, fraction=0.5)[0].asked for _ in range(3)}
    assert len(drawn) == 3  # the same 25 of 50 twice: never


def test_a_private_round_tells_no_losses_and_nothing_that_the_method_saw(state: ServerState):
    class Telling(Mean):
        def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:
            return replace(super().aggregate(current, updates, rng), observations={"seen": [1, 2]})

    (finished,) = run(FakeClients(2), state, Telling(), NOISY)
    assert math.isnan(finished.loss)
    assert finished.state.observations == {}


class FirstSilent(FakeClients):
    """Clients of which one answers only when it is asked the second time."""

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        updates = super().train(round_number, clients, state)
        return [update for update in updates if update.client != 1 or self.rounds.count(round_number) > 1]


def test_a_round_without_its_quorum_asks_those_again_who_are_missing(state: ServerState):
    clients = FirstSilent(4)
    (finished,) = federate(Mean(), clients, state, Schedule(1, quorum=1.0, repeats=1), seed=0)
    assert [update.client for update in finished.updates] == [0, 1, 2, 3]
    assert finished.left_out == {}
    assert finished.bytes_down == 5 * 52


def test_a_quorum_that_is_reached_asks_nobody_again(state: ServerState):
    clients = FirstSilent(4)
    (finished,) = federate(Mean(), clients, state, Schedule(1, quorum=0.75, repeats=5), seed=0)
    assert finished.left_out == {1: "no answer"}


def test_a_quorum_that_is_never_reached_stops_the_run_with_the_reasons(state: ServerState):
    clients = FakeClients(10, {0: lambda _: None, 1: without("head"), 2: lambda _: None, 3: lambda _: None})
    rounds = federate(Mean(), clients, state, Schedule(1, quorum=0.7, repeats=1), seed=0)
    with pytest.raises(
        TooFewAnswersError, match=r"6 of 10 .* 7 must .* client 1: head is missing; client 2: no answer"
    ):
        next(rounds)


NOBODY: dict[int, Answer] = {0: lambda _: None, 1: lambda _: None}


def test_a_private_round_that_nobody_answers_is_noise_as_if_nobody_had_changed_anything(state: ServerState):
    unchanged: dict[int, Answer] = {
        client: lambda update: replace(update, weights=dict(state.shared)) for client in (0, 1)
    }
    (silent,) = run(FakeClients(2, NOBODY), state, Mean(), NOISY)
    (idle,) = run(FakeClients(2, unchanged), state, Mean(), NOISY)
    assert same(silent.state.shared, idle.state.shared)
    assert not same(silent.state.shared, state.shared)


def test_with_a_quorum_a_private_round_that_nobody_answers_adds_no_noise_and_is_not_counted(state: ServerState):
    rounds = federate(
        Mean(), FakeClients(2, NOBODY), state, Schedule(1, quorum=0.1, repeats=1), seed=0, processors=[NOISY]
    )
    with pytest.raises(TooFewAnswersError, match="0 of 2 clients sent something valid, 1 must"):
        next(rounds)
    assert not state.shared["head"].any()


@dataclass(frozen=True)
class Counting(Mean):
    """FedAvg whose server counts its rounds."""

    name = "counting"

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:
        count = current.server.get("count", torch.zeros(()))
        return replace(super().aggregate(current, updates, rng), server={"count": count + 1})


@dataclass
class Recording(FakeClients):
    """Clients that remember every state that they were given."""

    given: list[ServerState] = field(default_factory=list)

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        self.given.append(state)
        return super().train(round_number, clients, state)


@pytest.mark.parametrize("processors", [(), (NOISY,)], ids=["plain", "private"])
def test_what_a_method_keeps_at_the_server_goes_from_round_to_round_and_to_no_client(
    processors: tuple[UpdateProcessor, ...], state: ServerState
):
    clients = Recording(2)
    finished = run(clients, state, Counting(), *processors, rounds=3)
    assert [entry.state.server["count"].item() for entry in finished] == [1, 2, 3]
    assert [given.server for given in clients.given] == [{}, {}, {}]
    assert all(given.shared.keys() == state.shared.keys() for given in clients.given)


def test_what_a_method_keeps_at_the_server_stays_when_nobody_answers(state: ServerState):
    kept = replace(state, server={"count": torch.tensor(5.0)})
    (finished,) = run(FakeClients(2, NOBODY), kept, Counting())
    assert finished.state.server["count"].item() == 5


@dataclass
class Summing(FakeClients):
    """Clients that have one sample of each of two classes, at these places."""

    place: float = 1.0

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        sums = ClassSums.nothing({"text": 1}, 2)
        both = torch.tensor([1.0, 1.0]).double()
        weights = sums.weights() | {
            "sums.labels": both,
            "sums.num_samples": torch.tensor([2.0]).double(),
            "sums.count.text": both,
            "sums.first.text": torch.tensor([[self.place], [-self.place]], dtype=torch.float64),
            "sums.total.text": torch.tensor([2.0, 0.0]).double(),
            "sums.second.text": torch.tensor([2 * self.place**2], dtype=torch.float64),
        }
        return [Update(client, 2, weights) for client in clients]


@pytest.mark.parametrize("place", [9e153, 1e90])
def test_a_start_that_cannot_be_computed_stops_in_a_line(place: float):
    """Every single sum is finite, and so large that the sum of two is not, or not in single precision."""
    blocks = {"head.weight.text": torch.zeros(2, 1), "head.bias.text": torch.zeros(2)}
    schedule = Schedule(0, start=(SumsRound("one_class"),))
    fine = federate(MEAN, Summing(2), ServerState(blocks), schedule, seed=0, first_round=-1)
    assert next(fine).rejected == ""
    broken = federate(MEAN, Summing(2, place=place), ServerState(blocks), schedule, seed=0, first_round=-1)
    with pytest.raises(UnsoundStartError, match="what the clients measured in round -1 makes no model: ") as caught:
        next(broken)
    assert "\n" not in str(caught.value)
