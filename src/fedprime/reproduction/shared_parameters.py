"""Clients that hold the same parameter objects, a quirk of the authors' research code.

There, the server's answer after the first round puts its own parameter objects into every client's model. From then on
there is one model: a client starts from what the one before it left, and at the end of a round, when the updates are
read, all of them have the same values.

Source: the authors' research code of FED-PRIME (arXiv 2602.07081); see docs/paper.md.
"""

from collections.abc import Sequence
from dataclasses import replace

from fedprime.federation.clients import Clients
from fedprime.methods.method import ServerState, Update


class SharedParameterClients:
    """Clients that train one after the other on one model, from the second round on; in the first they are isolated.

    What does not travel is not shared: each client keeps its own.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def __len__(self) -> int:
        return len(self._clients)

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        """Lets clients train one after the other, each from what the one before it left.

        Args:
            clients: Who takes part, in this order.
            state: What the server holds, which is what the last client left in the round before.

        Returns:
            The updates; from the second round on all with what the last client left.

        Raises:
            Exception: If a client fails; from the second round on, whichever: it leaves shared values half trained.
        """
        if round_number == 0:
            return self._clients.train(round_number, clients, state)
        updates: list[Update] = []
        for client in clients:
            updates += self._clients.train(round_number, (client,), state)
            state = ServerState({**state.shared, **updates[-1].weights})
        return [replace(update, weights=updates[-1].weights) for update in updates]
