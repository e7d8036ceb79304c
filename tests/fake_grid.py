"""A Flower grid without an engine: nodes with foreign ids in this process, whose replies come shuffled."""

import random
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from uuid import uuid4

from flwr.app import Context, Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedprime.runtime.flower.client_app import NUMBER_KEY, app
from fedprime.runtime.flower.messages import PARTS, Content, pack, unpack

#: A fault: takes what a client is asked and what it would reply; returns what comes back, or None for nothing.
Fault = Callable[[Message, Message], Message | None]


#: What a site says about itself, beside who it is and how much it has.
DESCRIPTION = {
    "task": "one_class",
    "label_names": ["cat", "dog"],
    "modalities": ["image", "text"],
    "kinds": "",
    "backbone": "c4e972fcc7b6817e",
    "version": version("fedprime"),
}


def adding_one(message: Message, context: Context) -> Message:
    """Stands in for a client that trains: it adds one to every value."""
    kind, client = message.metadata.message_type, context.node_config[NUMBER_KEY]
    asked = unpack(message.content, () if kind == "query" else PARTS)
    facts = {"run": asked.facts["run"], "round": asked.facts["round"], "client": client}
    if kind == "evaluate":
        facts["scores"] = {"full": {"accuracy": 0.5, "loss": 1.0, "num_samples": 4}}
    else:
        facts["num_samples"] = 5
    if kind == "query":
        facts |= DESCRIPTION
    if kind != "train":
        return Message(pack(Content(facts)), reply_to=message)
    sent = {name: value + 1 for name, value in asked.weights["sent"].items()}
    return Message(
        pack(Content({**facts, "metrics": {"loss": 0.5}}, {"sent": sent, "kept": {}, "residual": {}})), reply_to=message
    )


class FakeGrid:
    """Nodes that are asked at once.

    Attributes:
        nodes: By node id, what the node knows about itself.
        faults: By type of message and client, what happens to its replies.
        asked: Type and client of every message so far.
    """

    def __init__(
        self,
        num_clients: int,
        answer: Callable[[Message, Context], Message] = app,
        seed: int = 0,
        **of_every_node: str,
    ) -> None:
        TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
        self._rng = random.Random(seed)
        self._answer = answer
        self.nodes: dict[int, Mapping[str, str | int]] = {}
        self.faults: dict[tuple[str, int], Fault] = {}
        self.asked: list[tuple[str, int]] = []
        for client in range(num_clients):
            self.connect(client, **of_every_node)

    def connect(self, client: int, **facts: str) -> int:
        node = self._rng.randrange(2, 1 << 62)
        self.nodes[node] = {NUMBER_KEY: client, **facts}
        return node

    def get_node_ids(self) -> list[int]:
        return self._rng.sample(sorted(self.nodes), len(self.nodes))

    def send_and_receive(self, messages: Sequence[Message], *, timeout: float | None = None) -> list[Message]:
        replies: list[Message] = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = str(uuid4())
            assert message.metadata.ttl == timeout  # nothing may wait for longer than we do
            reply = self._reply(message)
            if reply is not None:
                replies.append(reply)
        return self._rng.sample(replies, len(replies))

    def _reply(self, message: Message) -> Message | None:
        node = self.nodes[message.metadata.dst_node_id]
        client = int(node[NUMBER_KEY])
        self.asked.append((message.metadata.message_type, client))
        fault = self.faults.get((message.metadata.message_type, client))
        context = Context(0, message.metadata.dst_node_id, dict(node), RecordDict(), {})
        try:
            reply = self._answer(message, context)
        except Exception as error:  # as the engines do
            reply = Message(Error(2, f"{type(error)}:<'{error}'>"), reply_to=message)
        return fault(message, reply) if fault else reply
