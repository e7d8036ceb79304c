"""Clients whose values travel in fewer bits: what arrives at either end is what is left of the values on their way."""

from collections.abc import Sequence
from dataclasses import replace

from fedprime.federation.compression import Transport
from fedprime.federation.rounds import Clients
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.prompted_model import Weights
from fedprime.settings.settings import Settings

__all__ = ["PackedClients", "transport_of"]


def transport_of(method: Method, settings: Settings) -> Transport:
    """Returns how values travel: with a centralised method, for which holder and server are one, not at all.

    Args:
        method: The method.
        settings: The settings.
    """
    return Transport() if method.is_centralized else Transport(settings.transport.bits)


class PackedClients:
    """Any clients, behind a line that rounds.

    Attributes:
        kept: By client, its trained values that do not travel; part of a run's state.
        residuals: By client, what rounding held back of its last message; part of a run's state.
    """

    def __init__(
        self, clients: Clients, method: Method, transport: Transport, kept: dict[int, Weights] | None = None
    ) -> None:
        """Takes the parts.

        Args:
            clients: Who trains.
            method: Says which values travel.
            transport: How they do.
            kept: The very table in which the clients keep what does not travel, if they do.
        """
        self._clients = clients
        self._method = method
        self._transport = transport
        self.kept: dict[int, Weights] = {} if kept is None else kept
        self.residuals: dict[int, Weights] = {}

    def __len__(self) -> int:
        """Returns how many clients there are."""
        return len(self._clients)

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        """Lets clients train from what arrives of the server's answers.

        Args:
            round_number: Which round, from 0.
            clients: Who takes part.
            state: What the server holds.

        Returns:
            The updates as they travel.
        """
        arrived = replace(
            state,
            shared=self._arrived(state.shared),
            personal={client: self._arrived(state.personal[client]) for client in clients if client in state.personal},
        )
        return self.train_from_arrived(round_number, clients, arrived)

    def train_from_arrived(self, round_number: int, clients: Sequence[int], arrived: ServerState) -> list[Update]:
        """Lets clients train: their end of the line, wherever they are.

        Args:
            round_number: Which round, from 0.
            clients: Who takes part.
            arrived: What the server sent, as exactly as it travelled.

        Returns:
            The updates as they travel.
        """
        return [
            self._packed(update, self._method.travelling(arrived.answer(update.client)))
            for update in self._clients.train(round_number, clients, arrived)
        ]

    def _arrived(self, weights: Weights) -> Weights:
        travelling = self._method.travelling(weights)
        return {**weights, **self._transport.unpack(self._transport.pack(travelling))}

    def _packed(self, update: Update, received: Weights) -> Update:
        residual = self.residuals.get(update.client, {})
        packed, held_back = self._transport.pack_change(update.weights, received, residual)
        # The server leaves out a client that diverged; the next round starts as if it had not trained.
        if held_back and all(value.isfinite().all() for value in held_back.values()):
            self.residuals[update.client] = held_back
        return replace(update, weights=packed)
