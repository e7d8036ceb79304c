"""Updates that move too far are scaled down, so that no client moves the server further than others.

Source: Sun, Kairouz, Suresh, McMahan. Can You Really Backdoor Federated Learning? 2019, arXiv 1911.07963.
"""

import logging
from dataclasses import dataclass, replace

from fedprime.federation.processors import ServerRound, UpdateProcessor
from fedprime.methods.aggregation.robust import clip_towards, moved
from fedprime.methods.method import Update

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clipping(UpdateProcessor):
    """The server scales updates down towards what it sent; it does not trust clients to do so.

    Attributes:
        clip_norm: The largest Euclidean norm of a change, all values together, above 0.
    """

    clip_norm: float

    def at_server(self, update: Update, asked: ServerRound) -> Update:
        """Returns the update as it was, to the bit, or scaled down towards what the client got."""
        received = asked.answer(update.client)
        changes, norm = clip_towards(received, update.weights, self.clip_norm)
        if norm <= self.clip_norm:
            return update
        _logger.debug(
            "round %d: client %d moved by %g; scaled down to %g", asked.number, update.client, norm, self.clip_norm
        )
        return replace(update, weights={name: moved(received[name], change) for name, change in changes.items()})
