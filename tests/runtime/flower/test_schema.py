"""One bad site of four costs that site: whatever it answers, the others go on and come to the same values."""

import math
from collections.abc import Sequence

import pytest
import torch
from flwr.app import Message
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bad_site import ANSWERS, DELETED, FAULTS, saying, sending, writing
from fake_grid import DESCRIPTION, FakeGrid, Fault, adding_one
from fedprime.federation.rounds import Round, Schedule, federate
from fedprime.methods.method import Method, ServerState
from fedprime.runtime.flower.grid_clients import GridClients
from fedprime.runtime.flower.messages import Content, pack
from fedprime.settings.reading import read_settings

BAD = 1
RUN = "0123456789abcdef"
SETTINGS = read_settings(
    None, ["--runtime.kind=deployment", "--runtime.deadline_seconds=5", "--runtime.wait_seconds=0.01"]
)
STATE = ServerState({"head": torch.zeros(3), "pool": torch.zeros(2, 5)})


class Mean(Method):
    name = "mean"


def life(kind: str, fault: Fault) -> tuple[Round, dict[int, object], GridClients]:
    """One round and one measurement of four sites, of which one has a fault."""
    grid = FakeGrid(4, adding_one)
    grid.faults[kind, BAD] = fault
    clients = GridClients(grid, Mean(), SETTINGS, 4, run_id=RUN)
    clients.find(range(4), 3)
    clients.agree_on(DESCRIPTION)
    (finished,) = federate(Mean(), clients, STATE, Schedule(1), seed=0)
    return finished, clients.evaluate(0, finished.state, None), clients


@pytest.mark.parametrize(("kind", "name"), FAULTS)
def test_a_bad_answer_costs_the_site_that_gave_it(kind: str, name: str):
    finished, scores, _ = life(kind, FAULTS[kind, name])
    assert all(torch.equal(value, torch.ones_like(value)) for value in finished.state.shared.values())
    left_out = {BAD} if kind in ("train", "query") else set()
    assert finished.left_out.keys() == left_out
    assert scores.keys() == {0, 2, 3} if kind != "train" else {0, 1, 2, 3}
    assert all(reason.isprintable() and 0 < len(reason) <= 500 for reason in finished.left_out.values())


def test_a_site_that_is_left_out_is_named_with_the_reason():
    finished, _, _ = life("train", saying(num_samples="7"))
    assert finished.left_out[BAD] == (
        "its facts are not what they should be: num_samples: Input should be a valid integer"
    )


def test_a_site_that_differs_is_told_how_that_is_mended(caplog: pytest.LogCaptureFixture):
    _, _, clients = life("query", saying(label_names=["cat", "Dog"]))
    assert clients.failures[BAD].startswith("it has label_names ['cat', 'Dog'], expected ['cat', 'dog']; its folder")
    assert "client 1" in caplog.text


@pytest.mark.parametrize(("client", "who"), [(BAD, "client 1 (node "), ("x", "node "), (True, "node "), (99, "node ")])
def test_a_site_that_cannot_say_what_it_has_is_named_with_its_reason(client: object, who: str):
    told: list[str] = []
    grid = FakeGrid(4, adding_one)
    grid.faults["query", BAD] = lambda message, _: Message(
        pack(Content({"error": "its table has 'FRUIT'", "client": client})), reply_to=message
    )
    clients = GridClients(grid, Mean(), SETTINGS, 4, run_id=RUN, tell=told.append)
    clients.find(range(4), 4)
    (said,) = told  # and not once more where it is asked again
    assert said.startswith(who)
    assert "is not used: it says: its table has 'FRUIT'" in said
    assert clients.failures == ({BAD: "it says: its table has 'FRUIT'"} if client == BAD and client is not True else {})
    clients.agree_on(DESCRIPTION)
    (finished,) = federate(Mean(), clients, STATE, Schedule(1), seed=0)
    reason = "it says: its table has 'FRUIT'" if who.startswith("client") else "it is not connected"
    assert finished.left_out[BAD] == reason


def test_two_sites_of_one_name_are_left_out_and_told_what_to_do(caplog: pytest.LogCaptureFixture):
    grid = FakeGrid(3, adding_one)
    grid.connect(BAD)
    clients = GridClients(grid, Mean(), SETTINGS, 3, run_id=RUN)
    clients.find(range(3), 3)
    assert clients.descriptions.keys() == {0, 2}
    assert "give every site the folder of keys" in caplog.text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
names = st.sampled_from(["run", "round", "client", "num_samples", "metrics", "scores", "task", "label_names", "kinds"])
kinds = st.sampled_from(["train", "query", "evaluate"])
quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@quick
@given(kind=kinds, facts=st.dictionaries(names, json_values | st.just(DELETED), min_size=1, max_size=4))
def test_random_facts_end_nothing(kind: str, facts: dict[str, object]):
    assume(facts.get("client") not in (0, 2, 3))  # two sites of one name are both left out
    finished, scores, _ = life(kind, saying(**facts))
    assert {0, 2, 3} <= {update.client for update in finished.updates}
    assert scores.keys() >= {0, 2, 3}
    assert all(value.isfinite().all() for value in finished.state.shared.values())


@quick
@given(kind=kinds, text=st.text(max_size=200) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_random_texts_end_nothing(kind: str, text: str):
    finished, scores, _ = life(kind, writing(text))
    assert {update.client for update in finished.updates} >= {0, 2, 3}
    assert scores.keys() >= {0, 2, 3}


@quick
@given(numbers=st.lists(st.floats(width=32), min_size=13, max_size=13))
def test_random_values_move_nothing_far(numbers: list[float]):
    values = torch.tensor(numbers)
    finished, _, _ = life("train", sending(lambda _: {"head": values[:3], "pool": values[3:].view(2, 5)}))
    # The others step by 1 in each of 13 values.
    longest = 1000 * math.sqrt(13) / 4 + 1
    assert all(value.isfinite().all() and value.abs().max() <= longest for value in finished.state.shared.values())


class TwiceGrid(FakeGrid):
    """One that gives every answer twice."""

    def send_and_receive(self, messages: Sequence[Message], *, timeout: float | None = None) -> list[Message]:
        return 2 * super().send_and_receive(messages, timeout=timeout)


def test_an_answer_that_comes_twice_counts_once():
    clients = GridClients(TwiceGrid(4, adding_one), Mean(), SETTINGS, 4, run_id=RUN)
    clients.find(range(4), 4)
    (finished,) = federate(Mean(), clients, STATE, Schedule(1), seed=0)
    assert [update.client for update in finished.updates] == [0, 1, 2, 3]
    assert all(torch.equal(value, torch.ones_like(value)) for value in finished.state.shared.values())


def test_every_kind_of_question_meets_every_kind_of_answer():
    assert {kind for kind, _ in FAULTS} == {"train", "query", "evaluate"}
    assert len(FAULTS) > 173
    assert len(ANSWERS) > 30
