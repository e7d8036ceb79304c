"""A Flower grid without an engine: nodes with foreign ids in this process, whose replies come shuffled."""

import random
from collections.abc import Callable, Mapping, Sequence
from uuid import uuid4

from flwr.app import Context, Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedprime.runtime.flower.client_app import NUMBER_KEY, app

#: A fault: takes the message and what would be replied; returns what is replied, or None for nothing.
Fault = Callable[[Message, Message], Message | None]


class FakeGrid:
    """Nodes that are asked at once.

    Attributes:
        nodes: By node id, what the node knows about itself.
        faults: By client, what happens to its replies to messages of a type.
        asked: Type and client of every message so far.
    """

    def __init__(self, num_clients: int, seed: int = 0, **of_every_node: str) -> None:
        TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
        self._rng = random.Random(seed)
        self.nodes: dict[int, Mapping[str, str | int]] = {
            self._rng.randrange(2, 1 << 62): {NUMBER_KEY: client, **of_every_node} for client in range(num_clients)
        }
        self.faults: dict[tuple[str, int], Fault] = {}
        self.asked: list[tuple[str, int]] = []

    def get_node_ids(self) -> list[int]:
        return self._rng.sample(sorted(self.nodes), len(self.nodes))

    def send_and_receive(self, messages: Sequence[Message], *, timeout: float | None = None) -> list[Message]:
        assert timeout is not None
        replies: list[Message] = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = str(uuid4())
            assert message.metadata.ttl == timeout
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
            reply = app(message, context)
        except Exception as error:  # as the engines do
            reply = Message(Error(2, f"{type(error)}:<'{error}'>"), reply_to=message)
        return fault(message, reply) if fault else reply
