"""One exchange of messages with the nodes of a Flower grid: tasks go out, and each reply is read as what it must be."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from flwr.app import Message

from fedprime.models.prompted_model import Weights
from fedprime.reproducibility.errors import quoted
from fedprime.runtime.flower.messages import ANY_CLIENT, Content, MessageError, pack, unpack
from fedprime.runtime.flower.schema import Answer, read_as

_Said = TypeVar("_Said", bound=Answer)


@runtime_checkable
class Grid(Protocol):
    """What is used of Flower's grid."""

    def get_node_ids(self) -> Iterable[int]:
        """Returns the nodes that are connected."""
        ...

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Sends messages and returns the replies that come in time, in any order."""
        ...


class SiteError(MessageError):
    """What a site says went wrong there.

    Attributes:
        client: Which client it says that it is; None if it does not.
    """

    def __init__(self, said: str, client: int | None) -> None:
        """Takes what it says."""
        super().__init__(said)
        self.client = client


class Exchange:
    """Asks nodes about one run."""

    def __init__(
        self,
        grid: Grid,
        facts: Mapping[str, Any],
        num_clients: int,
        deadline_seconds: float,
        check: Callable[[], None],
    ) -> None:
        """Takes the parts; nobody is asked yet.

        Args:
            facts: What every task says: the run that it belongs to, and its settings.
            check: Raises an error if the engine has failed; called after waiting.
        """
        self._grid, self._facts, self._num_clients = grid, facts, num_clients
        self._deadline, self._check = deadline_seconds, check

    def ask(
        self,
        kind: str,
        round_number: int,
        tasks: Mapping[int, tuple[int, dict[str, Weights]]],
        extra: Mapping[str, Any] = {},
    ) -> dict[int, Message]:
        """Sends a task to every node and returns the replies that come before the deadline, by node."""
        facts = {**self._facts, "round": round_number, **extra}
        messages = [
            Message(pack(Content({**facts, "client": client}, weights)), node, kind, ttl=self._deadline)
            for node, (client, weights) in tasks.items()
        ]
        replies = self._grid.send_and_receive(messages, timeout=self._deadline)
        self._check()
        # The engine answers for a node that is gone, in its own name: a reply is known by what it replies to.
        node_of = {message.metadata.message_id: message.metadata.dst_node_id for message in messages}
        return {
            node_of[reply.metadata.reply_to_message_id]: reply
            for reply in replies
            if reply.metadata.reply_to_message_id in node_of
        }

    def read(
        self,
        reply: Message | None,
        client: int,
        round_number: int,
        form: type[_Said],
        parts: tuple[str, ...] = (),
        max_bytes: int | None = None,
    ) -> tuple[_Said, Mapping[str, Weights]]:
        """Returns what a client said and its values, if that is an answer to what it was asked."""
        if reply is None:
            raise MessageError(f"no answer in {self._deadline:g} s")
        if reply.has_error():
            raise MessageError(f"it failed: {_last_line(reply.error.reason)}")
        told = unpack(reply.content).facts if set(reply.content) == {"facts"} else {}
        if told.get("error") is not None:
            raise SiteError(f"it says: {_last_line(told['error'])}", self._named(told.get("client")))
        content = unpack(reply.content, parts, max_bytes)
        said = read_as(form, content.facts)
        expected = (self._facts["run"], round_number, said.client if client == ANY_CLIENT else client)
        if (said.run, said.round, said.client) != expected:
            raise MessageError(
                f"it is the answer to another task: of run {said.run!r}, round {said.round}, client {said.client}, "
                f"expected {expected[0]!r}, {round_number}, {expected[2]}"
            )
        if not 0 <= said.client < self._num_clients:
            raise MessageError(f"it says that it is client {said.client} of {self._num_clients}, which begin at 0")
        return said, content.weights

    def _named(self, client: object) -> int | None:
        return client if type(client) is int and 0 <= client < self._num_clients else None


def _last_line(text: object) -> str:
    """Returns the last line of what may be a traceback, as it can be shown."""
    return quoted((str(text)[-10_000:].strip().splitlines() or ["unknown reason"])[-1]) or "unknown reason"
