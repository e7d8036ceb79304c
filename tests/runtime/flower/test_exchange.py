"""An exchange with nodes: whoever answers, and in whose name, an answer is that to a task, or says why it is none."""

import pytest
from flwr.app import Error, Message

from fake_grid import DESCRIPTION, FakeGrid, Fault, adding_one
from fedprime.runtime.flower.exchange import Exchange
from fedprime.runtime.flower.messages import ANY_CLIENT, Content, MessageError, pack
from fedprime.runtime.flower.schema import Description

RUN = "0123456789abcdef"


def said_by_the_engine(asked: Message, _: Message) -> Message:
    reply = Message(Error(5, "Traceback ...\nNode unavailable"), reply_to=asked)
    reply.metadata.__dict__["_src_node_id"] = 1
    return reply


def error_of(asked: Message, _: Message) -> Message:
    return Message(pack(Content({"error": "Traceback ...\nthe disk is full"})), reply_to=asked)


def of_another_run(asked: Message, _: Message) -> Message:
    facts = {**DESCRIPTION, "num_samples": 5, "run": "ffff", "round": 0, "client": 1}
    return Message(pack(Content(facts)), reply_to=asked)


def test_every_node_is_known_by_what_it_replies_to():
    grid = FakeGrid(3, adding_one)
    exchange = Exchange(grid, {"run": RUN, "settings": ""}, 3, 5.0, lambda: None)
    replies = exchange.ask("query", 0, dict.fromkeys(grid.get_node_ids(), (ANY_CLIENT, {})))
    assert replies.keys() == set(grid.get_node_ids())
    said = [exchange.read(reply, ANY_CLIENT, 0, Description)[0].client for reply in replies.values()]
    assert sorted(said) == [0, 1, 2]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda *_: None, "no answer in 5 s"),
        (said_by_the_engine, "it failed: Node unavailable"),
        (error_of, "it says: the disk is full"),
        (of_another_run, "it is the answer to another task: of run 'ffff', round 0, client 1"),
    ],
)
def test_what_is_no_answer_says_why(fault: Fault, message: str):
    grid = FakeGrid(2, adding_one)
    grid.faults["query", 1] = fault
    exchange = Exchange(grid, {"run": RUN, "settings": ""}, 2, 5.0, lambda: None)
    node = next(node for node, facts in grid.nodes.items() if facts["partition-id"] == 1)
    reply = exchange.ask("query", 0, {node: (ANY_CLIENT, {})}).get(node)
    with pytest.raises(MessageError, match=message):
        exchange.read(reply, ANY_CLIENT, 0, Description)


def test_an_engine_that_failed_is_told_after_waiting():
    def failed() -> None:
        raise RuntimeError("the engine is gone")

    exchange = Exchange(FakeGrid(1, adding_one), {"run": RUN, "settings": ""}, 1, 5.0, failed)
    with pytest.raises(RuntimeError, match="the engine is gone"):
        exchange.ask("query", 0, {})
